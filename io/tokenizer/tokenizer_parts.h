/* The parts of a tokenizer, for tokenizer.c and for tests that look inside. */
#ifndef LD_TOKENIZER_PARTS_H
#define LD_TOKENIZER_PARTS_H

#include <stdint.h>

#include "io/tokenizer/added_tokens.h"
#include "io/tokenizer/class.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/vocabulary.h"

struct ld_tokenizer {
  ld_component normalizer, pre_tokenizer, model, post_processor, decoder;
  ld_added_tokens added;
  ld_token_text *spellings; /* by id; NULL bytes for a hole */
  uint8_t *skipped;         /* by id: whether decoding skips it along with special tokens */
  int32_t size, eos, pad;
  ld_token_settings settings;
  ld_tokenizer *next; /* ld_tokenizer_follow; NULL: none */
};

#endif
