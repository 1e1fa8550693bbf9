/* Normalizers: rewrite text before it is split. */
#ifndef LD_NORMALIZER_H
#define LD_NORMALIZER_H

#include "io/tokenizer/component.h"

extern const ld_component_kind *const ld_normalizer_kinds[];

#endif
