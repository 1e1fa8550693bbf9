/* Which kernels are the fastest on this processor, by measurement, among those that give the same bits; and how fast a
 * precision is. Each measurement takes some milliseconds. */
#ifndef LD_GEMM_CHOICE_H
#define LD_GEMM_CHOICE_H

#include "linalg/tile.h"

/* Of the kernels that give the same bits as the present ones, takes the fastest; says so when it is not the one that was
 * taken. Not when the environment names one. After ld_gemm_setup. */
void ld_gemm_choose(void);

/* The speed of products of a precision over those of float32; 0 where this processor has none, or LORA_DIST_KERNEL names
 * kernels that one of both lacks. Otherwise leaves products set up for that precision. */
double ld_gemm_speed(enum ld_precision precision, int threads);

/* For one rank of a job of that precision: warns when it is slower than float32. */
void ld_gemm_warn_if_slow(enum ld_precision precision, int threads);

#endif
