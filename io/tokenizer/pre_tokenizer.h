/* Pre-tokenizers: split text before the model. */
#ifndef LD_PRE_TOKENIZER_H
#define LD_PRE_TOKENIZER_H

#include "io/tokenizer/component.h"
#include "io/tokenizer/pieces.h"

/* Runs the pre-tokenizer, if there is one, and passes the pieces to `next`. */
int ld_pre_tokenize(const ld_component *pre_tokenizer, ld_pieces *pieces, const ld_next *next, ld_error *err);

extern const ld_component_kind *const ld_pre_tokenizer_kinds[];

#endif
