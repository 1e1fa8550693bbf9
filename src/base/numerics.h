/* The version of the program's arithmetic, raised whenever the same run would get other bits: not for what no
 * earlier program could run.
 *
 * Within a version the bits of an adapter are the same from every compiler, at every level of optimisation
 * and on every processor with AVX2, AVX-512 or NEON, since each number is a fixed sequence of roundings:
 * products as in linalg/tile.h, sums as in linalg/rows.h, exp and related functions as in vmath.h; nothing
 * else is fused. Functions of libm (log, sin, cos, pow) are used only in double and rounded to float.
 *
 * 1: each number of a product was one chain of fused multiply-adds.
 * 2: a product is summed in chains of LD_CHAIN_WORDS, a row in blocks of LD_SUM_BLOCK.
 * 3: exp and related functions with fused multiply-adds.
 * 4: the gradients of a wide convolution's patches are added up in longer stretches.
 * 5: the product of an adapter's A, of few rows, with a convolution's input is summed over the channels for each
 *    position of the kernel, and its gradient over parts of the pixels.
 * 6: the cross-entropy over a frozen head is summed over some of its outputs at a time (nn/cross_entropy.c).
 * 7: the gradient of a convolution's input with stride 1 is summed over the outputs and the turned kernel (nn/turned.h);
 *    the product of an adapter's A is as in 2 again, and its gradient is summed over other parts of the pixels
 *    (nn/patches_wide.c). */
#ifndef LD_NUMERICS_H
#define LD_NUMERICS_H

enum { LD_NUMERICS = 7 };

#endif
