#include "metric/words.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "metric/python_str.h"

void ld_words_add(ld_words *words, const char *bytes, size_t length) {
  ld_text_append(&words->bytes, bytes, length);
  words->stops = ld_grow(words->stops, words->n, &words->stop_room, sizeof *words->stops);
  words->stops[words->n++] = words->bytes.length;
}

void ld_words_split(ld_words *words, const char *bytes, size_t length) {
  size_t begin = 0, at = 0;
  while (at < length) {
    const size_t here = at;
    uint32_t code;
    if (!ld_utf8_read(bytes, length, &at, &code) || !ld_python_is_space(code)) continue;
    if (here > begin) ld_words_add(words, bytes + begin, here - begin);
    begin = at;
  }
  if (length > begin) ld_words_add(words, bytes + begin, length - begin);
}

void ld_words_end_text(ld_words *words) {
  words->ends = ld_grow(words->ends, words->n_texts, &words->end_room, sizeof *words->ends);
  words->ends[words->n_texts++] = words->n;
}

/* A string of bytes, and where its number goes. */
typedef struct string {
  const void *bytes;
  size_t length;
  uint32_t *id;
} string;

static int compare(const void *a, const void *b) {
  const string *x = a, *y = b;
  if (x->length != y->length) return x->length < y->length ? -1 : 1;
  return x->length ? memcmp(x->bytes, y->bytes, x->length) : 0;
}

/* Numbers the n strings from 0, equal ones with one number; returns how many numbers there are. By
 * sorting: no input makes it slow, as some would a hash table. */
static uint32_t number(string *strings, size_t n) {
  assert(n < UINT32_MAX);
  qsort(strings, n, sizeof *strings, compare);
  uint32_t id = 0;
  for (size_t i = 0; i < n; i++) {
    if (i && compare(&strings[i - 1], &strings[i])) id++;
    *strings[i].id = id;
  }
  return n ? id + 1 : 0;
}

void ld_words_number(ld_words *words) {
  string *strings = ld_alloc(words->n, sizeof *strings);
  words->ids = ld_alloc(words->n, sizeof *words->ids);
  for (size_t i = 0; i < words->n; i++) {
    const size_t begin = i ? words->stops[i - 1] : 0;
    strings[i] = (string){words->bytes.bytes + begin, words->stops[i] - begin, &words->ids[i]};
  }
  words->n_ids = number(strings, words->n);
  free(strings);
}

void ld_words_free(ld_words *words) {
  ld_text_free(&words->bytes);
  free(words->stops);
  free(words->ends);
  free(words->ids);
  *words = (ld_words){0};
}

static size_t begin_of(const ld_words *words, size_t text) {
  return text ? words->ends[text - 1] : 0;
}

ld_numbers ld_words_text(const ld_words *words, size_t text) {
  const size_t begin = begin_of(words, text);
  return (ld_numbers){words->ids + begin, words->ends[text] - begin};
}

ld_numbers ld_ngrams_text(const ld_ngrams *ngrams, size_t text) {
  const size_t begin = begin_of(ngrams->words, text), words = ngrams->words->ends[text] - begin;
  return (ld_numbers){ngrams->ids + begin, words < ngrams->n ? 0 : words - ngrams->n + 1};
}

ld_ngrams ld_ngrams_of(const ld_words *words, size_t n) {
  ld_ngrams ngrams = {words, n, ld_alloc(words->n, sizeof *ngrams.ids), 0};
  string *strings = ld_alloc(words->n, sizeof *strings);
  size_t count = 0;
  for (size_t t = 0; t < words->n_texts; t++) {
    const size_t begin = begin_of(words, t);
    for (size_t i = begin; i + n <= words->ends[t]; i++)
      strings[count++] = (string){words->ids + i, n * sizeof *words->ids, &ngrams.ids[i]};
  }
  ngrams.n_ids = number(strings, count);
  free(strings);
  return ngrams;
}

void ld_ngrams_free(ld_ngrams *ngrams) {
  free(ngrams->ids);
  *ngrams = (ld_ngrams){0};
}

size_t ld_ngrams_shared(const ld_ngrams *ngrams, size_t text, size_t from, size_t to) {
  uint32_t *here = ld_alloc(2 * (size_t)ngrams->n_ids, sizeof *here), *most = here + ngrams->n_ids;
  for (size_t t = from; t < to; t++) {
    const ld_numbers other = ld_ngrams_text(ngrams, t);
    for (size_t i = 0; i < other.n; i++) {
      const uint32_t id = other.at[i];
      if (++here[id] > most[id]) most[id] = here[id];
    }
    for (size_t i = 0; i < other.n; i++) here[other.at[i]] = 0;
  }
  const ld_numbers own = ld_ngrams_text(ngrams, text);
  size_t shared = 0;
  for (size_t i = 0; i < own.n; i++) {
    if (!most[own.at[i]]) continue;
    most[own.at[i]]--;
    shared++;
  }
  free(here);
  return shared;
}
