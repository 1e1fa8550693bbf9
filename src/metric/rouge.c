#include "metric/rouge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "metric/lcs.h"
#include "metric/porter.h"
#include "metric/python_str.h"
#include "metric/words.h"

static void end_word(ld_text *word, bool stem, ld_words *out) {
  if (stem && word->length > 3) word->length = ld_porter_stem(word->bytes, word->length);
  if (word->length) ld_words_add(out, word->bytes, word->length);
  ld_text_clear(word);
}

/* As one text, or as a text for each line. */
static void add_words(const char *text, bool stem, bool by_line, ld_words *out) {
  ld_text word = {0};
  const size_t length = strlen(text);
  for (size_t at = 0; at < length;) {
    uint32_t code;
    const char c = ld_utf8_read(text, length, &at, &code) ? ld_python_lower(code) : '\0';
    if (c) ld_text_append(&word, &c, 1);
    if (!c || code == 0x130) end_word(&word, stem, out); /* U+0130 is "i" and then a combining dot */
    if (by_line && code == '\n') ld_words_end_text(out);
  }
  end_word(&word, stem, out);
  ld_words_end_text(out);
  ld_text_free(&word);
}

/* What was written and a reference. */
typedef struct pair {
  ld_words words;       /* the texts, or lines, of the first, then those of the second */
  size_t n_first;       /* texts of the first */
  size_t first, second; /* words of each */
} pair;

static size_t shared_ngrams(const pair *p, size_t n) {
  ld_ngrams ngrams = ld_ngrams_of(&p->words, n);
  const size_t shared = ld_ngrams_shared(&ngrams, 0, 1, 2);
  ld_ngrams_free(&ngrams);
  return shared;
}

static size_t shared_words(const pair *p) {
  return shared_ngrams(p, 1);
}
static size_t shared_bigrams(const pair *p) {
  return shared_ngrams(p, 2);
}
static size_t common_subsequence(const pair *p) {
  return ld_lcs_length(ld_words_text(&p->words, 1), ld_words_text(&p->words, 0));
}

/* A word counts at most as often as it was written, in however many lines of the reference it is. */
static size_t common_by_line(const pair *p) {
  const ld_words *words = &p->words;
  uint32_t *left = ld_alloc(words->n_ids, sizeof *left);
  bool *marks = ld_alloc(words->n, sizeof *marks);
  size_t hits = 0;
  for (size_t i = 0; i < p->first; i++) left[words->ids[i]]++;
  for (size_t r = p->n_first; r < words->n_texts; r++) {
    const ld_numbers line = ld_words_text(words, r);
    memset(marks, 0, line.n * sizeof *marks);
    for (size_t t = 0; t < p->n_first; t++) ld_lcs_mark(line, ld_words_text(words, t), marks);
    for (size_t i = 0; i < line.n; i++) {
      if (!marks[i] || !left[line.at[i]]) continue;
      left[line.at[i]]--;
      hits++;
    }
  }
  free(left);
  free(marks);
  return hits;
}

/* What is compared, and how many there are of it in n words: n - less. */
static const struct {
  size_t (*hits)(const pair *p);
  size_t less;
  bool by_line;
} kinds[] = {
    [LD_ROUGE_1] = {shared_words, 0, false},
    [LD_ROUGE_2] = {shared_bigrams, 1, false},
    [LD_ROUGE_L] = {common_subsequence, 0, false},
    [LD_ROUGE_LSUM] = {common_by_line, 0, true},
};

static double part(size_t hits, size_t of) {
  return of ? (double)hits / (double)of : 0;
}

static ld_rouge_score score_pair(ld_rouge rouge, const char *text, const char *reference, bool stem) {
  pair both = {0};
  add_words(text, stem, kinds[rouge].by_line, &both.words);
  both.n_first = both.words.n_texts;
  both.first = both.words.n;
  add_words(reference, stem, kinds[rouge].by_line, &both.words);
  both.second = both.words.n - both.first;
  ld_words_number(&both.words);
  const size_t hits = kinds[rouge].hits(&both), less = kinds[rouge].less;
  const double p = part(hits, both.first > less ? both.first - less : 0);
  const double r = part(hits, both.second > less ? both.second - less : 0);
  ld_words_free(&both.words);
  return (ld_rouge_score){p, r, p + r > 0 ? 2 * p * r / (p + r) : 0};
}

ld_rouge_score ld_rouge_of(ld_rouge rouge, const ld_written *written) {
  ld_rouge_score best = {0};
  for (size_t i = 0; i < written->n_references; i++) {
    const ld_rouge_score score = score_pair(rouge, written->text, written->references[i], written->stem);
    if (i == 0 || score.f > best.f) best = score;
  }
  return best;
}

/* F in units of 2^-40: exact to 5e-13, and the sum of eight million records fits. */
enum { F_SUM, RECORDS };

static void count(ld_rouge rouge, const ld_written *written, int64_t *counts) {
  counts[F_SUM] = llround(ldexp(ld_rouge_of(rouge, written).f, 40));
  counts[RECORDS] = 1;
}

static double value(const int64_t *sums) {
  return sums[RECORDS] ? ldexp((double)sums[F_SUM], -40) / (double)sums[RECORDS] : 0;
}

static void count_1(const ld_written *written, int64_t *counts) {
  count(LD_ROUGE_1, written, counts);
}
static void count_2(const ld_written *written, int64_t *counts) {
  count(LD_ROUGE_2, written, counts);
}
static void count_l(const ld_written *written, int64_t *counts) {
  count(LD_ROUGE_L, written, counts);
}
static void count_lsum(const ld_written *written, int64_t *counts) {
  count(LD_ROUGE_LSUM, written, counts);
}

const ld_text_metric ld_metric_rouge1 = {
    {.key = "rouge1", .name = "ROUGE-1", .title = "ROUGE-1 F", .digits = 4}, count_1, value};
const ld_text_metric ld_metric_rouge2 = {
    {.key = "rouge2", .name = "ROUGE-2", .title = "ROUGE-2 F", .digits = 4}, count_2, value};
const ld_text_metric ld_metric_rougeL = {
    {.key = "rougeL", .name = "ROUGE-L", .title = "ROUGE-L F", .digits = 4}, count_l, value};
const ld_text_metric ld_metric_rougeLsum = {
    {.key = "rougeLsum", .name = "ROUGE-Lsum", .title = "ROUGE-Lsum F", .digits = 4}, count_lsum, value};
