/* Models: what every family provides.
 *
 * A model is its frozen weights under their Hugging Face names, the list of its linear modules and
 * convolutions (any of which may carry an adapter or be trained in full), and a forward pass from a batch to
 * features. The last linear layer (language head, classifier) is separate, since a language model's loss
 * contains it. A family is one file: a build function that reads config and asks for tensors by name and
 * shape, and the forward pass. To add one, write the file and add its line to the table in registry.c. */
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
typedef struct ld_diffusion ld_diffusion; /* model/diffusion.h */

/* What a head's outputs are: for each token, the next token; one result for a record; for each token, its own
 * class; for each token of the text that an encoder-decoder writes, the next one; for each sentence, a score; for each
 * number of a noised picture, its noise. */
typedef enum ld_head {
  LD_HEAD_NEXT_TOKEN,
  LD_HEAD_RECORD,
  LD_HEAD_TOKEN,
  LD_HEAD_SEQ2SEQ,
  LD_HEAD_SENTENCE,
  LD_HEAD_NOISE
} ld_head;

enum { LD_MAX_ARCHITECTURES = 6, LD_MOST_HEAD_LAYERS = 64 };

typedef struct ld_family {
  const char *model_type; /* config.json's "model_type" */
  /* The supported classes in config.json's "architectures", NULL after the last. The first is the one that
   * adapters are for. Of a classifier's other classes only the body is used, and the head is new. */
  const char *architectures[LD_MAX_ARCHITECTURES];
  const ld_key *keys[LD_CONFIG_TABLES + 1]; /* of config.json; NULL after the last */
  const char *body;            /* the module below the head; names in a folder saved without a head lack it */
  const char *default_targets; /* PEFT's default target_modules, comma-separated */
  const char *default_whole;   /* PEFT's default modules_to_save; NULL for none */
  const char *task_type;       /* PEFT's, for adapters of this family; NULL for none */
  ld_head head;
  const char *head_layers;     /* the path of the layers that the head may have, before ".0"; NULL: none */
  const char *input;           /* what it reads: LD_TEXT or LD_IMAGE */
  const char *image_processor; /* for a preprocessor_config.json that names none; NULL: no default */
  bool fan_in_fan_out;         /* linear weights are stored (in, out) */
  void (*build)(ld_builder *builder);
  ld_tensor *(*features)(
      const ld_model *model, ld_tape *tape,
      const ld_batch *batch); /* (T, C); for records (B, C), for sentences one row each; NULL for
                                                    models that make pictures (model/diffusion.h) */
} ld_family;

/* The requested head of a classifier, if it is not the stored one. */
typedef struct ld_head_request {
  const ld_family *family; /* of the same body; NULL: by config.json's classes */
  int n_outputs;           /* 1: a number; 0: as in config.json */
  int n_layers;            /* of a head that scores sentences; 0: as stored, none if there is no stored one */
  bool fresh;              /* new, even if a stored one fits */
} ld_head_request;

/* The token before a text is the text's last one, which names its language: as transformers does it for mBART, the
 * one at the number of its tokens that are not padding. */
enum { LD_START_LAST = -2 };

struct ld_model {
  const ld_family *family;
  void *own;                                   /* the family's own struct */
  const char *default_targets, *default_whole; /* the family's, unless the stored names need others */
  const char *text_targets;   /* of text encoders that are trained on request; NULL: there are none */
  int n_blocks, width, vocab; /* blocks of the decoder, if there is an encoder too; vocab: 0 without text */
  int n_encoder_blocks;       /* of an encoder-decoder; 0 for others */
  int max_positions;          /* of a text; 0: no limit, or no text */
  int32_t decoder_start; /* of an encoder-decoder: the token before those that it writes; LD_START_LAST */
  int32_t padding;       /* with LD_START_LAST: the padding id */
  int32_t forced_eos;    /* the last token of a text that is cut off, if config.json does not say; -1: any */
  int n_types;           /* of tokens, if the model has types; 0 otherwise */
  int channels, image_size; /* of images: as in config.json; 0 without */
  ld_diffusion *diffusion;  /* of a model that makes pictures out of noise; NULL for others */
  int kv_width;             /* of a generation cache; 0 when the family cannot generate */
  ld_linear *head;          /* features to logits */
  ld_linear **linears; /* all linear modules and convolutions in the model's order; a separate head is last */
  size_t n_linears, room_linears;
  bool head_tied;         /* the head shares the embedding's weight */
  bool config_ties;       /* config.json's flag for that */
  const char *untied_key; /* a flag of config.json that must be true once the head is not tied; NULL: none */
  const char *embedding_name; /* of a language model: its tensor, "model.embed_tokens.weight" */
  const char **warnings;      /* about config.json */
  size_t n_warnings, room_warnings;
  int64_t n_parameters; /* of the base; tied tensors count once */
  void **owned;         /* freed by ld_model_free */
  size_t n_owned, room_owned;
};

/* Frees a model that ld_model_build (registry.h) made; NULL is fine. */
void ld_model_free(ld_model *model);

/* The name of class `index` in config.json's id2label, which owns it; NULL when it has none, or when
 * num_labels states another number of classes. */
const char *ld_model_label(const ld_value *config, int index);

/* The family's features. What its frozen layers make of the batch is kept (nn/keep.h). */
ld_tensor *ld_model_features(const ld_model *model, ld_tape *tape, const ld_batch *batch);

/* Logits (T, V) of every row, or a classifier's outputs (B, n). */
ld_tensor *ld_model_logits(const ld_model *model, ld_tape *tape, const ld_batch *batch);

#endif
