#include "metric/chrf.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "metric/python_str.h"
#include "metric/words.h"

enum { MOST_N = 6 };
/* Places of the counts of each order: n-grams written, of the reference, and shared. */
enum { WRITTEN, REFERENCE, SHARED, N_PLACES };

_Static_assert(MOST_N *N_PLACES <= LD_MOST_COUNTS, "counts of all orders");

/* The characters that are no white space, each as a word. */
static void add_characters(const char *text, ld_words *out) {
  const size_t length = strlen(text);
  for (size_t at = 0; at < length;) {
    const size_t begin = at;
    uint32_t code;
    if (!ld_utf8_read(text, length, &at, &code) || !ld_python_is_space(code))
      ld_words_add(out, text + begin, at - begin);
  }
  ld_words_end_text(out);
}

/* Precision and recall are means over the orders that both texts have n-grams of; recall weighs four
 * times as much. */
static double value(const int64_t *sums) {
  double precision = 0, recall = 0;
  int orders = 0;
  for (const int64_t *of = sums; of < sums + MOST_N * N_PLACES; of += N_PLACES) {
    if (!of[WRITTEN] || !of[REFERENCE]) continue;
    precision += (double)of[SHARED] / (double)of[WRITTEN];
    recall += (double)of[SHARED] / (double)of[REFERENCE];
    orders++;
  }
  if (precision + recall == 0) return 0;
  precision /= orders;
  recall /= orders;
  return 100 * (5 * precision * recall / (4 * precision + recall));
}

/* Against the reference with the best value. */
static void count(const ld_written *written, int64_t *counts) {
  const size_t n_counts = MOST_N * N_PLACES;
  ld_words words = {0};
  add_characters(written->text, &words);
  for (size_t i = 0; i < written->n_references; i++) add_characters(written->references[i], &words);
  ld_words_number(&words);
  int64_t *all = ld_alloc(words.n_texts * n_counts, sizeof *all); /* (texts, orders, places) */
  for (size_t n = 1; n <= MOST_N; n++) {
    ld_ngrams ngrams = ld_ngrams_of(&words, n);
    for (size_t t = 1; t < words.n_texts; t++) {
      int64_t *of = all + t * n_counts + (n - 1) * N_PLACES;
      of[REFERENCE] = (int64_t)ld_ngrams_text(&ngrams, t).n;
      of[WRITTEN] = of[REFERENCE] ? (int64_t)ld_ngrams_text(&ngrams, 0).n : 0;
      of[SHARED] = (int64_t)ld_ngrams_shared(&ngrams, 0, t, t + 1);
    }
    ld_ngrams_free(&ngrams);
  }
  double best = -1;
  for (size_t t = 1; t < words.n_texts; t++) {
    const double now = value(all + t * n_counts);
    if (now <= best) continue;
    best = now;
    memcpy(counts, all + t * n_counts, n_counts * sizeof *counts);
  }
  free(all);
  ld_words_free(&words);
}

const ld_text_metric ld_metric_chrf = {{.key = "chrf", .name = "chrF", .digits = 2}, count, value};
