/* Products by OpenBLAS, for processors that our own tiles do not fit.
 *
 * The library chooses its kernels when it is loaded, so it is only loaded on first use: ranks that must
 * compute the same can first agree on a set that all of them have. */
#ifndef LD_GEMM_BLAS_H
#define LD_GEMM_BLAS_H

#include "linalg/factor.h"

/* Loads OpenBLAS with the kernels of that core type (NULL: its own choice), replacing what was loaded before.
 * False when it is not available. */
bool ld_gemm_blas_load(const char *core);

/* For a loaded library. As ld_gemm_sum. */
void ld_gemm_blas(const ld_sum *sum);
void ld_gemm_blas_set_threads(int threads);
const char *ld_gemm_blas_kernel(void);

#endif
