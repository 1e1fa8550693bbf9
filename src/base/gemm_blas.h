/* Products by OpenBLAS, for processors that our own tiles do not fit. */
#ifndef LD_GEMM_BLAS_H
#define LD_GEMM_BLAS_H

#include "base/gemm.h"

/* As ld_gemm_terms. */
void ld_gemm_blas(int M, int N, const ld_term *terms, int n_terms, const float *start, int ld_start,
                  const float *bias, float *C, int ldc);
void ld_gemm_blas_set_threads(int threads);
const char *ld_gemm_blas_kernel(void);

#endif
