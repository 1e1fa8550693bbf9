/* Texts as numbers, which is how scores compare them: within a set of texts equal words have equal
 * numbers, and so have equal n-grams.
 *
 *   texts     "the cat sat"  "the the cat"
 *   words      2   0   1      2   2   0
 *   bigrams    1   0          2   1           "the cat" is 1 in both
 */
#ifndef LD_WORDS_H
#define LD_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* A text: n numbers of words. Not owned. */
typedef struct ld_numbers {
  const uint32_t *at;
  size_t n;
} ld_numbers;

/* Zero-initialise; add the words of each text and end it; then number them. Free with ld_words_free. */
typedef struct ld_words {
  ld_text bytes;            /* of all words, one after the other */
  size_t *stops, stop_room; /* where each word stops in `bytes` */
  size_t n;                 /* words */
  size_t *ends, end_room;   /* where each text ends, in words */
  size_t n_texts;
  uint32_t *ids; /* (n), the numbers; NULL before ld_words_number */
  uint32_t n_ids;
} ld_words;

/* Adds a word to the last text: any bytes. */
void ld_words_add(ld_words *words, const char *bytes, size_t length);
/* Adds the pieces between white space, as Python's str.split() finds them. */
void ld_words_split(ld_words *words, const char *bytes, size_t length);
void ld_words_end_text(ld_words *words);
void ld_words_number(ld_words *words);
void ld_words_free(ld_words *words);

ld_numbers ld_words_text(const ld_words *words, size_t text);

/* The n-grams of all texts; none crosses the end of a text. Free with ld_ngrams_free. */
typedef struct ld_ngrams {
  const ld_words *words; /* must outlive it */
  size_t n;
  uint32_t
      *ids; /* (words->n) of the n-gram that begins with this word; undefined where the text is too short */
  uint32_t n_ids;
} ld_ngrams;

ld_ngrams ld_ngrams_of(const ld_words *words, size_t n);
void ld_ngrams_free(ld_ngrams *ngrams);

/* The n-grams of a text, in order. */
ld_numbers ld_ngrams_text(const ld_ngrams *ngrams, size_t text);

/* How many n-grams of `text` occur in the texts [from, to) too. Each is counted at most as often as it
 * occurs in the one of them that has it most often ("clipped" counts). */
size_t ld_ngrams_shared(const ld_ngrams *ngrams, size_t text, size_t from, size_t to);

#endif
