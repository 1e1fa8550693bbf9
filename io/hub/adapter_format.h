/* Formats in which others keep adapters: what each must provide. One file each; adapter_formats.c has the
 * table. (Our own format is HDF5: io/state/checkpoint.h.) */
#ifndef LD_ADAPTER_FORMAT_H
#define LD_ADAPTER_FORMAT_H

#include "io/hub/adapter.h"

/* What reading and writing an adapter depends on beside its file. */
typedef struct ld_adapter_context {
  const ld_adapter_form *const *forms; /* of the kinds of adapters */
  const char **modules;                /* the paths of all modules of the base */
  size_t n_modules;                    /* 0: the base is not known */
} ld_adapter_context;

typedef struct ld_adapter_format {
  const char *name;   /* a value of --format: "peft" */
  const char *title;  /* for people: "PEFT" */
  const char *folder; /* its name in the folder of a run; NULL: a run does not write it */
  const char *const
      *files; /* the files that may be in its folder, NULL after the last; NULL for a single file */
  /* Whether the path holds an adapter in this format. */
  bool (*is)(const char *path);
  /* Whether a run writes such an adapter in this format; NULL: never. */
  bool (*suits)(const ld_adapter *adapter);
  int (*read)(const char *path, const ld_adapter_context *context, ld_adapter **out, ld_error *err);
  /* Checks in advance what `write` would refuse, before there is anything worth writing; `name` stands for
   * the path. */
  int (*check)(const ld_adapter *adapter, const ld_adapter_context *context, const char *name, ld_error *err);
  /* Writes so that a killed run leaves what was there or the new adapter. */
  int (*write)(const char *path, const ld_adapter *adapter, const ld_adapter_context *context, ld_error *err);
} ld_adapter_format;

extern const ld_adapter_format ld_adapter_format_peft, ld_adapter_format_diffusers, ld_adapter_format_kohya;

#endif
