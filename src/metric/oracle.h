/* The greedy oracle: which sentences of a document a summariser should have chosen, given the summary
 * that people wrote.
 *
 * As in Liu & Lapata, "Text summarization with pretrained encoders", 2019 (PreSumm, data_builder.py,
 * greedy_selection), with the document split at white space: the sentence is added that raises ROUGE-1 F
 * + ROUGE-2 F most, the first of several, until none does or there are `most`. Its ROUGE differs from
 * rouge.h's: n-grams count once, words are split at white space and then lose what is no ASCII letter or
 * digit ("don't" is "dont"), and there are no stems. */
#ifndef LD_ORACLE_H
#define LD_ORACLE_H

#include <stddef.h>

/* Writes the chosen of n sentences in rising order to `chosen`, (most), and returns how many there are; 0
 * where no sentence shares a word with the summary. Time grows with the length of all texts times `most`. */
size_t ld_oracle(const char *const *sentences, size_t n, const char *summary, size_t most, size_t *chosen);

#endif
