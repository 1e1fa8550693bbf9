/* Models: what every family gives.
 *
 * A model is its frozen weights under their Hugging Face names, the list of its linear modules and
 * convolutions (any of which may carry an adapter or be trained whole), and a forward pass from a batch to
 * features; the last linear layer (language head, classifier) is apart, as the loss of a language model holds
 * it inside. A family is one file: a build function that reads config and asks for tensors by name and shape,
 * and the forward pass. To add one, write the file and add its line to the table in registry.c.
 */
#ifndef LD_MODEL_H
#define LD_MODEL_H

#include "base/error.h"
#include "base/value.h"
#include "model/config.h"
#include "nn/tape.h"
#include "nn/weight_store.h"

#define LD_HEAD_WEIGHT "lm_head.weight" /* of a language model */

typedef struct ld_model ld_model;

typedef struct ld_builder ld_builder;

/* What the outputs of a head are of: of each token, for the one after it; of a record; of each token, for itself. */
typedef enum ld_head { LD_HEAD_NEXT_TOKEN, LD_HEAD_RECORD, LD_HEAD_TOKEN } ld_head;

enum { LD_MAX_ARCHITECTURES = 6 };

typedef struct ld_family {
  const char *model_type; /* config.json's "model_type" */
  /* The classes in config.json's "architectures" that are served, NULL after the last. The first is what an
   * adapter is for; of the others of a classifier's family the body is taken, and the head is new. */
  const char *architectures[LD_MAX_ARCHITECTURES];
  const ld_key *keys[LD_CONFIG_TABLES + 1]; /* of config.json; NULL after the last */
  const char *body; /* the module below the head; names in a folder that was saved without a head lack it */
  const char *default_targets; /* PEFT's default target_modules, comma-separated */
  const char *default_whole;   /* PEFT's default modules_to_save; NULL for none */
  const char *task_type;       /* PEFT's, for adapters of this family; NULL for none */
  ld_head head;
  const char *input;           /* the field that it reads: LD_TEXT or LD_IMAGE */
  const char *image_processor; /* of a preprocessor_config.json that names none, as transformers knows it;
                                  NULL: it knows none */
  bool fan_in_fan_out;         /* linear weights are stored (in, out) */
  void (*build)(ld_builder *builder);
  ld_tensor *(*features)(const ld_model *model, ld_tape *tape,
                         const ld_batch *batch); /* (T, C); of a head for records (B, C) */
} ld_family;

/* The head that a classifier is to have, where it is not the stored one. */
typedef struct ld_head_request {
  const ld_family *family; /* of the same body; NULL: as the classes of config.json say */
  int n_outputs;           /* 1: a number; 0: as many as config.json says */
  bool fresh;              /* new, even when a stored one fits */
} ld_head_request;

struct ld_model {
  const ld_family *family;
  void *own;                                   /* the family's own struct */
  const char *default_targets, *default_whole; /* the family's, unless the stored names ask for others */
  int n_blocks, width, vocab, max_positions;   /* the last two: 0 without text */
  int n_types;                                 /* of tokens, of a model that tells them apart; 0 otherwise */
  int channels, image_size;                    /* of images: what config.json says; 0 without */
  int kv_width;                                /* of a generation cache; 0 when the family cannot generate */
  ld_linear *head;                             /* features to logits */
  ld_linear **linears; /* every linear module and convolution in the model's order; the head last when it is a
                          module of its own */
  size_t n_linears, room_linears;
  bool head_tied;             /* the head shares the embedding's weight */
  bool config_ties;           /* what config.json says of that */
  const char *embedding_name; /* of a language model: its tensor, "model.embed_tokens.weight" */
  const char **warnings;      /* what is worth one, about config.json */
  size_t n_warnings, room_warnings;
  const char *unfit_head; /* why a new head stands in for the stored one; NULL: it need not */
  int64_t n_parameters;   /* of the base; what is tied counts once */
  void **owned;           /* what ld_model_free frees */
  size_t n_owned, room_owned;
};

/* Frees a model that ld_model_build (registry.h) made; NULL is fine. */
void ld_model_free(ld_model *model);

/* The name of class `index` by config.json's id2label, which belongs to it; NULL when it has none, or when
 * num_labels says that there are more or fewer. */
const char *ld_model_label(const ld_value *config, int index);

/* Logits (T, V) of every row, or a classifier's outputs (B, n). */
ld_tensor *ld_model_logits(const ld_model *model, ld_tape *tape, const ld_batch *batch);

#endif
