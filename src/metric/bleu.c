#include "metric/bleu.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "metric/python_str.h"
#include "metric/words.h"

static void replace_all(ld_text *text, const char *from, const char *to) {
  ld_text out = {0};
  const size_t length = strlen(from);
  const char *at = text->bytes;
  for (const char *found; (found = strstr(at, from)); at = found + length) {
    ld_text_append(&out, at, (size_t)(found - at));
    ld_text_puts(&out, to);
  }
  ld_text_puts(&out, at);
  ld_text_swap(text, &out);
  ld_text_free(&out);
}

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
static bool is_no_digit(char c) {
  return !is_digit(c);
}
static bool is_point(char c) {
  return c == '.' || c == ',';
}
static bool is_dash(char c) {
  return c == '-';
}

/* All ASCII punctuation but the apostrophe and what the rules below are about. */
static bool is_symbol(char c) {
  return c >= ' ' && c <= '~' && !strchr("'.,-", c) && !is_digit(c) && !(c >= 'a' && c <= 'z') &&
         !(c >= 'A' && c <= 'Z');
}

static void separate_symbols(ld_text *text) {
  ld_text out = {0};
  for (size_t i = 0; i < text->length; i++) {
    const char spaced[] = {' ', text->bytes[i], ' '};
    const bool symbol = is_symbol(text->bytes[i]);
    ld_text_append(&out, symbol ? spaced : &text->bytes[i], symbol ? 3 : 1);
  }
  ld_text_swap(text, &out);
  ld_text_free(&out);
}

/* Two characters side by side, of which one becomes a word of its own. */
typedef struct separation {
  bool (*first)(char c);
  bool (*second)(char c);
  bool takes_first;
} separation;

/* As re.sub does it: from the left, and the next match begins after the whole of the last one. Every
 * class holds all bytes beyond ASCII or none, so bytes can stand for characters. */
static void separate(ld_text *text, const separation *s) {
  ld_text out = {0};
  for (size_t i = 0; i < text->length; i++) {
    const char *at = text->bytes + i;
    if (i + 1 == text->length || !s->first(at[0]) || !s->second(at[1])) {
      ld_text_append(&out, at, 1);
      continue;
    }
    const char with_first[] = {' ', at[0], ' ', at[1]}, with_second[] = {at[0], ' ', at[1], ' '};
    ld_text_append(&out, s->takes_first ? with_first : with_second, 4);
    i++;
  }
  ld_text_swap(text, &out);
  ld_text_free(&out);
}

static size_t without_space_at_end(const char *text) {
  size_t end = 0;
  const size_t length = strlen(text);
  for (size_t at = 0; at < length;) {
    uint32_t code;
    if (!ld_utf8_read(text, length, &at, &code) || !ld_python_is_space(code)) end = at;
  }
  return end;
}

/* A text of the words of sacrebleu's tokenizer "13a", which is that of mteval-v13a.pl. */
static void add_words(const char *text, ld_words *out) {
  static const char *const plain[][2] = {{"<skipped>", ""}, {"-\n", ""},   {"\n", " "},  {"&quot;", "\""},
                                         {"&amp;", "&"},    {"&lt;", "<"}, {"&gt;", ">"}};
  static const separation separations[] = {
      {is_no_digit, is_point, false}, {is_point, is_no_digit, true}, {is_digit, is_dash, false}};
  ld_text line = {0};
  ld_text_puts(&line, " ");
  ld_text_append(&line, text, without_space_at_end(text));
  ld_text_puts(&line, " ");
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) replace_all(&line, plain[i][0], plain[i][1]);
  separate_symbols(&line);
  for (size_t i = 0; i < sizeof separations / sizeof *separations; i++) separate(&line, &separations[i]);
  ld_words_split(out, line.bytes, line.length);
  ld_words_end_text(out);
  ld_text_free(&line);
}

enum { MOST_N = 4 };
/* Places of the counts: words written, words of the reference that is closest in length, n-grams that are
 * right, and all n-grams written. */
enum { WRITTEN, REFERENCE, RIGHT, ALL = RIGHT + MOST_N };

static size_t closest_length(const ld_words *words, size_t length) {
  size_t best = 0, best_off = SIZE_MAX;
  for (size_t t = 1; t < words->n_texts; t++) {
    const size_t n = ld_words_text(words, t).n, off = n > length ? n - length : length - n;
    if (off > best_off || (off == best_off && n >= best)) continue;
    best = n;
    best_off = off;
  }
  return best;
}

static void count(const ld_written *written, int64_t *counts) {
  ld_words words = {0};
  add_words(written->text, &words);
  for (size_t i = 0; i < written->n_references; i++) add_words(written->references[i], &words);
  ld_words_number(&words);
  const size_t length = ld_words_text(&words, 0).n;
  counts[WRITTEN] = (int64_t)length;
  counts[REFERENCE] = (int64_t)closest_length(&words, length);
  for (size_t n = 1; n <= MOST_N; n++) {
    ld_ngrams ngrams = ld_ngrams_of(&words, n);
    counts[RIGHT + n - 1] = (int64_t)ld_ngrams_shared(&ngrams, 0, 1, words.n_texts);
    counts[ALL + n - 1] = (int64_t)ld_ngrams_text(&ngrams, 0).n;
    ld_ngrams_free(&ngrams);
  }
  ld_words_free(&words);
}

/* The brevity penalty times the geometric mean of the precisions. Where no n-gram of an order is right,
 * half of one counts as right, a quarter at the next such order, and so on ("exp" smoothing). */
static double value(const int64_t *sums) {
  const int64_t *right = sums + RIGHT, *all = sums + ALL;
  const double written = (double)sums[WRITTEN], reference = (double)sums[REFERENCE];
  double halved = 1, logs = 0;
  if (!right[0]) return 0; /* then none is right at any order */
  for (int n = 0; n < MOST_N; n++) {
    if (!all[n]) return 0;
    if (!right[n]) halved /= 2;
    logs += log(100 * (right[n] ? (double)right[n] : halved) / (double)all[n]);
  }
  return (written < reference ? exp(1 - reference / written) : 1) * exp(logs / MOST_N);
}

const ld_text_metric ld_metric_bleu = {{.key = "bleu", .name = "BLEU", .digits = 2}, count, value};
