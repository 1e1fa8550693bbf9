/* The one door to matrix products. Row-major throughout.
 *
 * Products are our own where the processor has fused multiply-adds on wide vectors (tile.h), and OpenBLAS's
 * elsewhere. With ours each number of a result is made of chains of fused multiply-adds, added in the order
 * of k (tile.h), so that a row has the same bits in every batch, on any number of threads, with AVX2 as with
 * AVX-512, and from every compiler.
 *
 * Not to be called from two threads at once: products share their working memory.
 */
#ifndef LD_GEMM_H
#define LD_GEMM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "linalg/factor.h"

void ld_gemm_sum(const ld_sum *sum);

/* C (M, N) = the term + beta C; beta is 0 or 1. With beta 0, C may hold anything. */
void ld_gemm(int M, int N, ld_term term, float beta, float *C, int ldc);

enum ld_precision { LD_PRECISION_F32, LD_PRECISION_BF16 };

/* For the whole process, before the first product: threads of one product, and whether its factors are
 * rounded to bfloat16 (sums stay float32). The environment's LORA_DIST_KERNEL names other kernels than the
 * best: avx512, avx2, plain or openblas. LD_EUSAGE when this processor does not have what is asked for; then
 * nothing is changed. May be called again. */
int ld_gemm_setup(int threads, enum ld_precision precision, ld_error *err);

/* Called by the thread that asked for a product, periodically within a long one: for what cannot wait for
 * its end. NULL for nothing. */
void ld_gemm_between(void (*between)(void *user), void *user);

/* The tile on which this process computes, for operations that are built on it; with OpenBLAS's products the
 * best that the processor has. */
struct ld_tile;
const struct ld_tile *ld_gemm_tile(void);

/* The name of the kernels that are used on this processor ("avx512"; OpenBLAS's "Nehalem"). */
const char *ld_gemm_kernel(void);

/* Whether products are our own with fused multiply-adds, which give the same bits on all processors that have
 * such. Those of OpenBLAS have the same bits only where its kernels have the same name. */
bool ld_gemm_fused(void);

/* The name of all kernels that give the same bits as those used: "fused", or OpenBLAS's name. */
const char *ld_gemm_kind(void);

/* What kernels of that name need of a processor, as a level: what has a level has all below. -1 when that is
 * not known. */
int ld_gemm_level(const char *kernel);

/* From now on products are those of OpenBLAS's kernels of that level. False when they cannot be had. */
bool ld_gemm_pin(int level);

#endif
