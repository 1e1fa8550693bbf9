/* The contents of a tokenizer's folder: the vocabulary and the settings beside it. */
#ifndef LD_TOKEN_FOLDER_H
#define LD_TOKEN_FOLDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

typedef struct ld_token_files {
  char *name, *settings_name; /* paths of the vocabulary and of tokenizer_config.json, for errors */
  json_t *source;             /* tokenizer.json; for an older vocabulary one with nothing but its model */
  size_t bytes;               /* of the vocabulary's file */
  bool older;       /* source was made from vocab.txt, vocab.json and merges.txt, or a SentencePiece model */
  json_t *settings; /* tokenizer_config.json with the changes by special_tokens_map.json; never NULL */
  json_t *added;    /* added_tokens.json; NULL when it does not exist or is not used */
  json_t *config;   /* config.json; NULL when it does not exist */
} ld_token_files;

/* The remedy for vocabularies that are not read; two arguments, both the folder. */
#define LD_SAVE_TOKENIZER                                                                                    \
  "have transformers save a tokenizer.json (python3 -c \"from transformers import AutoTokenizer as T; "      \
  "T.from_pretrained('%s').save_pretrained('%s')\")"

/* Reads a folder, a vocab.txt, vocab.json or SentencePiece model (with the settings beside it), or any other file as a
 * tokenizer.json alone. Freed with ld_token_files_free, also after an error. */
int ld_token_files_read(const char *path, ld_token_files *files, ld_error *err);
void ld_token_files_free(ld_token_files *files);

/* Keys of the merged settings that no file has: extra tokens with names, and descriptions from
 * special_tokens_map.json. */
#define LD_MODEL_TOKENS "model_specific_special_tokens"
#define LD_FROM_MAP "from special_tokens_map.json"

#endif
