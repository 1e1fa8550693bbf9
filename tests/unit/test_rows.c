/* Sums over long rows stay as exact as over short ones. */
#include "random.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "linalg/gemm.h"
#include "linalg/rows.h"

Test(rows, long_sums_are_exact_to_a_rounding) {
  enum { MOST = 70001 };
  float *x = random_numbers(MOST, 1);
  for (int n = 1; n <= MOST; n = n * 3 + 1) {
    double squares = 0;
    for (int i = 0; i < n; i++) squares += (double)x[i] * (double)x[i];
    cr_assert_leq(fabs((double)ld_row_dot(x, x, n) / squares - 1), 1.5e-7, "%d numbers", n);
  }
  free(x);
}

Test(rows, many_rows_are_added_in_runs) {
  enum { ROWS = 5000, N = 37, LD = 40 };
  float *x = random_numbers(ROWS * LD, 2), y[N] = {0};
  for (int i = 0; i < ROWS * LD; i++) x[i] = fabsf(x[i]);
  ld_rows_add(y, x, LD, ROWS, N);
  for (int i = 0; i < N; i++) {
    double sum = 0;
    for (int r = 0; r < ROWS; r++) sum += (double)x[r * LD + i];
    cr_assert_leq(fabs((double)y[i] / sum - 1), 5e-7);
  }
  free(x);
}

/* The relative error of products, compared with PyTorch's, which measures 2.9e-7 at 512 and 3.7e-7 at 16,384. */
Test(rows, products_of_any_length) {
  enum { M = 12, N = 40 };
  if (!ld_gemm_fused()) cr_skip_test("OpenBLAS sums in its own ways");
  for (int K = 64; K <= 16384; K *= 4) {
    float *A = random_numbers((size_t)(M * K), 3), *B = random_numbers((size_t)(N * K), 4), C[M * N];
    double errors = 0, size = 0;
    ld_gemm(M, N, (ld_term){ld_float_factor(A, K, false), ld_float_factor(B, K, true), K, 1}, 0, C, N);
    for (int i = 0; i < M * N; i++) {
      double sum = 0;
      for (int k = 0; k < K; k++) sum += (double)A[i / N * K + k] * (double)B[i % N * K + k];
      errors += ((double)C[i] - sum) * ((double)C[i] - sum);
      size += sum * sum;
    }
    cr_assert_leq(sqrt(errors / size), 3.5e-7, "K %d: %g", K, sqrt(errors / size));
    free(A);
    free(B);
  }
}
