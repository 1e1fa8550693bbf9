/* A tokenizer class, and what the builders of classes share: settings, special tokens, post-processors. */
#ifndef LD_CLASS_PARTS_H
#define LD_CLASS_PARTS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "io/tokenizer/folder.h"
#include "io/tokenizer/special_tokens.h"

typedef struct ld_class_input {
  const ld_token_files *files;
  const ld_special_tokens *tokens;
  json_t *vocab, *merges, *post_processor; /* from the file; post_processor is NULL when there is none */
  ld_error *err;
} ld_class_input;

/* How transformers builds a tokenizer of this class. */
typedef struct ld_token_class {
  const char *model;      /* the type of model that it takes */
  const char *vocabulary; /* the older vocabulary that it takes, or "" */
  ld_token_rules special; /* its rules for special tokens */
  bool no_types;          /* its model takes no token types */
  const char *word_end;   /* "</w>": becomes a blank in decoded text, whose ends are stripped; or NULL */
  /* The class's list of pieces, of a SentencePiece model's; NULL: the same. */
  json_t *(*arrange)(const ld_token_files *files, const json_t *pieces);
  /* Writes the parts of a tokenizer.json; NULL: the file stays as it is. */
  int (*build)(const ld_class_input *in, json_t *root);
} ld_token_class;

/* An error that names a key of the settings. */
int ld_class_fail(const ld_class_input *in, const char *key, const char *problem);

/* true or false of the settings; with _or_null, null stands for the fallback. */
int ld_class_setting(const ld_class_input *in, const char *key, bool fallback, bool *out);
int ld_class_setting_or_null(const ld_class_input *in, const char *key, bool fallback, bool *out);

/* The id of the token of a role, or NULL; and an error when there is no such token. */
json_t *ld_class_id(const ld_class_input *in, int role);
int ld_class_need(const ld_class_input *in, int role);

/* Writes the file's post-processor; or one by add_bos_token and add_eos_token, which only count with an older
 * vocabulary. */
int ld_class_post_process(const ld_class_input *in, json_t *root);

#endif
