/* Unigram: of all ways to cut a word into pieces, the one whose scores add up to the most (Viterbi).
 *
 * With pieces "a" -1, "b" -1, "ab" -1.5, "bc" -2 and "c" -3, "abc" is "a" "bc" (-3), not "ab" "c" (-4.5). A
 * character that is not a piece is unknown, and scores 10 less than the worst piece; neighbouring unknown
 * characters become one token. Of equal ways the library's is chosen: at each position the first one found,
 * going through the starts of pieces from the left.
 *
 * Where no piece found so far goes on, the way to there is settled. It is written, and memory for it is free
 * again: a text that is one word takes no more than its longest part without such a place. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "io/tokenizer/budget.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/ids.h"
#include "io/tokenizer/keys.h"
#include "io/tokenizer/kinds.h"
#include "io/tokenizer/pieces.h"
#include "io/tokenizer/vocabulary.h"

static const double unknown_penalty = 10;

/* A trie of the pieces. The children of a node stand side by side, each with the byte that leads to it. A node
 * without children stands for the rest of its piece. */
typedef struct node {
  uint32_t children; /* the first one */
  uint16_t n_children;
  int32_t id; /* of the piece that ends here; -1: none */
} node;

typedef struct unigram {
  ld_vocabulary vocabulary;
  double *scores; /* by id */
  double unknown_score;
  node *nodes;           /* the first is the root */
  unsigned char *bytes;  /* by node: leads to it */
  int32_t unk_id;        /* -1: none */
  int32_t byte_ids[256]; /* of <0x00> to <0xFF>; -1 when missing, or without byte_fallback */
} unigram;

/* The best way to a position in a word. */
typedef struct place {
  double score;
  size_t from; /* where its last piece starts */
  size_t next; /* where the piece from here ends, once the way is settled */
  int32_t id;  /* of its last piece; NO_WAY: not reached */
} place;

enum { NO_WAY = -1, PORTION = 1 << 12 /* bytes read between two looks at the budget */ };

/* Working memory of one call, kept from word to word. */
typedef struct work {
  const unigram *u;
  ld_budget *budget;
  ld_ids *out;
  const char *s; /* the word */
  place *places; /* from `settled` on */
  size_t room;
  size_t settled, reached; /* up to where the way is written; the last position that a piece reaches */
  size_t unknown;          /* where the unknown characters before `settled` start, or `settled` */
  size_t read;             /* bytes since the last look at the budget */
} work;

static place *place_at(const work *w, size_t at) {
  return &w->places[at - w->settled];
}

/* A piece from `start` to `end`; whether it is the last one of the best way to there. */
static bool offer(work *w, size_t start, size_t end, int32_t id, double score) {
  while (w->reached < end) {
    w->places = ld_grow(w->places, ++w->reached - w->settled, &w->room, sizeof *w->places);
    place_at(w, w->reached)->id = NO_WAY;
  }
  place *to = place_at(w, end);
  score += place_at(w, start)->score;
  if (to->id != NO_WAY && !(score > to->score)) return false;
  *to = (place){.score = score, .from = start, .id = id};
  return true;
}

/* Offers every piece that starts at `start`; whether one of them ends at `end`. */
static bool offer_pieces(work *w, size_t start, size_t end, size_t length) {
  const unigram *u = w->u;
  const node *at = u->nodes;
  bool found = false;
  for (size_t i = start; i < length && at->n_children; i++, w->read++) {
    const unsigned char *children = u->bytes + at->children;
    const unsigned char *child = memchr(children, (unsigned char)w->s[i], at->n_children);
    if (!child) break;
    at = &u->nodes[child - u->bytes];
    if (at->id < 0) continue;
    const ld_token_text piece = u->vocabulary.tokens[at->id];
    const size_t read = i + 1 - start;
    w->read += piece.length - read;
    if (piece.length > length - start || memcmp(w->s + i + 1, piece.bytes + read, piece.length - read)) break;
    offer(w, start, start + piece.length, at->id, u->scores[at->id]);
    found = found || start + piece.length == end;
  }
  return found;
}

/* Writes the token of the unknown characters before `end`. Together they may be a piece after all. */
static void write_unknown(work *w, size_t end) {
  const size_t length = end - w->unknown;
  const char *s = w->s + w->unknown;
  w->unknown = end;
  if (!length) return;
  const int32_t id = ld_keys_get(&w->u->vocabulary.keys, s, length);
  bool bytes = id < 0;
  for (size_t i = 0; bytes && i < length; i++) bytes = w->u->byte_ids[(unsigned char)s[i]] >= 0;
  for (size_t i = 0; bytes && i < length; i++) ld_ids_push(w->out, w->u->byte_ids[(unsigned char)s[i]]);
  if (!bytes) ld_ids_push(w->out, id < 0 ? w->u->unk_id : id);
}

/* Writes the way up to `end`, but the unknown characters at its end wait for more. */
static void settle(work *w, size_t end) {
  for (size_t at = end; at > w->settled; at = place_at(w, at)->from)
    place_at(w, place_at(w, at)->from)->next = at;
  for (size_t at = w->settled, next; at < end; at = next) {
    next = place_at(w, at)->next;
    const int32_t id = place_at(w, next)->id;
    if (id == w->u->unk_id) continue;
    write_unknown(w, at);
    ld_ids_push(w->out, id);
    w->unknown = next;
  }
  w->places[0] = *place_at(w, end);
  w->settled = end;
}

static int tokenize_word(work *w, const char *s, size_t length, ld_error *err) {
  w->s = s;
  w->settled = w->reached = w->unknown = 0;
  w->places = ld_grow(w->places, 0, &w->room, sizeof *w->places);
  w->places[0] = (place){0};
  for (size_t start = 0, end; start < length; start = end) {
    if (start == w->reached) settle(w, start);
    end = start;
    ld_utf8_next(s, &end);
    if (!offer_pieces(w, start, end, length) && offer(w, start, end, w->u->unk_id, w->u->unknown_score) &&
        w->u->unk_id < 0)
      return ld_fail(err, LD_EFORMAT,
                     "the text has characters that the tokenizer lacks, and its model has no unk_id");
    if (w->read < PORTION) continue;
    w->read = 0;
    const int rc = ld_budget_check(w->budget, 0, err);
    if (rc) return rc;
  }
  settle(w, length);
  write_unknown(w, length);
  return 0;
}

static int tokenize(const void *data, const ld_pieces *pieces, ld_ids *out, ld_error *err) {
  work w = {.u = data, .budget = pieces->budget, .out = out};
  int rc = 0;
  for (size_t i = 0; !rc && i < pieces->n; i++) {
    const ld_piece *piece = &pieces->items[i];
    if (piece->id >= 0)
      ld_ids_push(out, piece->id);
    else
      rc = tokenize_word(&w, pieces->bytes + piece->start, piece->length, err);
  }
  free(w.places);
  return rc;
}

static int compare_pieces(const void *a, const void *b) {
  const ld_token_text *s = a, *t = b;
  const int order = memcmp(s->bytes, t->bytes, s->length < t->length ? s->length : t->length);
  return order ? order : (s->length > t->length) - (s->length < t->length);
}

/* The sorted pieces below a node, equal up to `depth`. */
typedef struct below {
  uint32_t first, end, depth;
} below;

/* Adds the children of the node `at`, whose places among the sorted pieces are appended to `belows`. */
static size_t add_children(unigram *u, const ld_token_text *sorted, below *belows, size_t at, size_t n) {
  below b = belows[at];
  node *parent = &u->nodes[at];
  *parent = (node){.children = (uint32_t)n, .id = -1};
  const bool is_leaf = at && b.end - b.first == 1;
  if (b.first < b.end && (is_leaf || sorted[b.first].length == b.depth)) {
    parent->id = ld_keys_get(&u->vocabulary.keys, sorted[b.first].bytes, sorted[b.first].length);
    b.first++;
  }
  while (b.first < b.end) {
    const unsigned char byte = (unsigned char)sorted[b.first].bytes[b.depth];
    const uint32_t first = b.first;
    while (b.first < b.end && (unsigned char)sorted[b.first].bytes[b.depth] == byte) b.first++;
    u->bytes[n] = byte;
    belows[n++] = (below){first, b.first, b.depth + 1};
    parent->n_children++;
  }
  return n;
}

static void build_trie(unigram *u) {
  const ld_keys *keys = &u->vocabulary.keys;
  size_t most = 1; /* nodes: one per byte, and the root */
  ld_token_text *sorted = ld_alloc(keys->n, sizeof *sorted);
  for (size_t i = 0; i < keys->n; i++) {
    sorted[i] = (ld_token_text){keys->bytes.bytes + keys->items[i].start, keys->items[i].length};
    most += sorted[i].length;
  }
  qsort(sorted, keys->n, sizeof *sorted, compare_pieces);
  u->nodes = ld_alloc(most, sizeof *u->nodes);
  u->bytes = ld_alloc(most, sizeof *u->bytes);
  below *belows = ld_alloc(most, sizeof *belows);
  belows[0] = (below){0, (uint32_t)keys->n, 0};
  size_t n = 1;
  for (size_t at = 0; at < n; at++) n = add_children(u, sorted, belows, at, n);
  u->nodes = ld_realloc(u->nodes, n, sizeof *u->nodes);
  u->bytes = ld_realloc(u->bytes, n, sizeof *u->bytes);
  free(belows);
  free(sorted);
}

/* A score as the library reads it: its digits as an integer, rounded, times a power of ten, rounded again. The
 * last bit may differ from the nearest double, and decides between ways that are otherwise equal. Files have
 * the shortest digits that stand for a double, so they can be found again. */
static double score_of(const json_t *json) {
  const double exact = json_number_value(json);
  if (json_is_integer(json) || exact == 0) return exact;
  char text[40] = "";
  for (int digits = DBL_DIG; digits <= DBL_DECIMAL_DIG; digits++) {
    snprintf(text, sizeof text, "%.*e", digits - 1, exact);
    if (strtod(text, NULL) == exact) break;
  }
  const char *c = text + (*text == '-');
  uint64_t digits = 0;
  int exponent = 0, zeros = 0;
  for (; *c != 'e'; c++) {
    if (*c == '.') continue;
    digits = digits * 10 + (uint64_t)(*c - '0');
    if (c > text + 1 + (*text == '-')) exponent--;
  }
  for (; digits % 10 == 0; digits /= 10) zeros++;
  exponent += zeros + (int)strtol(c + 1, NULL, 10);
  double score = (double)digits;
  if (exponent < -308) {
    score /= 1e308;
    exponent += 308;
  }
  char power[16];
  snprintf(power, sizeof power, "1e%d", abs(exponent));
  score = exponent < 0 ? score / strtod(power, NULL) : score * strtod(power, NULL);
  return *text == '-' ? -score : score;
}

static void load_scores(unigram *u, const json_t *vocab, bool exact) {
  const size_t n = json_array_size(vocab);
  double least = HUGE_VAL;
  u->scores = ld_alloc(n, sizeof *u->scores);
  for (size_t i = 0; i < n; i++) {
    const json_t *score = json_array_get(json_array_get(vocab, i), 1);
    u->scores[i] = exact ? json_number_value(score) : score_of(score);
    if (u->scores[i] < least) least = u->scores[i];
  }
  u->unknown_score = least - unknown_penalty;
}

static int load_unk_id(unigram *u, const json_t *json, const ld_load *load) {
  const json_t *value = json_object_get(json, "unk_id");
  u->unk_id = -1;
  if (!value || json_is_null(value)) return 0;
  const int rc = ld_load_id(load, json, "unk_id", &u->unk_id);
  if (rc || u->unk_id < u->vocabulary.size) return rc;
  return ld_load_fail(load, LD_EFORMAT, "unk_id", "must be the number of a piece in vocab");
}

static int load_unigram(ld_component *component, const json_t *json, ld_load *load) {
  unigram *u = component->data = ld_alloc(1, sizeof *u);
  bool byte_fallback;
  int rc = ld_vocabulary_load_list(&u->vocabulary, json, load);
  if (!rc) rc = load_unk_id(u, json, load);
  if (!rc) rc = ld_load_bool_or(load, json, "byte_fallback", false, &byte_fallback);
  if (rc) return rc;
  load_scores(u, json_object_get(json, "vocab"), load->exact);
  build_trie(u);
  ld_vocabulary_bytes(&u->vocabulary, u->byte_ids);
  for (int byte = 0; !byte_fallback && byte < 256; byte++) u->byte_ids[byte] = -1;
  return 0;
}

static void free_unigram(void *data) {
  unigram *u = data;
  ld_vocabulary_free(&u->vocabulary);
  free(u->scores);
  free(u->nodes);
  free(u->bytes);
  free(u);
}

static const ld_vocabulary *vocabulary_of(const void *data) {
  return &((const unigram *)data)->vocabulary;
}

const ld_component_kind ld_unigram_kind = {
    .type = "Unigram", .load = load_unigram, .free_data = free_unigram, .model = {tokenize, vocabulary_of}};
