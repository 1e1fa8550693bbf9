/* Added tokens, which are cut out of a text before anything else. */
#ifndef LD_ADDED_TOKENS_H
#define LD_ADDED_TOKENS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/keys.h"
#include "io/tokenizer/pieces.h"

typedef struct ld_added {
  char *content;
  size_t length;
  ld_text spelling; /* the normalised content where that differs: it is matched, and decoded */
  int32_t id;
  bool single_word, lstrip, rstrip, normalized, special;
} ld_added;

typedef struct ld_patterns {
  const ld_added **items; /* sorted by their bytes */
  size_t n;
  bool starts[256];   /* the first bytes that occur */
  bool split_special; /* special tokens in a text are plain text */
} ld_patterns;

typedef struct ld_added_tokens {
  ld_added *items;
  size_t n, room;
  ld_keys by_content; /* id by content */
  ld_keys special;    /* spellings that decoding skips */
  ld_keys by_id;      /* index in items, by the id's bytes */
  ld_patterns raw, normalized;
} ld_added_tokens;

int ld_added_load(ld_added_tokens *added, const json_t *json, const ld_component *model,
                  const ld_component *normalizer, const ld_load *load);
void ld_added_free(ld_added_tokens *added);
const ld_added *ld_added_find(const ld_added_tokens *added, int32_t id);

/* Cuts the added tokens out of the pieces that are still text. */
int ld_added_split(const ld_patterns *patterns, ld_pieces *pieces, ld_error *err);

#endif
