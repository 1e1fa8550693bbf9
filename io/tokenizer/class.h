/* Tokenizer classes: what transformers makes of a vocabulary by the class that the settings name.
 */
#ifndef LD_TOKEN_CLASS_H
#define LD_TOKEN_CLASS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/folder.h"
#include "io/tokenizer/special_tokens.h"

struct ld_class_input;

/* How transformers makes a tokenizer of a vocabulary. */
typedef struct ld_token_class {
  const char *model;      /* the type of model that it takes */
  const char *vocabulary; /* the older vocabulary that it takes, or "" */
  ld_token_rules special; /* what it says of special tokens */
  bool no_types;          /* its model gets no token types */
  /* Writes the parts of a tokenizer.json; NULL: the file stays as it is. */
  int (*build)(const struct ld_class_input *in, json_t *root);
} ld_token_class;

/* The class that the settings name, or that config.json's model_type has. */
int ld_token_class_choose(const ld_token_files *files, const ld_token_class **out, ld_error *err);

/* The tokenizer.json that the class makes of the files. */
int ld_token_class_build(const ld_token_class *class, const ld_token_files *files,
                         const ld_special_tokens *tokens, json_t **root, ld_error *err);

/* What else the settings say, of the tokenizer once it is made. */
typedef struct ld_token_settings {
  bool no_types;      /* see ld_tokenizer_has_types */
  bool clean_up;      /* decoded text: clean_up_tokenization_spaces */
  bool cut_left;      /* what does not fit is cut from the start of a text */
  bool split_special; /* special tokens in a text are text */
} ld_token_settings;

/* `model`: the tokenizer's, since spaces of BPE are cleaned up only by a setting of its own. */
int ld_token_settings_read(const ld_token_class *class, const ld_token_files *files,
                           const ld_component *model, ld_token_settings *out, ld_error *err);

#endif
