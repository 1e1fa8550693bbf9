/* Which sentences a summary is made of, by their scores.
 *
 * As in Liu & Lapata, "Text summarization with pretrained encoders", 2019 (PreSumm, trainer_ext.py): the
 * sentences with the highest scores, leaving out one that has a trigram in common with one that was picked
 * before. Words are what stands between white space, in small letters. */
#ifndef LD_PICK_H
#define LD_PICK_H

#include <stddef.h>

/* Writes the picked of n sentences in rising order to `picked`, (most), and returns how many there are. Of equal
 * scores the first is better; an empty sentence is never picked. */
size_t ld_pick_sentences(const char *const *sentences, const float *scores, size_t n, size_t most,
                         size_t *picked);

#endif
