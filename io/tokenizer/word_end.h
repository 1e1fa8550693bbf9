/* The last stages of decoding for vocabularies that mark the ends of words: CLIP's "a</w>", "cat</w>" is "a cat". */
#ifndef LD_WORD_END_H
#define LD_WORD_END_H

#include "io/tokenizer/component.h"

/* Each mark in the whole text, the stage's data, becomes a space. Its first byte is ASCII and appears in it only
 * once. */
extern const ld_component_kind ld_word_end_kind;

/* The text loses the white space at its ends. */
extern const ld_component_kind ld_strip_ends_kind;

#endif
