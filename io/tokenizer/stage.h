/* Decoders are stages: a token's text flows through them in parts: feed, feed, ..., end; finish after the
 * last token.
 *
 * A stage passes on what no later token can change, and keeps the rest. */
#ifndef LD_STAGE_H
#define LD_STAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"
#include "io/tokenizer/budget.h"
#include "io/tokenizer/component.h"

typedef struct ld_stage {
  const ld_component_kind *kind;
  const void *data;
  struct ld_stage *next; /* NULL: the last, which writes to `out` */
  ld_text *out;
  ld_text hold;    /* text that waits for more */
  size_t index;    /* tokens ended */
  size_t stripped; /* Strip: characters removed at the start of this token */
  bool inside;     /* Strip: past its start */
  ld_budget *budget;
} ld_stage;

/* Pass on within a chain. */
void ld_stage_feed(ld_stage *stage, const char *bytes, size_t length);
void ld_stage_end(ld_stage *stage);
void ld_stage_finish(ld_stage *stage);

/* For stages that hold a token until it is complete, and have nothing left at the end. */
void ld_stage_hold(ld_stage *stage, const char *bytes, size_t length);
void ld_stage_pass_finish(ld_stage *stage);

#endif
