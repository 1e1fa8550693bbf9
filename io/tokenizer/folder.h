/* What a tokenizer's folder has: the vocabulary and the settings beside it.
 */
#ifndef LD_TOKEN_FOLDER_H
#define LD_TOKEN_FOLDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

typedef struct ld_token_files {
  char *name, *settings_name; /* the vocabulary's path, and tokenizer_config.json's, for error texts */
  json_t *source;             /* tokenizer.json; of an older vocabulary one that has only its model */
  size_t bytes;               /* of the vocabulary's file */
  bool older;                 /* source stands for vocab.txt, or for vocab.json and merges.txt */
  json_t *settings; /* tokenizer_config.json with what special_tokens_map.json changes; never NULL */
  json_t *added;    /* added_tokens.json; NULL where there is none, or it does not count */
  json_t *config;   /* config.json; NULL where there is none */
} ld_token_files;

/* Reads them: `path` is a folder, a vocab.txt or vocab.json (with the settings beside it), or any other file,
 * which is a tokenizer.json that stands alone. Freed with ld_token_files_free, also after an error. */
int ld_token_files_read(const char *path, ld_token_files *files, ld_error *err);
void ld_token_files_free(ld_token_files *files);

/* Keys of the joined settings that are no file's: extra tokens that have names; a description that comes from
 * special_tokens_map.json. */
#define LD_MODEL_TOKENS "model_specific_special_tokens"
#define LD_FROM_MAP "from special_tokens_map.json"

#endif
