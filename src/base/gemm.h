/* The one door to matrix products. Row-major throughout.
 */
#ifndef LD_GEMM_H
#define LD_GEMM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/dtype.h"

/* C (M, N) = alpha op(A) op(B) + beta C, op(A) is (M, K), op(B) is (K, N); lda, ldb, ldc are the strides of
 * the stored rows. With beta 0, C may hold anything. */
void ld_gemm(bool transpose_a, bool transpose_b, int M, int N, int K, float alpha, const float *A, int lda,
             const float *B, int ldb, float beta, float *C, int ldc);

/* A frozen weight as it is stored: (rows, cols), contiguous. */
typedef struct ld_weight {
  const void *data;
  ld_dtype dtype; /* LD_F32, LD_F16 or LD_BF16 */
  int rows, cols;
} ld_weight;

/* C (M, W.cols) = A (M, W.rows) W + beta C, or with `transpose` C (M, W.rows) = A (M, W.cols) W^T + beta C.
 * A 16-bit weight is widened in panels of rows that stay in cache; `scratch` holds
 * ld_gemm_scratch(W) floats (may be NULL when that is 0). */
void ld_gemm_weight(bool transpose, int M, const float *A, int lda, const ld_weight *W, float beta, float *C,
                    int ldc, float *scratch);
size_t ld_gemm_scratch(const ld_weight *W);

/* The weight on the left: C (W.rows, N) = W B + beta C, B (W.cols, N), or with `transpose`
 * C (W.cols, N) = W^T B + beta C, B (W.rows, N). The same scratch. */
void ld_gemm_weight_left(bool transpose, int N, const ld_weight *W, const float *B, int ldb, float beta,
                         float *C, int ldc, float *scratch);

/* Threads of one product, for the whole process. */
void ld_gemm_set_threads(int threads);

/* The name of the kernels that the library picked for this processor ("SkylakeX"), for the run's record. */
const char *ld_gemm_kernel(void);

#endif
