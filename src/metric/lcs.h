/* The longest common subsequence of two texts: words that both have in this order, not necessarily side
 * by side.
 *
 * Time grows with the product of the lengths; memory with the length, and with its power of 1.5 where the
 * words are marked. */
#ifndef LD_LCS_H
#define LD_LCS_H

#include <stdbool.h>

#include "metric/words.h"

size_t ld_lcs_length(ld_numbers a, ld_numbers b);

/* Sets marks[i], (a.n), where word i of `a` belongs to one longest common subsequence; other marks stay.
 * Where there are several, it is the one that the package rouge_score reads out of its table. */
void ld_lcs_mark(ld_numbers a, ld_numbers b, bool *marks);

#endif
