/* Products by OpenBLAS, for processors that our own tiles do not fit.
 *
 * The library is loaded when it is first asked for, since it settles on its kernels as it is loaded: ranks
 * that must compute the same can first agree on a set that all of them have.
 */
#ifndef LD_GEMM_BLAS_H
#define LD_GEMM_BLAS_H

#include "linalg/factor.h"

/* Loads OpenBLAS with the kernels of that core type (NULL: its own choice), in the place of what was loaded
 * before. False when there is none. */
bool ld_gemm_blas_load(const char *core);

/* For a loaded library. As ld_gemm_sum. */
void ld_gemm_blas(const ld_sum *sum);
void ld_gemm_blas_set_threads(int threads);
const char *ld_gemm_blas_kernel(void);

#endif
