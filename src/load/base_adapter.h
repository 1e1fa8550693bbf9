/* Adapters on a base: read from files, put on it, and taken from it to be saved. */
#ifndef LD_BASE_ADAPTER_H
#define LD_BASE_ADAPTER_H

#include "io/hub/adapter_format.h"
#include "load/base.h"

/* What formats of adapters need to know of the base (NULL: nothing is known): all its linear modules and
 * convolutions. The caller frees the array `modules`; its texts are the model's. */
ld_adapter_context ld_base_context(const ld_base *base);

/* Reads an adapter from an .h5 file, a file or folder of one of ld_adapter_formats, or a run folder (its
 * latest good checkpoint). kohya's files can only be read with the base; else it may be NULL. The caller
 * frees. */
int ld_adapter_load(const char *path, const ld_base *base, ld_adapter **out, ld_error *err);

/* The file that ld_adapter_load would read, unless the path is a folder of another format: for a run folder its latest
 * good checkpoint, or else the path itself. The caller frees. */
char *ld_adapter_file(const char *path);

/* Records where the base lies, for PEFT: by its absolute path, so that it is found from any folder and
 * however the path was spelled here. */
void ld_adapter_set_base_path(ld_adapter *adapter, const char *path);

/* Removes the base's digest from the adapter, which then fits any base whose modules have its shapes. */
void ld_adapter_forget_base(ld_adapter *adapter);

/* For ld_checkpoint_newest: warns of a damaged checkpoint that is skipped. */
void ld_warn_damaged(const char *path, const ld_error *why, void *user);

/* Puts the adapter's matrices and full modules on the base, whose head takes the size of the adapter's.
 * LD_EMISMATCH, naming it, for a module that the base lacks, another shape, or a base with another digest.
 * `dropout` is for training, 0 otherwise. `source` names the adapter in errors. */
int ld_base_adapt(ld_base *base, const ld_adapter *adapter, const char *source, double dropout,
                  ld_error *err);

/* The same from a path that ld_adapter_load takes; with `other_base`, on whatever base. */
int ld_base_adapt_from(ld_base *base, const char *path, bool other_base, ld_error *err);

/* Puts a fresh adapter on the base, and marks modules to be trained in full, as the options say. */
int ld_base_adapt_fresh(ld_base *base, const ld_options *options, ld_error *err);

/* Makes an open base ready for use, with the adapter at that path (NULL: none), as ld_base_adapt_from does.
 * LD_EMISMATCH when neither the folder nor the adapter has a module. */
int ld_base_make_ready(ld_base *base, const char *adapter, bool other_base, ld_error *err);

/* The base's adapter as it is to be saved. It identifies its base by the digest only: the base's path and its
 * spelling are not part of the result. The caller frees with ld_adapter_free. */
ld_adapter *ld_base_adapter(const ld_base *base, const ld_options *options);

#endif
