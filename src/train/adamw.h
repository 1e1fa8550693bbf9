/* AdamW, the learning-rate schedules and gradient clipping, with PyTorch's formulas.
 */
#ifndef LD_ADAMW_H
#define LD_ADAMW_H

#include <stddef.h>

#include "options/options.h"

/* Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2, in the order of
 * torch.optim.AdamW. */
typedef struct ld_adamw {
  double beta1, beta2, eps, weight_decay;
  size_t n;
  float *m, *v; /* (n) first and second moments */
} ld_adamw;

void ld_adamw_create(ld_adamw *adamw, const ld_options *options, size_t n);
void ld_adamw_free(ld_adamw *adamw);

/* One update of data (n) by grad (n); `step` counts from 1. */
void ld_adamw_step(ld_adamw *adamw, float *data, const float *grad, double lr, int64_t step);

/* Scales grad (n) so that its 2-norm is at most `max_norm` (0: no limit), as torch.nn.utils.clip_grad_norm_
 * does. Returns the norm before scaling. */
double ld_clip(float *grad, size_t n, double max_norm);

/* The learning rate of step `step` (from 0) of `total`, as transformers' get_*_schedule_with_warmup: it rises
 * from 0 over `warmup` steps. A `warmup` of at most 1 is a fraction of the total, rounded up. */
double ld_learning_rate(const ld_options *options, int64_t step, int64_t total);

#endif
