/* Exact sums of gradients: the result does not depend on the order or the grouping of the summands.
 *
 * A microbatch's float32 gradient g is rounded once, to the integer g * 2^exponent, and integers are summed.
 * Each parameter has its own exponent, the same on all ranks, set from the largest gradient of the previous
 * step. When a step's largest value turns out too large for it (the sum could overflow) or too small (bits
 * would be lost), the step is computed again with a better exponent. This depends on the microbatches only,
 * so it happens in the same way on any number of ranks.
 *
 * The sums begin with LD_EXACT_COUNTERS integers of the caller's, which travel in the same message. */
#ifndef LD_EXACT_H
#define LD_EXACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nn/tensor.h"

enum { LD_EXACT_COUNTERS = 9 };

/* A sum of losses, exact in units of 2^-30, as words of 48 bits each, the highest first. The words of several
 * ranks are summed one by one. A squared error can be large, so losses up to 2^100 are accepted. For a larger
 * one, or a NaN, the function returns false and adds nothing. */
enum { LD_LOSS_WORDS = 3 };
bool ld_exact_add_loss(int64_t words[LD_LOSS_WORDS], double loss);
double ld_exact_loss(const int64_t words[LD_LOSS_WORDS]);

typedef struct ld_exact {
  const ld_param *params;
  size_t n_params, n_floats;
  int64_t *sums;     /* LD_EXACT_COUNTERS + n_floats */
  size_t *first;     /* (n_params + 1) where the sums of each parameter begin */
  int32_t *exponent; /* (n_params) for the next sums */
  int32_t *used;     /* (n_params) of the current sums */
  uint32_t *peak;    /* (n_params) bits of the largest |g| of any microbatch; they order as the numbers do */
} ld_exact;

void ld_exact_create(ld_exact *exact, const ld_param *params, size_t n_params);
void ld_exact_free(ld_exact *exact);

/* Zeroes sums and peaks, and adopts the exponents for the next sums. */
void ld_exact_reset(ld_exact *exact);

/* Adds the parameter's current gradient. */
void ld_exact_add(ld_exact *exact, size_t param);

/* Call after sums and peaks were reduced over all ranks. True when every exponent fitted the n_summands
 * microbatches that were added; false when the step must be computed again. Either way the exponents for the
 * next time are set. */
bool ld_exact_fit(ld_exact *exact, int64_t n_summands);

/* The first parameter whose gradient is not finite; NULL when all are finite. */
const ld_param *ld_exact_not_finite(const ld_exact *exact);

/* Sets the parameters' gradients to sums / divisor. */
void ld_exact_mean(const ld_exact *exact, double divisor);

#endif
