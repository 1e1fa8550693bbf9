/* Exact sums of gradients: the order and the grouping of the summands cannot matter.
 *
 * A microbatch's float32 gradient g is rounded once, to the integer g * 2^exponent, and integers are summed.
 * Each parameter has an exponent of its own, the same on all ranks, set from the largest gradient of the step
 * before. When a step's largest value turns out too large for it (the sum could overflow) or too small (bits
 * would be lost), the step is computed again with a better exponent; since that depends on the microbatches
 * only, it happens alike at any number of ranks.
 *
 * The sums begin with LD_EXACT_COUNTERS integers of the caller's own, so that they travel in the same
 * message.
 */
#ifndef LD_EXACT_H
#define LD_EXACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/tensor.h"

enum { LD_EXACT_COUNTERS = 9 };

/* A sum of losses, exact in units of 2^-30, as words of 48 bits each, the highest first. Words of several
 * ranks are summed each by itself. Squared errors are large where what is predicted is, so a loss of up to
 * 2^100 is taken; false, with nothing added, for a larger one and for what is no number. */
enum { LD_LOSS_WORDS = 3 };
bool ld_exact_add_loss(int64_t words[LD_LOSS_WORDS], double loss);
double ld_exact_loss(const int64_t words[LD_LOSS_WORDS]);

typedef struct ld_exact {
  const ld_param *params;
  size_t n_params, n_floats;
  int64_t *sums;     /* LD_EXACT_COUNTERS + n_floats */
  size_t *first;     /* (n_params + 1) where each parameter's sums begin */
  int32_t *exponent; /* (n_params) for the next sums */
  int32_t *used;     /* (n_params) of the present sums */
  uint32_t *peak; /* (n_params) the bits of the largest |g| of any microbatch, ordered as the numbers are */
} ld_exact;

void ld_exact_create(ld_exact *exact, const ld_param *params, size_t n_params);
void ld_exact_free(ld_exact *exact);

/* Zeroes sums and peaks, and takes the exponents for the sums to come. */
void ld_exact_reset(ld_exact *exact);

/* Adds the gradient that a parameter holds now. */
void ld_exact_add(ld_exact *exact, size_t param);

/* After sums and peaks were reduced over all ranks: true when every exponent was fit for the n_summands
 * microbatches that were added, false when the step must be computed again; exponents are set for the next
 * time either way. */
bool ld_exact_fit(ld_exact *exact, int64_t n_summands);

/* The first parameter whose gradient is not finite; NULL when all are. */
const ld_param *ld_exact_not_finite(const ld_exact *exact);

/* Parameters' gradients = sums / divisor. */
void ld_exact_mean(const ld_exact *exact, double divisor);

#endif
