/* Tokenizer classes: how transformers builds a tokenizer from a vocabulary, by the class that the settings
 * name. */
#ifndef LD_TOKEN_CLASS_H
#define LD_TOKEN_CLASS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "io/tokenizer/class_parts.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/folder.h"
#include "io/tokenizer/special_tokens.h"

/* The class that the settings name, or the one for config.json's model_type. */
int ld_token_class_choose(const ld_token_files *files, const ld_token_class **out, ld_error *err);

/* Arranges the pieces of a SentencePiece model, and its special tokens, as the class wants them. */
void ld_token_class_arrange(const ld_token_class *class, const ld_token_files *files);

/* The tokenizer.json that the class builds from the files. */
int ld_token_class_build(const ld_token_class *class, const ld_token_files *files,
                         const ld_special_tokens *tokens, json_t **root, ld_error *err);

/* Other settings, applied after the tokenizer is built. */
typedef struct ld_token_settings {
  bool no_types;        /* see ld_tokenizer_has_types */
  bool clean_up;        /* decoded text: clean_up_tokenization_spaces */
  bool cut_left;        /* texts are truncated at the start */
  bool split_special;   /* special tokens in a text are plain text */
  const char *word_end; /* see ld_token_class */
  int32_t most;         /* model_max_length; 0: no limit */
} ld_token_settings;

/* `model` is the tokenizer's; for BPE the cleaning of spaces has its own setting. */
int ld_token_settings_read(const ld_token_class *class, const ld_token_files *files,
                           const ld_component *model, ld_token_settings *out, ld_error *err);

#endif
