/* The tokenizer classes of transformers with a Unigram model. */
#ifndef LD_CLASS_UNIGRAM_H
#define LD_CLASS_UNIGRAM_H

#include "io/tokenizer/class_parts.h"

extern const ld_token_class ld_t5_class, ld_xlm_roberta_class, ld_albert_class, ld_deberta_class,
    ld_pegasus_class, ld_mbart_class, ld_mbart50_class;

#endif
