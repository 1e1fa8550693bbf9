/* Spaces that tokens left before punctuation.
 */
#ifndef LD_CLEAN_UP_H
#define LD_CLEAN_UP_H

#include <stdbool.h>

#include "base/text.h"

/* English punctuation joins the word before it; with `contract` " do not" becomes " don't". */
void ld_clean_up(ld_text *text, bool contract);

#endif
