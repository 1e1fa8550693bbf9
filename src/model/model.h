/* Models: what every family gives, and the registry of families.
 *
 * A model is its frozen weights under their Hugging Face names, the list of its linear modules (any of which
 * may carry an adapter), and a forward pass from a batch to features; the last linear layer (language head,
 * classifier) is apart, as the loss holds it inside. A family is one file: a build function that reads config
 * and asks for tensors by name and shape, and the forward pass. To add one, write the file and add its line
 * to the table in model.c.
 */
#ifndef LD_MODEL_H
#define LD_MODEL_H

#include "base/error.h"
#include "base/value.h"
#include "nn/tape.h"

typedef struct ld_model ld_model;

/* Where weights come from: a lookup by name; NULL when there is none. The weights must outlive the model. */
typedef struct ld_weights {
  const ld_stored *(*find)(const void *self, const char *name);
  const void *self;
  const char *source; /* folder name, for error texts */
} ld_weights;

typedef struct ld_builder ld_builder;

typedef struct ld_family {
  const char *model_type;      /* config.json's "model_type" */
  const char *architecture;    /* the class in config.json's "architectures" that is served */
  const char *default_targets; /* PEFT's default target_modules, comma-separated */
  const char *task_type;       /* PEFT's, for adapters of this family */
  bool fan_in_fan_out;         /* linear weights are stored (in, out) */
  void (*build)(ld_builder *builder);
  ld_tensor *(*features)(const ld_model *model, ld_tape *tape, const ld_batch *batch); /* (T, C) */
} ld_family;

struct ld_model {
  const ld_family *family;
  void *own; /* the family's own struct */
  int n_blocks, width, vocab, max_positions;
  int kv_width;    /* of a generation cache; 0 when the family cannot generate */
  ld_linear *head; /* features to logits */
  ld_linear *
      *linears; /* every linear module in the model's order; the head last when it is a module of its own */
  size_t n_linears, room_linears;
  bool head_tied;       /* the head shares the embedding's weight */
  int64_t n_parameters; /* of the base; what is tied counts once */
  void **owned;         /* what ld_model_free frees */
  size_t n_owned, room_owned;
};

/* Builds the family that config.json names. LD_EUNSUPPORTED when there is none (the text lists those there
 * are) or when the config asks for what the family lacks, naming the key; LD_EFORMAT for a wrong value or a
 * missing or misshapen tensor. The caller frees with ld_model_free. Weights are mapped, not copied, but for
 * vectors. */
int ld_model_build(const ld_value *config, const ld_weights *weights, ld_model **out, ld_error *err);
void ld_model_free(ld_model *model);

/* Logits (T, V) of every row: for evaluation of single positions and tests. */
ld_tensor *ld_model_logits(const ld_model *model, ld_tape *tape, const ld_batch *batch);

#endif
