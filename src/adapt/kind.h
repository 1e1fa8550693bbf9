/* Adapter kinds: how training changes a module. One file each; kinds.c has the table.
 *
 * To add one, write its file, with the functions of nn/change.h and those below, and its line in the table.
 * Nothing else asks for a kind by name: the trainer, the sums, the optimizer, checkpoints, PEFT folders and
 * merge only see its parameters. */
#ifndef LD_ADAPTER_KIND_H
#define LD_ADAPTER_KIND_H

#include "io/hub/adapter.h"
#include "nn/change.h"

typedef struct ld_adapter_kind {
  const char *name;            /* in checkpoints, and as a value of --method: "lora" */
  const ld_adapter_form *form; /* its form in PEFT folders; NULL: as modules_to_save */
  /* Whether it can change the layer; NULL: every layer. */
  bool (*takes)(const ld_linear *layer);
  /* Lays out the parameters of a change whose layer and rank are set: their roles and shapes in
   * change->params, which has room for LD_ADAPTER_ROLES, and the sizes that nn/change.h needs. */
  void (*lay_out)(ld_change *change);
  /* Sets the initial values, from zeros; they depend only on the seed and the layer. */
  void (*start)(ld_change *change, uint64_t seed);
  /* Called whenever the parameters' values have changed: computes what depends on them. May be NULL. */
  void (*update)(ld_change *change);
  void (*release)(ld_change *change); /* frees change->own; may be NULL */
  /* Changes a frozen tensor of the layer, `which` ("weight", as stored, or "bias"), into the merged one;
   * false where the kind leaves it unchanged. */
  bool (*merge)(const ld_change *change, const char *which, float *values);
  ld_change_functions functions;
} ld_adapter_kind;

extern const ld_adapter_kind ld_adapter_lora, ld_adapter_dora, ld_adapter_whole;

/* For lay_out: adds and returns the next parameter of the change, whose shape is `shape` or must be filled
 * in. */
ld_param *ld_change_add(ld_change *change, const char *role, int ndim, const int64_t *shape);

#endif
