#include "io/tokenizer/keys.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/hash.h"

/* The slot of a key, or the free slot where it belongs. */
static uint64_t *find_slot(const ld_keys *keys, const char *key, size_t length, uint64_t hashed) {
  size_t at = hashed & (keys->n_slots - 1);
  for (; keys->slots[at]; at = (at + 1) & (keys->n_slots - 1)) {
    if ((keys->slots[at] ^ hashed) >> 32) continue;
    const struct ld_key *item = &keys->items[(uint32_t)keys->slots[at] - 1];
    if (item->length == length && !memcmp(keys->bytes.bytes + item->start, key, length)) break;
  }
  return &keys->slots[at];
}

int32_t ld_keys_get(const ld_keys *keys, const char *key, size_t length) {
  if (!keys->n) return -1;
  const uint64_t slot = *find_slot(keys, key, length, ld_hash(0, key, length));
  return slot ? keys->items[(uint32_t)slot - 1].value : -1;
}

static void enlarge(ld_keys *keys) {
  free(keys->slots);
  keys->n_slots = keys->n_slots ? 2 * keys->n_slots : 64;
  keys->slots = ld_alloc(keys->n_slots, sizeof *keys->slots);
  for (size_t i = 0; i < keys->n; i++) {
    const struct ld_key *item = &keys->items[i];
    const char *key = keys->bytes.bytes + item->start;
    const uint64_t hashed = ld_hash(0, key, item->length);
    *find_slot(keys, key, item->length, hashed) = (hashed >> 32 << 32) | (i + 1);
  }
}

void ld_keys_set(ld_keys *keys, const char *key, size_t length, int32_t value) {
  if (2 * (keys->n + 1) > keys->n_slots) enlarge(keys);
  const uint64_t hashed = ld_hash(0, key, length);
  uint64_t *slot = find_slot(keys, key, length, hashed);
  if (*slot) {
    keys->items[(uint32_t)*slot - 1].value = value;
    return;
  }
  keys->items = ld_grow(keys->items, keys->n, &keys->room, sizeof *keys->items);
  keys->items[keys->n++] = (struct ld_key){keys->bytes.length, length, value};
  ld_text_append(&keys->bytes, key, length);
  ld_text_append(&keys->bytes, "", 1); /* so that a key can be shown as a C string */
  *slot = (hashed >> 32 << 32) | keys->n;
}

void ld_keys_free(ld_keys *keys) {
  free(keys->items);
  free(keys->slots);
  ld_text_free(&keys->bytes);
}
