/* The steps have the names of the paper. Its measure m of a stem counts the vowels that a consonant
 * follows: [C](VC)^m[V]. */
#include "metric/porter.h"

#include <stdbool.h>
#include <string.h>

/* A word whose end is being replaced. */
typedef struct word {
  char *at;
  size_t length;
} word;

static bool is_vowel_letter(char c) {
  return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u';
}

/* A 'y' is a consonant at the start and after a vowel. */
static bool consonant_after(char c, bool first, bool before) {
  return c == 'y' ? first || !before : !is_vowel_letter(c);
}

static bool is_consonant(const char *at, size_t i) {
  size_t ys = 0;
  while (ys < i && at[i - ys] == 'y') ys++;
  return !is_vowel_letter(at[i - ys]) != (ys % 2 == 1);
}

static size_t measure(const char *at, size_t length) {
  size_t m = 0;
  bool consonant = true;
  for (size_t i = 0; i < length; i++) {
    const bool now = consonant_after(at[i], i == 0, consonant);
    m += now && !consonant;
    consonant = now;
  }
  return m;
}

static bool has_vowel(const char *at, size_t length) {
  bool consonant = true;
  for (size_t i = 0; i < length && consonant; i++) consonant = consonant_after(at[i], i == 0, consonant);
  return !consonant;
}

/* *d in the paper */
static bool ends_in_double_consonant(const word *w) {
  const size_t n = w->length;
  return n >= 2 && w->at[n - 1] == w->at[n - 2] && is_consonant(w->at, n - 1);
}

/* *o in the paper, and NLTK's vowel with a consonant alone */
static bool ends_in_cvc(const char *at, size_t n) {
  if (n == 2) return !is_consonant(at, 0) && is_consonant(at, 1);
  return n >= 3 && is_consonant(at, n - 3) && !is_consonant(at, n - 2) && is_consonant(at, n - 1) &&
         !strchr("wxy", at[n - 1]);
}

static bool ends_in(const word *w, const char *suffix) {
  const size_t n = strlen(suffix);
  return n <= w->length && !memcmp(w->at + w->length - n, suffix, n);
}

static void replace(word *w, size_t stem, const char *end) {
  w->length = stem + strlen(end);
  memcpy(w->at + stem, end, strlen(end));
}

/* Whether a suffix may be taken from the stem before it. */
typedef bool condition(const char *at, size_t stem);

static bool always(const char *at, size_t stem) {
  return (void)at, (void)stem, true;
}
static bool m_above_0(const char *at, size_t stem) {
  return measure(at, stem) > 0;
}
static bool m_above_0_with_l(const char *at, size_t stem) {
  return measure(at, stem + 1) > 0;
}
static bool m_above_1(const char *at, size_t stem) {
  return measure(at, stem) > 1;
}
static bool m_above_1_with_l(const char *at, size_t stem) {
  return measure(at, stem + 1) > 1;
}
static bool m_above_1_after_s_or_t(const char *at, size_t stem) {
  return measure(at, stem) > 1 && strchr("st", at[stem - 1]);
}
static bool m_1_and_cvc(const char *at, size_t stem) {
  return measure(at, stem) == 1 && ends_in_cvc(at, stem);
}
static bool after_consonant(const char *at, size_t stem) {
  return stem > 1 && is_consonant(at, stem - 1);
}

typedef struct rule {
  const char *suffix, *end;
  condition *may;
} rule;

/* The first rule whose suffix the word has decides, even when its condition does not hold. */
static void apply(word *w, const rule *rules) {
  while (rules->suffix && !ends_in(w, rules->suffix)) rules++;
  if (!rules->suffix) return;
  const size_t stem = w->length - strlen(rules->suffix);
  if (rules->may(w->at, stem)) replace(w, stem, rules->end);
}

static const rule step1a[] = {
    {"sses", "ss", always}, {"ies", "i", always}, {"ss", "ss", always}, {"s", "", always}, {0}};

/* After -ed or -ing was removed. */
static const rule step1b_tidy[] = {{"at", "ate", always}, {"bl", "ble", always}, {"iz", "ize", always}, {0}};
static const rule step1b_e[] = {{"", "e", m_1_and_cvc}, {0}};

static const rule step1c[] = {{"y", "i", after_consonant}, {0}};

static const rule step2[] = {{"ational", "ate", m_above_0},
                             {"tional", "tion", m_above_0},
                             {"enci", "ence", m_above_0},
                             {"anci", "ance", m_above_0},
                             {"izer", "ize", m_above_0},
                             {"bli", "ble", m_above_0},
                             {"alli", "al", m_above_0},
                             {"entli", "ent", m_above_0},
                             {"eli", "e", m_above_0},
                             {"ousli", "ous", m_above_0},
                             {"ization", "ize", m_above_0},
                             {"ation", "ate", m_above_0},
                             {"ator", "ate", m_above_0},
                             {"alism", "al", m_above_0},
                             {"iveness", "ive", m_above_0},
                             {"fulness", "ful", m_above_0},
                             {"ousness", "ous", m_above_0},
                             {"aliti", "al", m_above_0},
                             {"iviti", "ive", m_above_0},
                             {"biliti", "ble", m_above_0},
                             {"fulli", "ful", m_above_0},
                             {"logi", "log", m_above_0_with_l},
                             {0}};

static const rule step3[] = {{"icate", "ic", m_above_0}, {"ative", "", m_above_0},
                             {"alize", "al", m_above_0}, {"iciti", "ic", m_above_0},
                             {"ical", "ic", m_above_0},  {"ful", "", m_above_0},
                             {"ness", "", m_above_0},    {0}};

static const rule step4[] = {{"al", "", m_above_1},    {"ance", "", m_above_1},
                             {"ence", "", m_above_1},  {"er", "", m_above_1},
                             {"ic", "", m_above_1},    {"able", "", m_above_1},
                             {"ible", "", m_above_1},  {"ant", "", m_above_1},
                             {"ement", "", m_above_1}, {"ment", "", m_above_1},
                             {"ent", "", m_above_1},   {"ion", "", m_above_1_after_s_or_t},
                             {"ou", "", m_above_1},    {"ism", "", m_above_1},
                             {"ate", "", m_above_1},   {"iti", "", m_above_1},
                             {"ous", "", m_above_1},   {"ive", "", m_above_1},
                             {"ize", "", m_above_1},   {0}};

static const rule step5b[] = {{"ll", "l", m_above_1_with_l}, {0}};

static void remove_plural(word *w) {
  if (w->length == 4 && ends_in(w, "ies"))
    w->length--;
  else
    apply(w, step1a);
}

/* Steps 1b: -eed, -ed, -ing. */
static void remove_past(word *w) {
  if (ends_in(w, "ied")) {
    w->length -= w->length == 4 ? 1 : 2;
    return;
  }
  if (ends_in(w, "eed")) {
    if (m_above_0(w->at, w->length - 3)) w->length--;
    return;
  }
  const size_t suffix = ends_in(w, "ed") ? 2 : ends_in(w, "ing") ? 3 : 0;
  if (!suffix || !has_vowel(w->at, w->length - suffix)) return;
  w->length -= suffix;
  const size_t before = w->length;
  apply(w, step1b_tidy);
  if (w->length != before) return;
  if (ends_in_double_consonant(w))
    w->length -= !strchr("lsz", w->at[w->length - 1]);
  else
    apply(w, step1b_e);
}

static void remove_e(word *w) {
  if (!ends_in(w, "e")) return;
  const size_t stem = w->length - 1, m = measure(w->at, stem);
  if (m > 1 || (m == 1 && !ends_in_cvc(w->at, stem))) w->length = stem;
}

/* NLTK's irregular forms. */
static bool is_irregular(word *w) {
  static const char *const forms[][2] = {
      {"sky", "sky"},        {"skies", "sky"},       {"dying", "die"},        {"lying", "lie"},
      {"tying", "tie"},      {"news", "news"},       {"innings", "inning"},   {"inning", "inning"},
      {"outings", "outing"}, {"outing", "outing"},   {"cannings", "canning"}, {"canning", "canning"},
      {"howe", "howe"},      {"proceed", "proceed"}, {"exceed", "exceed"},    {"succeed", "succeed"}};
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    if (strlen(forms[i][0]) != w->length || !ends_in(w, forms[i][0])) continue;
    replace(w, 0, forms[i][1]);
    return true;
  }
  return false;
}

size_t ld_porter_stem(char *at, size_t length) {
  word w = {at, length};
  if (is_irregular(&w) || length <= 2) return w.length;
  remove_plural(&w);
  remove_past(&w);
  apply(&w, step1c);
  if (ends_in(&w, "alli") && m_above_0(at, w.length - 4)) w.length -= 2; /* NLTK: then the other rules */
  apply(&w, step2);
  apply(&w, step3);
  apply(&w, step4);
  remove_e(&w);
  apply(&w, step5b);
  return w.length;
}
