#include "metric/oracle.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "metric/python_str.h"
#include "metric/words.h"

static void add_words(const char *text, ld_words *out) {
  ld_text word = {0};
  const size_t length = strlen(text);
  for (size_t at = 0; at < length;) {
    uint32_t code;
    const bool good = ld_utf8_read(text, length, &at, &code);
    const char c = good ? ld_python_lower(code) : '\0';
    if (c) ld_text_append(&word, &c, 1);
    if (at < length && !(good && ld_python_is_space(code))) continue;
    if (word.length) ld_words_add(out, word.bytes, word.length);
    ld_text_clear(&word);
  }
  ld_words_end_text(out);
  ld_text_free(&word);
}

/* What is known of an n-gram. */
enum { IN_SUMMARY = 1, IN_CHOSEN = 2, IN_THIS = 4 };

/* The n-grams of the document and of its summary, the last text. */
typedef struct coverage {
  ld_ngrams ngrams;
  uint8_t *flags;                  /* (n_ids) */
  size_t of_summary;               /* different n-grams of the summary */
  size_t of_chosen, shared_chosen; /* of the chosen sentences; of these, in the summary too */
} coverage;

static coverage begin_coverage(const ld_words *words, size_t n) {
  coverage c = {.ngrams = ld_ngrams_of(words, n)};
  c.flags = ld_alloc(c.ngrams.n_ids, sizeof *c.flags);
  const ld_numbers summary = ld_ngrams_text(&c.ngrams, words->n_texts - 1);
  for (size_t i = 0; i < summary.n; i++) {
    c.of_summary += !c.flags[summary.at[i]];
    c.flags[summary.at[i]] = IN_SUMMARY;
  }
  return c;
}

static void free_coverage(coverage *c) {
  ld_ngrams_free(&c->ngrams);
  free(c->flags);
}

/* F of the chosen sentences with one more, which is chosen if `keep`. */
static double f_with(coverage *c, size_t sentence, bool keep) {
  const ld_numbers own = ld_ngrams_text(&c->ngrams, sentence);
  size_t of_chosen = c->of_chosen, shared = c->shared_chosen;
  for (size_t i = 0; i < own.n; i++) {
    uint8_t *flags = &c->flags[own.at[i]];
    if (*flags & (IN_CHOSEN | IN_THIS)) continue;
    *flags |= keep ? IN_CHOSEN : IN_THIS;
    of_chosen++;
    shared += *flags & IN_SUMMARY;
  }
  for (size_t i = 0; i < own.n; i++) c->flags[own.at[i]] &= (uint8_t)~IN_THIS;
  if (keep) c->of_chosen = of_chosen, c->shared_chosen = shared;
  const double p = of_chosen ? (double)shared / (double)of_chosen : 0;
  const double r = c->of_summary ? (double)shared / (double)c->of_summary : 0;
  return 2 * (p * r / (p + r + 1e-8));
}

size_t ld_oracle(const char *const *sentences, size_t n, const char *summary, size_t most, size_t *chosen) {
  ld_words words = {0};
  for (size_t i = 0; i < n; i++) add_words(sentences[i], &words);
  add_words(summary, &words);
  ld_words_number(&words);
  coverage one = begin_coverage(&words, 1), two = begin_coverage(&words, 2);
  bool *taken = ld_alloc(n, sizeof *taken);
  double best = 0;
  size_t n_chosen = 0;
  for (; n_chosen < most; n_chosen++) {
    size_t next = n;
    for (size_t i = 0; i < n; i++) {
      if (taken[i]) continue;
      const double f = f_with(&one, i, false) + f_with(&two, i, false);
      if (f > best) best = f, next = i;
    }
    if (next == n) break;
    taken[next] = true;
    f_with(&one, next, true);
    f_with(&two, next, true);
  }
  for (size_t i = 0, k = 0; i < n; i++)
    if (taken[i]) chosen[k++] = i;
  free(taken);
  free_coverage(&one);
  free_coverage(&two);
  ld_words_free(&words);
  return n_chosen;
}
