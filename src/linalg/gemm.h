/* The one interface to matrix products. Row-major throughout.
 *
 * Products are our own where the processor has fused multiply-adds on wide vectors (tile.h), and OpenBLAS's
 * elsewhere. In our own, each number of a result is made of chains of fused multiply-adds, added in the order
 * of k (tile.h). So a row has the same bits in every batch, on any number of threads, with AVX2, AVX-512 and
 * ARM's NEON, and from every compiler.
 *
 * Do not call it from two threads at once: products share their working memory. */
#ifndef LD_GEMM_H
#define LD_GEMM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "linalg/factor.h"
#include "linalg/tile.h"

void ld_gemm_sum(const ld_sum *sum);

/* C (M, N) = the term + beta C; beta is 0 or 1. With beta 0, C may hold anything. */
void ld_gemm(int M, int N, ld_term term, float beta, float *C, int ldc);

/* Sets up the whole process, before the first product: the threads of one product, and its precision. The environment
 * variable LORA_DIST_KERNEL names kernels other than the best: avx512, avx2, neon, plain or openblas; for bf16
 * avx512_bf16, avx512 or avx2; for bf16-amx amx or avx2. LD_EUSAGE when this processor does not have what is asked
 * for; then nothing changes. May be called again. */
int ld_gemm_setup(int threads, enum ld_precision precision, ld_error *err);

/* Switches to the kernels of that name. False, and nothing changes, when this processor lacks them, or when they would
 * give other bits than the present ones. */
bool ld_gemm_use(const char *kernel);

/* The name of the i-th of the program's own kernels for the present precision, from 0, whether this processor has them or
 * not; NULL when there are no more. The last ones have the plainest instructions. */
const char *ld_gemm_kernel_name(int i);

/* Sets a function that the thread of a product calls periodically during a long one, for work that cannot
 * wait for its end. NULL for none. */
void ld_gemm_between(void (*between)(void *user), void *user);

/* The tile that this process computes with, for operations that are built on it; with OpenBLAS's products,
 * the best that the processor has. */
const ld_tile *ld_gemm_tile(void);

/* The name of the kernels that are used on this processor ("avx512"; OpenBLAS's "Nehalem"). */
const char *ld_gemm_kernel(void);

/* Whether products are our own with fused multiply-adds, which give the same bits on all processors that have
 * them. OpenBLAS's give the same bits only with kernels of the same name. */
bool ld_gemm_fused(void);

/* The name shared by all kernels that give the same bits as the current ones: "fused", or OpenBLAS's name. */
const char *ld_gemm_kind(void);

/* The level of processor that kernels of that name need; a level includes all lower ones. -1 when not known. */
int ld_gemm_level(const char *kernel);

/* Switches to OpenBLAS's kernels of that level. False when they are not available. */
bool ld_gemm_pin(int level);

#endif
