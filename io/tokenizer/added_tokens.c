/* Added tokens: reads them, and cuts them out of a text.
 *
 * As in the library, the ids in the file are ignored: a token that the model knows has the model's id, and
 * the others follow the model's ids in their order, which gives the file's ids in every sound file. */
#include "io/tokenizer/added_tokens.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "io/tokenizer/budget.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/keys.h"
#include "io/tokenizer/normal.h"
#include "io/tokenizer/pieces.h"
#include "io/tokenizer/unicode.h"
#include "io/tokenizer/vocabulary.h"

static int load_token(ld_added *token, const json_t *json, const ld_load *load) {
  const char *content;
  int32_t file_id;
  int rc = ld_load_string(load, json, "content", &content, &token->length);
  if (!rc) rc = ld_load_id(load, json, "id", &file_id);
  if (!rc) rc = ld_load_bool(load, json, "single_word", &token->single_word);
  if (!rc) rc = ld_load_bool(load, json, "lstrip", &token->lstrip);
  if (!rc) rc = ld_load_bool(load, json, "rstrip", &token->rstrip);
  if (!rc) rc = ld_load_bool(load, json, "normalized", &token->normalized);
  if (!rc) rc = ld_load_bool(load, json, "special", &token->special);
  if (!rc) token->content = ld_strndup(content, token->length);
  return rc;
}

/* A normalised token is searched in normalised text, so it is normalised itself. */
static int spell_token(ld_added *token, const ld_component *normalizer, const ld_load *load) {
  ld_normal normal = {.budget = load->budget};
  ld_text_append(&normal.text, token->content, token->length);
  int rc = token->normalized ? ld_normalize(normalizer, &normal, load->err) : 0;
  if (rc) rc = ld_fail_prefix(load->err, rc, "%s: added_tokens: \"%.100s\"", load->name, token->content);
  token->spelling = normal.text;
  ld_text_free(&normal.scratch);
  if (!rc && !normal.text.length) /* it would match between any two characters, without end */
    return ld_fail(
        load->err, LD_EUNSUPPORTED,
        "%s: added_tokens: nothing is left of \"%.100s\" after normalisation: set its normalized to false",
        load->name, token->content);
  return rc;
}

static void free_token(ld_added *token) {
  free(token->content);
  ld_text_free(&token->spelling);
}

const ld_added *ld_added_find(const ld_added_tokens *added, int32_t id) {
  const int32_t at = ld_keys_get(&added->by_id, (const char *)&id, sizeof id);
  return at < 0 ? NULL : &added->items[at];
}

/* A token that already has the id gives way. */
static void put_token(ld_added_tokens *added, const ld_added *token) {
  ld_keys_set(&added->by_content, token->content, token->length, token->id);
  if (token->special) ld_keys_set(&added->special, token->content, token->length, 0);
  const int32_t at = ld_keys_get(&added->by_id, (const char *)&token->id, sizeof token->id);
  if (at >= 0) {
    free_token(&added->items[at]);
    added->items[at] = *token;
    return;
  }
  added->items = ld_grow(added->items, added->n, &added->room, sizeof *added->items);
  ld_keys_set(&added->by_id, (const char *)&token->id, sizeof token->id, (int32_t)added->n);
  added->items[added->n++] = *token;
}

static int compare_patterns(const void *a, const void *b) {
  const ld_added *x = *(const ld_added *const *)a, *y = *(const ld_added *const *)b;
  const ld_text *s = &x->spelling, *t = &y->spelling;
  const int order = memcmp(s->bytes, t->bytes, s->length < t->length ? s->length : t->length);
  if (order) return order;
  if (s->length != t->length) return s->length < t->length ? -1 : 1;
  return x->id < y->id ? -1 : 1;
}

/* When normalisation makes several tokens equal, the library finds any of them; here it is the one with the
 * lowest id. */
static void build_patterns(ld_patterns *patterns, const ld_added_tokens *added, bool normalized) {
  patterns->items = ld_alloc(added->n, sizeof *patterns->items);
  for (size_t i = 0; i < added->n; i++)
    if (added->items[i].normalized == normalized) patterns->items[patterns->n++] = &added->items[i];
  qsort(patterns->items, patterns->n, sizeof *patterns->items, compare_patterns);
  size_t n = 0;
  for (size_t i = 0; i < patterns->n; i++) {
    const ld_text *s = &patterns->items[i]->spelling;
    const ld_text *before = n ? &patterns->items[n - 1]->spelling : NULL;
    if (before && before->length == s->length && !memcmp(before->bytes, s->bytes, s->length)) continue;
    patterns->items[n++] = patterns->items[i];
    patterns->starts[(unsigned char)*s->bytes] = true;
  }
  patterns->n = n;
}

int ld_added_load(ld_added_tokens *added, const json_t *json, const ld_component *model,
                  const ld_component *normalizer, const ld_load *load) {
  if (json && !json_is_null(json) && !json_is_array(json))
    return ld_fail(load->err, LD_EFORMAT, "%s: added_tokens must be a list", load->name);
  const ld_vocabulary *vocabulary = model->kind->model.vocabulary(model->data);
  int32_t next = vocabulary->next;
  int rc = 0;
  for (size_t i = 0; !rc && i < json_array_size(json); i++) {
    ld_added token = {0};
    rc = load_token(&token, json_array_get(json, i), load);
    if (rc || !token.length) {
      free_token(&token);
      continue;
    }
    token.id = ld_keys_get(&added->by_content, token.content, token.length);
    if (token.id < 0) token.id = ld_keys_get(&vocabulary->keys, token.content, token.length);
    if (token.id < 0) token.id = next++;
    if (next > LD_MAX_TOKEN_ID) rc = ld_fail(load->err, LD_EFORMAT, "%s: too many added_tokens", load->name);
    if (!rc) rc = spell_token(&token, normalizer, load);
    if (rc)
      free_token(&token);
    else
      put_token(added, &token);
  }
  if (rc) return rc;
  build_patterns(&added->raw, added, false);
  build_patterns(&added->normalized, added, true);
  return 0;
}

void ld_added_free(ld_added_tokens *added) {
  for (size_t i = 0; i < added->n; i++) free_token(&added->items[i]);
  free(added->items);
  free(added->raw.items);
  free(added->normalized.items);
  ld_keys_free(&added->by_content);
  ld_keys_free(&added->special);
  ld_keys_free(&added->by_id);
}

/* The first pattern of [low, high) whose byte at `depth` is at least `byte`. All are longer than depth, and
 * equal before it. */
static size_t lower_bound(const ld_patterns *patterns, size_t low, size_t high, size_t depth, int byte) {
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if ((unsigned char)patterns->items[middle]->spelling.bytes[depth] < byte)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* The longest pattern that s starts with, or NULL. */
static const ld_added *longest_at(const ld_patterns *patterns, const char *s, size_t length) {
  const ld_added *found = NULL;
  size_t low = 0, high = patterns->n;
  for (size_t depth = 0; low < high; depth++) {
    if (patterns->items[low]->spelling.length == depth) found = patterns->items[low++];
    if (depth == length) break;
    const int byte = (unsigned char)s[depth];
    low = lower_bound(patterns, low, high, depth, byte);
    high = lower_bound(patterns, low, high, depth, byte + 1);
  }
  return found;
}

static bool stands_alone(const char *s, size_t length, size_t start, size_t stop) {
  size_t before;
  if (start && ld_is_word(ld_utf8_before(s, start, &before))) return false;
  return stop == length || !ld_is_word(ld_utf8_next(s, &stop));
}

/* Counts spaces before `start`, but not before `done`. */
static size_t spaces_before(const char *s, size_t start, size_t done) {
  for (size_t before; start > done; start = before)
    if (!ld_is_space(ld_utf8_before(s, start, &before))) break;
  return start;
}

static size_t spaces_behind(const char *s, size_t length, size_t stop) {
  for (size_t next = stop; stop < length; stop = next)
    if (!ld_is_space(ld_utf8_next(s, &next))) break;
  return stop;
}

/* A token that starts with spaces may match those that an rstrip token before it already took; the pieces
 * then overlap, as in the library. */
static int split_piece(const ld_patterns *patterns, ld_pieces *pieces, const ld_piece *piece, ld_error *err) {
  const char *s = pieces->bytes + piece->start;
  size_t done = 0;
  for (size_t i = 0; i < piece->length;) {
    const bool may_start = patterns->starts[(unsigned char)s[i]];
    const int rc = may_start ? ld_budget_check(pieces->budget, 0, err) : 0;
    if (rc) return rc;
    const ld_added *token = may_start ? longest_at(patterns, s + i, piece->length - i) : NULL;
    if (!token) {
      i++;
      continue;
    }
    size_t start = i, stop = i + token->spelling.length;
    i = stop;
    if (token->special && patterns->split_special) continue;
    if (token->single_word && !stands_alone(s, piece->length, start, stop)) continue;
    if (token->lstrip) start = start < done ? done : spaces_before(s, start, done);
    if (start >= stop) continue;
    if (token->rstrip) stop = spaces_behind(s, piece->length, stop < done ? done : stop);
    if (done < start) ld_pieces_cut(pieces, piece, done, start, -1);
    ld_pieces_cut(pieces, piece, start, stop, token->id);
    done = stop;
  }
  if (done < piece->length) ld_pieces_cut(pieces, piece, done, piece->length, -1);
  return 0;
}

int ld_added_split(const ld_patterns *patterns, ld_pieces *pieces, ld_error *err) {
  if (!patterns->n) return 0;
  int rc = 0;
  for (size_t i = 0; i < pieces->n && !rc; i++)
    if (pieces->items[i].id >= 0)
      ld_pieces_add(pieces, pieces->items[i]);
    else
      rc = split_piece(patterns, pieces, &pieces->items[i], err);
  ld_pieces_swap(pieces, false);
  return rc;
}
