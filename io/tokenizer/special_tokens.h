/* The added and special tokens that a folder's files make together.
 */
#ifndef LD_SPECIAL_TOKENS_H
#define LD_SPECIAL_TOKENS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "io/tokenizer/folder.h"
#include "io/tokenizer/roles.h"

/* The added tokens that the files make together. */
typedef struct ld_special_tokens {
  json_t *roles[LD_N_ROLES]; /* spellings; NULL: there is none */
  json_t *added;             /* a tokenizer.json's added_tokens */
  json_t *ids;               /* the id that each of them will have, by content */
  json_t *skipped;           /* contents that decoding skips, whatever the flags of their tokens say */
} ld_special_tokens;

/* What a tokenizer's class says of its special tokens. */
typedef struct ld_token_rules {
  const char *roles[LD_N_ROLES]; /* the tokens where the settings are silent */
  bool plain;                    /* all special tokens are added without flags */
  bool kept;                     /* the added tokens of a tokenizer.json stay as they are */
} ld_token_rules;

/* Freed with ld_special_tokens_free, also after an error. */
int ld_special_tokens_merge(const ld_token_files *files, const ld_token_rules *rules, ld_special_tokens *out,
                            ld_error *err);
void ld_special_tokens_free(ld_special_tokens *tokens);

/* A role's spelling, or NULL; and that it has one. */
const char *ld_special_token(const ld_special_tokens *tokens, int role);
int ld_special_token_need(const ld_token_files *files, const ld_special_tokens *tokens, int role,
                          ld_error *err);

#endif
