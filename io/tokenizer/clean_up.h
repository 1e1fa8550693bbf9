/* Removes the spaces that tokens left before punctuation. */
#ifndef LD_CLEAN_UP_H
#define LD_CLEAN_UP_H

#include <stdbool.h>

#include "base/text.h"

/* Joins English punctuation to the word before it; with `contract` " do not" becomes " don't". */
void ld_clean_up(ld_text *text, bool contract);

#endif
