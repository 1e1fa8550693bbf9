/* The added and special tokens of a folder, merged from its files. */
#ifndef LD_SPECIAL_TOKENS_H
#define LD_SPECIAL_TOKENS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "io/tokenizer/folder.h"
#include "io/tokenizer/roles.h"

/* The merged tokens. */
typedef struct ld_special_tokens {
  json_t *roles[LD_N_ROLES]; /* spellings; NULL: none */
  json_t *added;             /* added_tokens for a tokenizer.json */
  json_t *ids;               /* the id that each of them will have, by content */
  json_t *skipped;           /* contents that decoding skips, whatever their tokens' flags */
} ld_special_tokens;

/* A tokenizer class's rules for special tokens. */
typedef struct ld_token_rules {
  const char *roles[LD_N_ROLES]; /* the default tokens */
  bool plain;                    /* all special tokens are added without flags */
  bool kept;                     /* the added tokens of a tokenizer.json are kept */
  bool mask_takes_space;         /* a mask_token that has no flags takes the blanks before it */
  /* Changes additional_special_tokens, a copy of the settings' list, or empty if they have none (`given`). */
  int (*add_extra)(const ld_token_files *files, json_t *list, bool given, ld_error *err);
} ld_token_rules;

/* Freed with ld_special_tokens_free, also after an error. */
int ld_special_tokens_merge(const ld_token_files *files, const ld_token_rules *rules, ld_special_tokens *out,
                            ld_error *err);
void ld_special_tokens_free(ld_special_tokens *tokens);

/* A role's spelling, or NULL; and whether it has one. */
const char *ld_special_token(const ld_special_tokens *tokens, int role);
int ld_special_token_need(const ld_token_files *files, const ld_special_tokens *tokens, int role,
                          ld_error *err);

#endif
