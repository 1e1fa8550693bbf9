/* Splits pieces by a pattern or a class of characters, for pre-tokenizers. */
#ifndef LD_SPLIT_H
#define LD_SPLIT_H

#include <stdbool.h>
#include <stdint.h>

#include "io/tokenizer/pieces.h"
#include "io/tokenizer/regex.h"

/* Split behaviours. */
typedef enum ld_behavior {
  LD_REMOVED,
  LD_ISOLATED,
  LD_MERGED_WITH_PREVIOUS,
  LD_MERGED_WITH_NEXT,
  LD_CONTIGUOUS
} ld_behavior;

/* What a text is split at: a regular expression, or a class of characters. */
typedef struct ld_splitter {
  const ld_regex *regex;
  bool (*is)(uint32_t code);
  ld_behavior behavior;
  bool invert;
} ld_splitter;

/* Splits every piece of text. */
int ld_split(ld_pieces *pieces, const ld_splitter *splitter, const ld_next *next, ld_error *err);
int ld_split_twice(ld_pieces *pieces, const ld_splitter *first, const ld_splitter *second,
                   const ld_next *next, ld_error *err);
extern const ld_splitter ld_at_spaces; /* the spaces are removed */

#endif
