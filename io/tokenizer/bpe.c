/* Byte pair encoding: starts with a word's characters as symbols, and merges the pair of the lowest rank
 * until no pair can be merged.
 *
 * Symbols are a linked list in an array, candidate pairs a heap by rank and position, so a word of n
 * characters takes O(n log n): with Llama 2's files a whole text is one word. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "io/hash.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/ids.h"
#include "io/tokenizer/keys.h"
#include "io/tokenizer/kinds.h"
#include "io/tokenizer/pieces.h"
#include "io/tokenizer/vocabulary.h"

enum { DIRECT = 0x800 }; /* characters whose id is looked up in an array */

typedef struct merge {
  uint64_t pair; /* left id << 32 | right id; NO_PAIR when the slot is free */
  uint32_t rank;
  int32_t id;
} merge;

#define NO_PAIR UINT64_MAX

/* A short word and its ids, which most words of a text were before. */
enum { KNOWN_WORDS = 1 << 15, KNOWN_BYTES = 30, KNOWN_IDS = 8 };

typedef struct known_word {
  uint8_t length, n_ids; /* length 0: free */
  char bytes[KNOWN_BYTES];
  int32_t ids[KNOWN_IDS];
} known_word;

typedef struct bpe {
  known_word *known; /* KNOWN_WORDS by their hash, the last one of each; used by one thread at a time */
  atomic_flag known_used;
  ld_vocabulary vocabulary;
  merge *merges; /* hash table */
  size_t n_slots;
  int shift; /* of the hash */
  /* Two neighbouring symbols can only end up in one token if some merge has the last character of the one and
   * the first of the other at its seam. Where no merge does, a word is split into parts that are merged
   * separately. */
  uint32_t *first, *last; /* by id: those characters */
  uint8_t seams[1 << 13]; /* a bit for the hash of each such pair */
  int32_t direct[DIRECT];
  int32_t byte_ids[256]; /* of <0x00> to <0xFF>; -1 when missing */
  char *unk_token;       /* NULL for none */
  int32_t unk_id;        /* -1: not in the vocabulary */
  char *prefix, *suffix; /* NULL for none */
  size_t prefix_length, suffix_length;
  bool fuse_unk, byte_fallback, ignore_merges;
} bpe;

typedef struct symbol {
  int32_t id, previous, next; /* -1: none; id -1: merged away */
} symbol;

typedef struct candidate {
  uint64_t order; /* rank << 32 | position */
  int32_t id;     /* the id of the merged pair */
} candidate;

/* Working memory of one call, kept from word to word. The symbols are those of one part of a word. */
typedef struct work {
  ld_ids *out;
  symbol *symbols;
  candidate *heap;
  size_t n_symbols, room_symbols, n_heap, room_heap;
  ld_text spelled;
  known_word *known; /* NULL while another thread uses them */
} work;

static uint64_t pair_of(int32_t left, int32_t right) {
  return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static merge *find_merge(const bpe *b, uint64_t pair) {
  size_t at = (size_t)((pair * 0x9e3779b97f4a7c15u) >> b->shift);
  while (b->merges[at].pair != pair && b->merges[at].pair != NO_PAIR) at = (at + 1) & (b->n_slots - 1);
  return &b->merges[at];
}

static uint32_t seam_of(const bpe *b, int32_t left, int32_t right) {
  return (b->last[left] * 0x9e3779b1u ^ b->first[right] * 0x85ebca77u) >> 16;
}

static void push_candidate(const bpe *b, work *w, int32_t left) {
  const symbol *s = &w->symbols[left];
  const uint64_t pair = pair_of(s->id, w->symbols[s->next].id);
  const merge *m = find_merge(b, pair);
  if (m->pair != pair) return;
  w->heap = ld_grow(w->heap, w->n_heap, &w->room_heap, sizeof *w->heap);
  const candidate new = {(uint64_t)m->rank << 32 | (uint32_t)left, m->id};
  size_t at = w->n_heap++;
  while (at && w->heap[(at - 1) / 2].order > new.order) {
    w->heap[at] = w->heap[(at - 1) / 2];
    at = (at - 1) / 2;
  }
  w->heap[at] = new;
}

static candidate pop_candidate(work *w) {
  const candidate top = w->heap[0], last = w->heap[--w->n_heap];
  size_t at = 0, child;
  while ((child = 2 * at + 1) < w->n_heap) {
    if (child + 1 < w->n_heap && w->heap[child + 1].order < w->heap[child].order) child++;
    if (w->heap[child].order >= last.order) break;
    w->heap[at] = w->heap[child];
    at = child;
  }
  w->heap[at] = last;
  return top;
}

/* A candidate may be stale: its left symbol is gone, or its pair has changed. */
static bool still_valid(const bpe *b, const work *w, int32_t left, int32_t id) {
  const symbol *s = &w->symbols[left];
  if (s->id < 0 || s->next < 0) return false;
  const uint64_t pair = pair_of(s->id, w->symbols[s->next].id);
  const merge *m = find_merge(b, pair);
  return m->pair == pair && m->id == id;
}

/* Merges the symbols of a part; the remaining ones are its ids. */
static void end_part(const bpe *b, work *w) {
  w->n_heap = 0;
  for (size_t i = 0; i + 1 < w->n_symbols; i++) push_candidate(b, w, (int32_t)i);
  while (w->n_heap) {
    const candidate top = pop_candidate(w);
    const int32_t left = (int32_t)(top.order & 0xffffffffu);
    if (!still_valid(b, w, left, top.id)) continue;
    symbol *s = &w->symbols[left], *right = &w->symbols[s->next];
    s->id = top.id;
    s->next = right->next;
    right->id = -1;
    if (s->next >= 0) w->symbols[s->next].previous = left;
    if (s->previous >= 0) push_candidate(b, w, s->previous);
    if (s->next >= 0) push_candidate(b, w, left);
  }
  for (size_t i = 0; i < w->n_symbols; i++)
    if (w->symbols[i].id >= 0) ld_ids_push(w->out, w->symbols[i].id);
  w->n_symbols = 0;
}

/* Adds a symbol to its part. Where nothing joins it with the one before, it begins the next part. */
static void add_symbol(const bpe *b, work *w, int32_t id) {
  if (w->n_symbols) {
    const uint32_t seam = seam_of(b, w->symbols[w->n_symbols - 1].id, id);
    if (!(b->seams[seam >> 3] >> (seam & 7) & 1)) end_part(b, w);
  }
  const int32_t n = (int32_t)w->n_symbols;
  w->symbols = ld_grow(w->symbols, w->n_symbols, &w->room_symbols, sizeof *w->symbols);
  w->symbols[w->n_symbols++] = (symbol){id, n - 1, -1};
  if (n) w->symbols[n - 1].next = n;
}

/* Emits the unknown characters before this symbol, or at the end of the word, which wait to become one token. */
static void flush_unknown(const bpe *b, work *w, bool *waiting) {
  if (*waiting) add_symbol(b, w, b->unk_id);
  *waiting = false;
}

static int add_unknown(const bpe *b, work *w, bool *waiting, ld_error *err) {
  if (!b->unk_token) return 0;
  if (b->unk_id < 0)
    return ld_fail(err, LD_EFORMAT,
                   "the text has characters that the tokenizer lacks, and its unk_token \"%s\" is not in "
                   "its vocabulary",
                   b->unk_token);
  if (!b->fuse_unk) flush_unknown(b, w, waiting);
  *waiting = true;
  return 0;
}

/* Adds the bytes of a character if all of them are in the vocabulary. A waiting unknown character keeps
 * waiting, as in the library. */
static bool add_bytes(const bpe *b, work *w, const char *s, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (b->byte_ids[(unsigned char)s[i]] < 0) return false;
  for (size_t i = 0; i < length; i++) add_symbol(b, w, b->byte_ids[(unsigned char)s[i]]);
  return true;
}

/* A character with the prefix or suffix for its position in the word. */
static ld_token_text spell(const bpe *b, work *w, const char *s, size_t length, bool first, bool last) {
  const bool prefix = !first && b->prefix, suffix = last && b->suffix;
  if (!prefix && !suffix) return (ld_token_text){s, length};
  ld_text_clear(&w->spelled);
  if (prefix) ld_text_append(&w->spelled, b->prefix, b->prefix_length);
  ld_text_append(&w->spelled, s, length);
  if (suffix) ld_text_append(&w->spelled, b->suffix, b->suffix_length);
  return (ld_token_text){w->spelled.bytes, w->spelled.length};
}

static int add_symbols(const bpe *b, work *w, const char *s, size_t length, ld_error *err) {
  bool waiting = false;
  int rc = 0;
  w->n_symbols = 0;
  for (size_t i = 0; !rc && i < length;) {
    const size_t start = i;
    const uint32_t code = ld_utf8_next(s, &i);
    const ld_token_text t = spell(b, w, s + start, i - start, start == 0, i == length);
    const int32_t id = t.bytes == s + start && code < DIRECT
                           ? b->direct[code]
                           : ld_keys_get(&b->vocabulary.keys, t.bytes, t.length);
    if (id >= 0) {
      flush_unknown(b, w, &waiting);
      add_symbol(b, w, id);
    } else if (!b->byte_fallback || !add_bytes(b, w, t.bytes, t.length)) {
      rc = add_unknown(b, w, &waiting, err);
    }
  }
  flush_unknown(b, w, &waiting);
  return rc;
}

static int tokenize_word(const bpe *b, work *w, const char *s, size_t length, ld_error *err) {
  if (b->ignore_merges) {
    const int32_t id = ld_keys_get(&b->vocabulary.keys, s, length);
    if (id >= 0) return ld_ids_push(w->out, id), 0;
  }
  if (length > INT32_MAX / 4)
    return ld_fail(err, LD_EUNSUPPORTED, "a text of %zu bytes is one word to the tokenizer: split it",
                   length);
  const int rc = add_symbols(b, w, s, length, err);
  if (!rc) end_part(b, w);
  return rc;
}

static void remember_word(known_word *known, const char *s, size_t length, const int32_t *ids, size_t n) {
  if (n > KNOWN_IDS) return;
  known->length = (uint8_t)length;
  known->n_ids = (uint8_t)n;
  memcpy(known->bytes, s, length);
  for (size_t i = 0; i < n; i++) known->ids[i] = ids[i];
}

/* The same for a word that may be known. A word's ids depend on nothing else. */
static int recall_word(const bpe *b, work *w, const char *s, size_t length, ld_error *err) {
  if (!w->known || !length || length > KNOWN_BYTES) return tokenize_word(b, w, s, length, err);
  known_word *known = &w->known[ld_hash(0, s, length) % KNOWN_WORDS];
  if (known->length == length && !memcmp(known->bytes, s, length)) {
    for (int i = 0; i < known->n_ids; i++) ld_ids_push(w->out, known->ids[i]);
    return 0;
  }
  const size_t before = w->out->n;
  const int rc = tokenize_word(b, w, s, length, err);
  if (!rc) remember_word(known, s, length, w->out->ids + before, w->out->n - before);
  return rc;
}

static int tokenize(const void *data, const ld_pieces *pieces, ld_ids *out, ld_error *err) {
  const bpe *b = data;
  atomic_flag *used = (atomic_flag *)(uintptr_t)&b->known_used;
  const bool alone = !atomic_flag_test_and_set(used);
  work w = {.out = out, .known = alone ? b->known : NULL};
  int rc = 0;
  for (size_t i = 0; !rc && i < pieces->n; i++) {
    const ld_piece *piece = &pieces->items[i];
    if (piece->id >= 0)
      ld_ids_push(out, piece->id);
    else
      rc = recall_word(b, &w, pieces->bytes + piece->start, piece->length, err);
  }
  if (alone) atomic_flag_clear(used);
  free(w.symbols);
  free(w.heap);
  ld_text_free(&w.spelled);
  return rc;
}

static void index_ends(bpe *b, int32_t id) {
  const ld_token_text t = b->vocabulary.tokens[id];
  size_t at = 0;
  if (!t.length) return;
  b->last[id] = ld_utf8_before(t.bytes, t.length, &at);
  at = 0;
  b->first[id] = ld_utf8_next(t.bytes, &at);
}

static void index_tokens(bpe *b) {
  b->first = ld_alloc((size_t)b->vocabulary.size, sizeof *b->first);
  b->last = ld_alloc((size_t)b->vocabulary.size, sizeof *b->last);
  for (int32_t id = 0; id < b->vocabulary.size; id++) index_ends(b, id);
  for (uint32_t c = 0; c < DIRECT; c++) {
    ld_text t = {0};
    ld_text_put_code(&t, c);
    b->direct[c] = ld_keys_get(&b->vocabulary.keys, t.bytes, t.length);
    ld_text_free(&t);
  }
  ld_vocabulary_bytes(&b->vocabulary, b->byte_ids);
}

/* One entry of merges: "left right" or ["left", "right"]. */
static bool split_merge(const json_t *entry, ld_token_text *left, ld_token_text *right) {
  if (json_is_array(entry)) {
    const json_t *l = json_array_get(entry, 0), *r = json_array_get(entry, 1);
    if (json_array_size(entry) != 2 || !json_is_string(l) || !json_is_string(r)) return false;
    *left = (ld_token_text){json_string_value(l), json_string_length(l)};
    *right = (ld_token_text){json_string_value(r), json_string_length(r)};
    return true;
  }
  if (!json_is_string(entry)) return false;
  const char *s = json_string_value(entry);
  const size_t n = json_string_length(entry);
  const char *space = memchr(s, ' ', n);
  if (!space || memchr(space + 1, ' ', n - (size_t)(space + 1 - s))) return false;
  *left = (ld_token_text){s, (size_t)(space - s)};
  *right = (ld_token_text){space + 1, n - (size_t)(space + 1 - s)};
  return true;
}

static int load_merge(bpe *b, const json_t *entry, size_t number, uint32_t rank, ld_text *joined,
                      const ld_load *load) {
  ld_token_text l, r;
  if (!split_merge(entry, &l, &r))
    return ld_fail(load->err, LD_EFORMAT, "%s: model BPE: merges[%zu] must be two tokens", load->name,
                   number);
  const int32_t left = ld_keys_get(&b->vocabulary.keys, l.bytes, l.length);
  const int32_t right = ld_keys_get(&b->vocabulary.keys, r.bytes, r.length);
  int32_t id = -1;
  if (r.length >= b->prefix_length) {
    ld_text_clear(joined);
    ld_text_append(joined, l.bytes, l.length);
    ld_text_append(joined, r.bytes + b->prefix_length, r.length - b->prefix_length);
    id = ld_keys_get(&b->vocabulary.keys, joined->bytes, joined->length);
  }
  if (left < 0 || right < 0 || id < 0)
    return ld_fail(load->err, LD_EFORMAT,
                   "%s: model BPE: merges[%zu], \"%.*s\" and \"%.80s\", is not of tokens in vocab",
                   load->name, number, (int)(l.length < 80 ? l.length : 80), l.bytes, r.bytes);
  const uint32_t seam = seam_of(b, left, right);
  b->seams[seam >> 3] |= (uint8_t)(1 << (seam & 7));
  *find_merge(b, pair_of(left, right)) = (merge){pair_of(left, right), rank, id};
  return 0;
}

static int load_merges(bpe *b, const json_t *json, const ld_load *load) {
  const json_t *merges = json_object_get(json, "merges");
  if (!json_is_array(merges)) return ld_load_fail(load, LD_EFORMAT, "merges", "must be a list");
  const size_t n = json_array_size(merges);
  b->shift = 64 - 4;
  for (b->n_slots = 16; b->n_slots < 2 * n; b->n_slots *= 2) b->shift--;
  b->merges = ld_alloc(b->n_slots, sizeof *b->merges);
  for (size_t i = 0; i < b->n_slots; i++) b->merges[i].pair = NO_PAIR;
  /* A merge removes the prefix from its right token, so the ends of tokens do not show the seam. */
  if (b->prefix_length) memset(b->seams, 0xff, sizeof b->seams);
  ld_text joined = {0};
  const bool pairs = n && json_is_array(json_array_get(merges, 0));
  uint32_t rank = 0;
  int rc = 0;
  for (size_t i = 0; !rc && i < n; i++) {
    const json_t *entry = json_array_get(merges, i);
    if (json_is_array(entry) != pairs)
      rc = ld_fail(load->err, LD_EFORMAT, "%s: model BPE: merges has strings and pairs", load->name);
    else if (pairs || !json_is_string(entry) || strncmp(json_string_value(entry), "#version", 8))
      rc = load_merge(b, entry, i, rank++, &joined, load);
  }
  ld_text_free(&joined);
  return rc;
}

/* A string that may be null or missing. */
static int load_optional(const ld_load *load, const json_t *json, const char *key, char **out,
                         size_t *length) {
  const json_t *value = json_object_get(json, key);
  *length = 0;
  if (!value || json_is_null(value)) return 0;
  const char *string;
  const int rc = ld_load_string(load, json, key, &string, length);
  if (!rc) *out = ld_strndup(string, *length);
  return rc;
}

static int load_options(bpe *b, const json_t *json, const ld_load *load) {
  const json_t *dropout = json_object_get(json, "dropout");
  if (dropout && !json_is_null(dropout) && !(json_is_number(dropout) && json_number_value(dropout) == 0))
    return ld_load_fail(load, LD_EUNSUPPORTED, "dropout", "is not supported: set it to null");
  size_t unk_length;
  int rc = load_optional(load, json, "unk_token", &b->unk_token, &unk_length);
  if (!rc) rc = load_optional(load, json, "continuing_subword_prefix", &b->prefix, &b->prefix_length);
  if (!rc) rc = load_optional(load, json, "end_of_word_suffix", &b->suffix, &b->suffix_length);
  if (!rc) rc = ld_load_bool_or(load, json, "fuse_unk", false, &b->fuse_unk);
  if (!rc) rc = ld_load_bool_or(load, json, "byte_fallback", false, &b->byte_fallback);
  if (!rc) rc = ld_load_bool_or(load, json, "ignore_merges", false, &b->ignore_merges);
  if (!b->prefix_length) free(b->prefix), b->prefix = NULL;
  if (!b->suffix_length) free(b->suffix), b->suffix = NULL;
  return rc;
}

static int load_bpe(ld_component *component, const json_t *json, ld_load *load) {
  bpe *b = component->data = ld_alloc(1, sizeof *b);
  b->known = ld_alloc(KNOWN_WORDS, sizeof *b->known);
  atomic_flag_clear(&b->known_used);
  int rc = load_options(b, json, load);
  if (!rc) rc = ld_vocabulary_load(&b->vocabulary, json, load);
  if (!rc) index_tokens(b);
  if (!rc) rc = load_merges(b, json, load);
  b->unk_id = b->unk_token ? ld_keys_get(&b->vocabulary.keys, b->unk_token, strlen(b->unk_token)) : -1;
  return rc;
}

static void free_bpe(void *data) {
  bpe *b = data;
  ld_vocabulary_free(&b->vocabulary);
  free(b->known);
  free(b->first);
  free(b->last);
  free(b->merges);
  free(b->unk_token);
  free(b->prefix);
  free(b->suffix);
  free(b);
}

static const ld_vocabulary *vocabulary_of(const void *data) {
  return &((const bpe *)data)->vocabulary;
}

const ld_component_kind ld_bpe_kind = {
    .type = "BPE", .load = load_bpe, .free_data = free_bpe, .model = {tokenize, vocabulary_of}};
