/* The kinds of components that have their own files, for the tables of the families. */
#ifndef LD_TOKENIZER_KINDS_H
#define LD_TOKENIZER_KINDS_H

#include "io/tokenizer/component.h"

extern const ld_component_kind ld_bpe_kind;                             /* bpe.c */
extern const ld_component_kind ld_unigram_kind;                         /* unigram.c */
extern const ld_component_kind ld_precompiled_normalizer;               /* precompiled.c */
extern const ld_component_kind ld_wordpiece_kind, ld_wordpiece_decoder; /* wordpiece.c */
extern const ld_component_kind ld_byte_level_normalizer, ld_byte_level_pre_tokenizer,
    ld_byte_level_decoder;                                                       /* byte_level.c */
extern const ld_component_kind ld_metaspace_pre_tokenizer, ld_metaspace_decoder; /* metaspace.c */
extern const ld_component_kind ld_bert_normalizer, ld_bert_pre_tokenizer;        /* bert.c */

#endif
