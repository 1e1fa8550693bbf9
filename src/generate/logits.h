/* What the settings forbid, demand or make less likely, as changes of the scores of the next token: the logits
 * processors of transformers, in their order. */
#ifndef LD_GENERATE_LOGITS_H
#define LD_GENERATE_LOGITS_H

#include "generate/settings.h"

/* The text so far: prompt and what was generated. */
typedef struct ld_so_far {
  const int32_t *ids;
  int64_t n, n_prompt;
  int64_t limit; /* that it may have in all */
} ld_so_far;

/* Changes scores (vocab): logits or, in a beam search, log-probabilities. */
void ld_logits_adjust(const ld_generation_settings *settings, const ld_so_far *text, float *scores);

#endif
