/* Precompiled: SentencePiece's table of replacements, a normalizer.
 *
 * "precompiled_charsmap" is, in base64: the size of a trie in bytes (32 bits, little-endian); the trie, a Darts
 * double array of 32-bit units; replacements, each ended by a NUL. The trie maps a byte string to the offset of
 * its replacement. As in the library, a grapheme cluster of less than six bytes becomes the replacement of its
 * shortest prefix in the trie; other clusters are replaced character by character. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "base/base64.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/grapheme.h"
#include "io/tokenizer/kinds.h"
#include "io/tokenizer/normal.h"

enum {
  MAX_CLUSTER = 5, /* bytes of a cluster that is looked up as a whole */
  PORTION = 256    /* bytes of text between two looks at the budget */
};

typedef struct precompiled {
  uint32_t *units;
  size_t n_units;
  char *replacements;
  size_t length;
} precompiled;

static uint32_t unit_at(const char *bytes) {
  const unsigned char *u = (const unsigned char *)bytes;
  return u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static int load_map(precompiled *p, const ld_text *map, const ld_load *load) {
  static const char key[] = "precompiled_charsmap";
  const size_t size = map->length < 4 ? 0 : unit_at(map->bytes);
  p->n_units = size / 4;
  if (!p->n_units || p->n_units > map->length / 4 - 1)
    return ld_load_fail(load, LD_EFORMAT, key, "is damaged: its trie has a wrong size");
  const char *rest = map->bytes + 4 + 4 * p->n_units;
  p->length = map->length - 4 - 4 * p->n_units;
  if (!ld_utf8_valid(rest, p->length))
    return ld_load_fail(load, LD_EFORMAT, key, "is damaged: its replacements are not UTF-8");
  p->units = ld_alloc(p->n_units, sizeof *p->units);
  for (size_t i = 0; i < p->n_units; i++) p->units[i] = unit_at(map->bytes + 4 + 4 * i);
  p->replacements = ld_strndup(rest, p->length);
  return 0;
}

static int load_precompiled(ld_component *component, const json_t *json, ld_load *load) {
  precompiled *p = component->data = ld_alloc(1, sizeof *p);
  const char *encoded;
  size_t length;
  int rc = ld_load_string(load, json, "precompiled_charsmap", &encoded, &length);
  if (rc) return rc;
  ld_text map = {0};
  rc = ld_base64_decode(&map, encoded, length)
           ? load_map(p, &map, load)
           : ld_load_fail(load, LD_EFORMAT, "precompiled_charsmap", "must be base64");
  ld_text_free(&map);
  return rc;
}

static void free_precompiled(void *data) {
  precompiled *p = data;
  free(p->units);
  free(p->replacements);
  free(p);
}

/* Parts of a unit of the double array. */
static bool has_leaf(uint32_t unit) {
  return unit >> 8 & 1;
}

static uint32_t label_of(uint32_t unit) {
  return unit & (1u << 31 | 0xff);
}

static size_t offset_of(uint32_t unit) {
  return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
}

static size_t value_of(uint32_t unit) {
  return unit & ~(1u << 31);
}

typedef struct replacement {
  const char *bytes; /* NULL: none */
  size_t length;
} replacement;

static int damaged(ld_error *err) {
  return ld_fail(err, LD_EFORMAT,
                 "the normalizer's precompiled_charsmap is damaged: it points outside of itself");
}

static int replacement_at(const precompiled *p, size_t at, replacement *out, ld_error *err) {
  if (at > p->length || (at < p->length && ld_utf8_goes_on(p->replacements[at]))) return damaged(err);
  *out = (replacement){p->replacements + at, strnlen(p->replacements + at, p->length - at)};
  return 0;
}

/* The replacement of the shortest prefix of s that has one. */
static int find(const precompiled *p, const char *s, size_t length, replacement *out, ld_error *err) {
  size_t at = offset_of(p->units[0]);
  *out = (replacement){0};
  for (size_t i = 0; i < length && s[i]; i++) {
    at ^= (unsigned char)s[i];
    if (at >= p->n_units) return damaged(err);
    const uint32_t unit = p->units[at];
    if (label_of(unit) != (unsigned char)s[i]) return 0;
    at ^= offset_of(unit);
    if (!has_leaf(unit)) continue;
    return at < p->n_units ? replacement_at(p, value_of(p->units[at]), out, err) : damaged(err);
  }
  return 0;
}

/* A text that is being rewritten, and which characters it was made of: as in the library, character by
 * character, the last one for what is longer. What is dropped before anything is written does not count, and a
 * character that made the text longer counts as one that is dropped after it. */
typedef struct rewriting {
  const precompiled *p;
  ld_normal *normal;
  size_t n_head, n_read; /* characters of the old head; characters that count as read */
  size_t head;           /* bytes of the new one */
  bool longer;           /* the last part became longer */
} rewriting;

static size_t count_chars(const char *s, size_t length) {
  size_t n = 0;
  for (size_t i = 0; i < length; i++) n += !ld_utf8_goes_on(s[i]);
  return n;
}

/* Keeps track of the head while `n_old` characters became `length` bytes at the end of scratch. */
static void follow_head(rewriting *r, size_t n_old, size_t length) {
  const ld_text *out = &r->normal->scratch;
  const size_t start = out->length - length;
  size_t n = 0;
  if (!length && r->longer && r->head == start && r->head && r->n_read >= r->n_head)
    ld_utf8_before(out->bytes, r->head, &r->head);
  for (size_t i = start; i < out->length; n++) {
    ld_utf8_next(out->bytes, &i);
    if (r->n_read + (n < n_old ? n : n_old - 1) < r->n_head) r->head = i;
  }
  r->longer = n > n_old;
  if (out->length) r->n_read += n_old;
}

static void put(rewriting *r, const char *old, size_t n_old, const char *bytes, size_t length) {
  ld_text_append(&r->normal->scratch, bytes, length);
  if (r->n_head) follow_head(r, count_chars(old, n_old), length);
}

static int rewrite_chars(rewriting *r, const char *s, size_t length, ld_error *err) {
  for (size_t i = 0, start = 0; i < length; start = i) {
    replacement new;
    ld_utf8_next(s, &i);
    const int rc = find(r->p, s + start, i - start, &new, err);
    if (rc) return rc;
    if (!new.bytes) new = (replacement){s + start, i - start};
    put(r, s + start, i - start, new.bytes, new.length);
  }
  return 0;
}

static int rewrite_cluster(rewriting *r, const char *s, size_t length, ld_error *err) {
  replacement new = {0};
  const int rc = length <= MAX_CLUSTER ? find(r->p, s, length, &new, err) : 0;
  if (rc) return rc;
  if (!new.bytes) return rewrite_chars(r, s, length, err);
  put(r, s, length, new.bytes, new.length);
  return 0;
}

static int run_precompiled(const void *data, ld_normal *normal, ld_error *err) {
  const ld_text *text = &normal->text;
  rewriting r = {.p = data, .normal = normal};
  r.n_head = count_chars(text->bytes, normal->head);
  int rc = 0;
  for (size_t start = 0, end; !rc && start < text->length; start = end) {
    end = ld_grapheme_end(text->bytes, text->length, start);
    rc = rewrite_cluster(&r, text->bytes + start, end - start, err);
    if (!rc && start / PORTION != end / PORTION)
      rc = ld_budget_check(normal->budget, normal->before + normal->scratch.length, err);
  }
  if (!rc) ld_normal_swap(normal, r.head);
  return rc;
}

const ld_component_kind ld_precompiled_normalizer = {.type = "Precompiled",
                                                     .load = load_precompiled,
                                                     .free_data = free_precompiled,
                                                     .normalize = run_precompiled};
