/* Attention of one row over the keys and values of a cache: a step of generation. */
#ifndef LD_ATTENTION_STEP_H
#define LD_ATTENTION_STEP_H

#include "nn/ops.h"

/* Keys and values (n, KV D), `stride` apart. */
typedef struct ld_seen {
  const float *keys, *values;
  int n, stride;
} ld_seen;

/* y (H D) of the row q (H D), whose position among the keys is `place`. The row sees all of them that the
 * window reaches. */
void ld_attention_step(const ld_attention *shape, const float *q, const ld_seen *seen, int place,
                       float *scratch, float *y);

/* The numbers of scratch that a step over n keys needs. */
size_t ld_attention_step_scratch(const ld_attention *shape, int n);

#endif
