/* A table from byte strings to numbers.
 */
#ifndef LD_KEYS_H
#define LD_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

typedef struct ld_keys {
  struct ld_key {
    size_t start, length;
    int32_t value;
  } * items;
  size_t n, room;
  ld_text bytes;
  uint64_t *slots; /* upper half of the key's hash; the item's index plus 1 */
  size_t n_slots;
} ld_keys;

/* -1 for an unknown key. Values are at least 0. */
int32_t ld_keys_get(const ld_keys *keys, const char *key, size_t length);
void ld_keys_set(ld_keys *keys, const char *key, size_t length, int32_t value);
void ld_keys_free(ld_keys *keys);

#endif
