#include "metric/pick.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "metric/words.h"

typedef struct scored {
  size_t number;
  float score;
} scored;

static int better_first(const void *a, const void *b) {
  const scored *x = a, *y = b;
  if (x->score > y->score || x->score < y->score) return x->score > y->score ? -1 : 1;
  return x->number < y->number ? -1 : 1;
}

static int lower_first(const void *a, const void *b) {
  const size_t x = *(const size_t *)a, y = *(const size_t *)b;
  return x < y ? -1 : x > y;
}

static void add_words(const char *sentence, ld_words *words) {
  char *text = ld_strdup(sentence);
  for (char *c = text; *c; c++)
    if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
  ld_words_split(words, text, strlen(text));
  ld_words_end_text(words);
  free(text);
}

/* Whether none of the n-grams is marked; these are marked then. */
static bool take(ld_numbers ngrams, bool *marks) {
  for (size_t i = 0; i < ngrams.n; i++)
    if (marks[ngrams.at[i]]) return false;
  for (size_t i = 0; i < ngrams.n; i++) marks[ngrams.at[i]] = true;
  return true;
}

size_t ld_pick_sentences(const char *const *sentences, const float *scores, size_t n, size_t most,
                         size_t *picked) {
  ld_words words = {0};
  scored *order = ld_alloc(n, sizeof *order);
  for (size_t i = 0; i < n; i++) {
    order[i] = (scored){i, isnan(scores[i]) ? -INFINITY : scores[i]};
    add_words(sentences[i], &words);
  }
  qsort(order, n, sizeof *order, better_first);
  ld_words_number(&words);
  ld_ngrams trigrams = ld_ngrams_of(&words, 3);
  bool *marks = ld_alloc(trigrams.n_ids, sizeof *marks);
  size_t n_picked = 0;
  for (size_t i = 0; i < n && n_picked < most; i++) {
    const size_t number = order[i].number;
    if (*sentences[number] && take(ld_ngrams_text(&trigrams, number), marks)) picked[n_picked++] = number;
  }
  qsort(picked, n_picked, sizeof *picked, lower_first);
  free(marks);
  free(order);
  ld_ngrams_free(&trigrams);
  ld_words_free(&words);
  return n_picked;
}
