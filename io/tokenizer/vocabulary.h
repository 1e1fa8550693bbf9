/* A model's tokens, in both directions. */
#ifndef LD_VOCABULARY_H
#define LD_VOCABULARY_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "io/tokenizer/component.h"
#include "io/tokenizer/keys.h"

typedef struct ld_token_text {
  const char *bytes;
  size_t length;
} ld_token_text;

typedef struct ld_vocabulary {
  ld_keys keys;          /* id by token */
  ld_token_text *tokens; /* by id; NULL bytes for a hole */
  int32_t size;          /* highest id + 1 */
  int32_t next; /* the id of the next new token: the number of entries, smaller than size with holes */
} ld_vocabulary;

/* "vocab", an object of ids. */
int ld_vocabulary_load(ld_vocabulary *vocabulary, const json_t *json, const ld_load *load);

/* "vocab", a list of [token, score], whose places are the ids. Of equal tokens the last one has the key. */
int ld_vocabulary_load_list(ld_vocabulary *vocabulary, const json_t *json, const ld_load *load);

/* The ids of <0x00> to <0xFF>; -1 for a missing one. */
void ld_vocabulary_bytes(const ld_vocabulary *vocabulary, int32_t ids[256]);
void ld_vocabulary_free(ld_vocabulary *vocabulary);

#endif
