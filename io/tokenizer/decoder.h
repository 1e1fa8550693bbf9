/* Decoders: from tokens to text, all at once or id by id, with the same code. */
#ifndef LD_DECODER_H
#define LD_DECODER_H

#include "io/tokenizer/stage.h"

/* A chain of stages for one text: the decoder's tokens go in at its head and text comes out at its end. */
typedef struct ld_chain {
  ld_stage *stages;
  size_t n;
  ld_budget budget; /* the stages point to it, so a chain must not move */
} ld_chain;

/* What follows the decoder: `word_end` ("</w>", or NULL) becomes a space, and the text's ends are stripped; with
 * `clean_up` the whole text is cleaned up, and only appears at its end. `word_end` belongs to the caller. */
void ld_chain_init(ld_chain *chain, const ld_component *decoder, const char *word_end, bool clean_up);
void ld_chain_token(ld_chain *chain, const char *bytes, size_t length, ld_text *out);
void ld_chain_finish(ld_chain *chain, ld_text *out);
void ld_chain_free(ld_chain *chain);

extern const ld_component_kind *const ld_decoder_kinds[];

#endif
