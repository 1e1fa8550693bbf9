#include "base/gemm.h"

#include <cblas.h>

void ld_gemm(bool transpose_a, bool transpose_b, int M, int N, int K, float alpha, const float *A, int lda,
             const float *B, int ldb, float beta, float *C, int ldc) {
  if (!M || !N) return;
  cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans,
              M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
}

/* Rows of a panel: about 1 MiB of floats, so that the widened panel is still in the second-level cache when
 * the product reads it. */
static int panel_rows(const ld_weight *W) {
  const int rows = (1 << 18) / (W->cols ? W->cols : 1);
  const int even = rows < 16 ? 16 : rows / 16 * 16;
  return even < W->rows ? even : W->rows;
}

size_t ld_gemm_scratch(const ld_weight *W) {
  return W->dtype == LD_F32 ? 0 : (size_t)panel_rows(W) * (size_t)W->cols;
}

/* Rows [row, row + n) of the weight as floats. */
static const float *widen(const ld_weight *W, int row, int n, float *scratch) {
  if (W->dtype == LD_F32) return (const float *)W->data + (size_t)row * (size_t)W->cols;
  ld_dtype_to_f32(scratch, W->data, W->dtype, (int64_t)row * W->cols, (int64_t)n * W->cols);
  return scratch;
}

void ld_gemm_weight(bool transpose, int M, const float *A, int lda, const ld_weight *W, float beta, float *C,
                    int ldc, float *scratch) {
  const int n_panel = W->dtype == LD_F32 ? W->rows : panel_rows(W);
  for (int row = 0; row < W->rows; row += n_panel) {
    const int n = W->rows - row < n_panel ? W->rows - row : n_panel;
    const float *panel = widen(W, row, n, scratch);
    if (transpose)
      ld_gemm(false, true, M, n, W->cols, 1, A, lda, panel, W->cols, beta, C + row, ldc);
    else
      ld_gemm(false, false, M, W->cols, n, 1, A + row, lda, panel, W->cols, row ? 1 : beta, C, ldc);
  }
}

void ld_gemm_weight_left(bool transpose, int N, const ld_weight *W, const float *B, int ldb, float beta,
                         float *C, int ldc, float *scratch) {
  const int n_panel = W->dtype == LD_F32 ? W->rows : panel_rows(W);
  for (int row = 0; row < W->rows; row += n_panel) {
    const int n = W->rows - row < n_panel ? W->rows - row : n_panel;
    const float *panel = widen(W, row, n, scratch);
    if (transpose)
      ld_gemm(true, false, W->cols, N, n, 1, panel, W->cols, B + (size_t)row * (size_t)ldb, ldb,
              row ? 1 : beta, C, ldc);
    else
      ld_gemm(false, false, n, N, W->cols, 1, panel, W->cols, B, ldb, beta, C + (size_t)row * (size_t)ldc,
              ldc);
  }
}

void ld_gemm_set_threads(int threads) {
  openblas_set_num_threads(threads);
}

const char *ld_gemm_kernel(void) {
  return openblas_get_corename();
}
