/* WordPiece: the longest token that a word starts with, then the longest continuing token, until its end. The
 * model and the decoder.
 *
 * Continuing tokens are kept without their prefix in a separate table, so that every look-up is for bytes of
 * the word itself. Only lengths that tokens have are looked up: a word takes time in proportion to its length
 * and at most the vocabulary's size, however many characters the file allows it. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "io/tokenizer/budget.h"
#include "io/tokenizer/clean_up.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/ids.h"
#include "io/tokenizer/keys.h"
#include "io/tokenizer/kinds.h"
#include "io/tokenizer/pieces.h"
#include "io/tokenizer/stage.h"
#include "io/tokenizer/vocabulary.h"

typedef struct side {
  ld_keys keys;
  size_t *lengths; /* in bytes; each that occurs, the longest first */
  size_t n_lengths;
} side;

typedef struct wordpiece {
  ld_vocabulary vocabulary;
  side first, inner;
  size_t most_chars; /* a longer word is unknown */
  char *unk_token;
  int32_t unk_id; /* -1: not in the vocabulary, which only matters when it is needed */
} wordpiece;

/* The longest token that s starts with, its length in *end; -1 for none. */
static int32_t longest_token(const side *of, const char *s, size_t length, size_t *end) {
  for (size_t i = 0; i < of->n_lengths; i++) {
    const size_t n = of->lengths[i];
    if (n > length) continue;
    const int32_t id = ld_keys_get(&of->keys, s, n);
    if (id >= 0) return *end = n, id;
  }
  return -1;
}

static bool has_more_chars(const char *s, size_t length, size_t most) {
  size_t n = 0;
  if (length <= most) return false;
  for (size_t i = 0; i < length && n <= most; i++) n += !ld_utf8_goes_on(s[i]);
  return n > most;
}

static int tokenize_word(const wordpiece *w, const char *s, size_t length, ld_budget *budget, ld_ids *out,
                         ld_error *err) {
  const size_t start = out->n;
  bool known = !has_more_chars(s, length, w->most_chars);
  for (size_t at = 0, end = 0; known && at < length; at += end) {
    const int rc = ld_budget_check(budget, 0, err);
    if (rc) return rc;
    const int32_t id = longest_token(at ? &w->inner : &w->first, s + at, length - at, &end);
    known = id >= 0;
    if (known) ld_ids_push(out, id);
  }
  if (known) return 0;
  out->n = start;
  if (w->unk_id < 0)
    return ld_fail(err, LD_EFORMAT,
                   "the text has words that the tokenizer lacks, and its unk_token \"%s\" is not in its "
                   "vocabulary",
                   w->unk_token);
  ld_ids_push(out, w->unk_id);
  return 0;
}

static int tokenize(const void *data, const ld_pieces *pieces, ld_ids *out, ld_error *err) {
  int rc = 0;
  for (size_t i = 0; !rc && i < pieces->n; i++) {
    const ld_piece *piece = &pieces->items[i];
    if (piece->id >= 0)
      ld_ids_push(out, piece->id);
    else
      rc = tokenize_word(data, pieces->bytes + piece->start, piece->length, pieces->budget, out, err);
  }
  return rc;
}

static void add_token(side *to, ld_token_text token, int32_t id) {
  ld_keys_set(&to->keys, token.bytes, token.length, id);
}

static int longer_first(const void *a, const void *b) {
  const size_t x = *(const size_t *)a, y = *(const size_t *)b;
  return (x < y) - (x > y);
}

/* Lists each length that occurs once; their sum is at most the vocabulary's size. */
static void index_lengths(side *of) {
  of->lengths = ld_alloc(of->keys.n, sizeof *of->lengths);
  for (size_t i = 0; i < of->keys.n; i++) of->lengths[i] = of->keys.items[i].length;
  qsort(of->lengths, of->keys.n, sizeof *of->lengths, longer_first);
  for (size_t i = 0; i < of->keys.n; i++)
    if (of->lengths[i] && (!of->n_lengths || of->lengths[i] != of->lengths[of->n_lengths - 1]))
      of->lengths[of->n_lengths++] = of->lengths[i];
}

static void index_tokens(wordpiece *w, const char *prefix, size_t prefix_length) {
  for (int32_t id = 0; id < w->vocabulary.size; id++) {
    const ld_token_text t = w->vocabulary.tokens[id];
    if (!t.bytes) continue;
    add_token(&w->first, t, id);
    if (t.length > prefix_length && !memcmp(t.bytes, prefix, prefix_length))
      add_token(&w->inner, (ld_token_text){t.bytes + prefix_length, t.length - prefix_length}, id);
  }
  index_lengths(&w->first);
  index_lengths(&w->inner);
}

static int load_wordpiece(ld_component *component, const json_t *json, ld_load *load) {
  wordpiece *w = component->data = ld_alloc(1, sizeof *w);
  const char *unk, *prefix;
  size_t unk_length, prefix_length;
  int rc = ld_load_string(load, json, "unk_token", &unk, &unk_length);
  if (!rc) rc = ld_load_string(load, json, "continuing_subword_prefix", &prefix, &prefix_length);
  if (rc) return rc;
  const json_t *most = json_object_get(json, "max_input_chars_per_word");
  if (!json_is_integer(most) || json_integer_value(most) < 0)
    return ld_load_fail(load, LD_EFORMAT, "max_input_chars_per_word", "must be an integer of 0 or more");
  w->most_chars = (size_t)json_integer_value(most);
  rc = ld_vocabulary_load(&w->vocabulary, json, load);
  if (rc) return rc;
  w->unk_token = ld_strndup(unk, unk_length);
  w->unk_id = ld_keys_get(&w->vocabulary.keys, unk, unk_length);
  index_tokens(w, prefix, prefix_length);
  return 0;
}

static void free_wordpiece(void *data) {
  wordpiece *w = data;
  ld_vocabulary_free(&w->vocabulary);
  ld_keys_free(&w->first.keys);
  ld_keys_free(&w->inner.keys);
  free(w->first.lengths);
  free(w->inner.lengths);
  free(w->unk_token);
  free(w);
}

static const ld_vocabulary *vocabulary_of(const void *data) {
  return &((const wordpiece *)data)->vocabulary;
}

const ld_component_kind ld_wordpiece_kind = {.type = "WordPiece",
                                             .load = load_wordpiece,
                                             .free_data = free_wordpiece,
                                             .model = {tokenize, vocabulary_of}};

typedef struct joiner {
  char *prefix;
  size_t length;
  bool cleanup;
} joiner;

static int load_decoder(ld_component *component, const json_t *json, ld_load *load) {
  joiner *data = component->data = ld_alloc(1, sizeof *data);
  const char *prefix;
  int rc = ld_load_string(load, json, "prefix", &prefix, &data->length);
  if (rc) return rc;
  data->prefix = ld_strndup(prefix, data->length);
  return ld_load_bool(load, json, "cleanup", &data->cleanup);
}

static void free_decoder(void *data) {
  free(((joiner *)data)->prefix);
  free(data);
}

/* All tokens but the first lose their prefix, or get a space before them. */
static void decode_end(ld_stage *stage) {
  const joiner *j = stage->data;
  ld_text *token = &stage->hold;
  const bool goes_on = stage->index && token->length >= j->length &&
                       (!j->length || !memcmp(token->bytes, j->prefix, j->length));
  if (goes_on || !stage->index) {
    const size_t skip = goes_on ? j->length : 0;
    if (skip) memmove(token->bytes, token->bytes + skip, token->length - skip);
    token->length -= skip;
  } else {
    ld_text_append(token, " ", 1);
    memmove(token->bytes + 1, token->bytes, token->length - 1);
    *token->bytes = ' ';
  }
  if (j->cleanup) ld_clean_up(token, true); /* within one token, as in the library */
  ld_stage_feed(stage->next, token->bytes, token->length);
  ld_text_clear(token);
  ld_stage_end(stage->next);
}

const ld_component_kind ld_wordpiece_decoder = {.type = "WordPiece",
                                                .load = load_decoder,
                                                .free_data = free_decoder,
                                                .decode = {ld_stage_hold, decode_end, ld_stage_pass_finish}};
