/* Products of few rows, such as a step of text generation: the weight is read from memory once, in the order in
 * which it is stored, and nothing is laid out in panels. The numbers are those of the tile (tile.h), bit for bit. */
#ifndef LD_GEMM_FEW_H
#define LD_GEMM_FEW_H

#include "linalg/gemm_job.h"

/* Whether the product is one for these functions. */
bool ld_gemm_is_few(const ld_job *job);

/* A thread's part. All threads of the product call it. */
void ld_gemm_few(const ld_job *job, int thread, int n_threads);

#endif
