/* The parts of matrix products: factors as they are stored, and the terms that are summed. Row-major
 * throughout. */
#ifndef LD_FACTOR_H
#define LD_FACTOR_H

#include <stdbool.h>

#include "linalg/codec.h"

/* A factor of a product as stored: rows `ld` apart; `transposed`: they are the factor's columns. */
typedef struct ld_factor {
  ld_coded numbers;
  bool transposed;
  int ld;
} ld_factor;

/* scale * left right, left (M, K), right (K, N). */
typedef struct ld_term {
  ld_factor left, right;
  int K;
  float scale;
} ld_term;

enum { LD_MAX_TERMS = 4 };

/* C (M, N) = start + bias + the sum of up to LD_MAX_TERMS terms: a layer and its adapter take one sweep over
 * C. start (M, N) may be C itself; bias (N) is added to each row or, `bias_by_row`, number i of bias (M) to row
 * i; either may be NULL. Either all terms' left factors are transposed, or none is. */
typedef struct ld_sum {
  int M, N;
  const ld_term *terms;
  int n_terms;
  const float *start;
  int ld_start;
  const float *bias;
  float *C;
  int ldc;
  bool bias_by_row;
} ld_sum;

/* A frozen weight as stored: (rows, cols), contiguous. */
typedef struct ld_weight {
  ld_coded numbers; /* no data: there is no such weight */
  int rows, cols;
} ld_weight;

/* The weight, or its transpose, as a factor. */
ld_factor ld_weight_factor(const ld_weight *W, bool transposed);

/* A float matrix, or its transpose, as a factor. */
ld_factor ld_float_factor(const float *data, int ld, bool transposed);

#endif
