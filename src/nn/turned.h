/* The gradient of the input of a convolution with a stride of 1. That is a convolution too, of the output's gradient: its
 * kernels are turned by half a turn, and inputs and outputs are exchanged. So it needs no gradient of the patches. */
#ifndef LD_TURNED_H
#define LD_TURNED_H

#include "linalg/factor.h"
#include "nn/patches.h"

typedef struct ld_turned {
  ld_window window; /* over the output's gradient, except for its channels, of which each term has its own */
  int rows;         /* of the input's gradient at a time; the images are stacked */
  float *band;      /* of the patches of all terms */
} ld_turned;

/* Whether a convolution has such a gradient, and its window. */
bool ld_turned_over(const ld_window *window, ld_window *turned);

/* Floats of the band for terms of so many channels in all. */
size_t ld_turned_band(const ld_window *turned, int rows, int channels);

/* Instead of the patches' gradient, which `patches` describes, that of their sources, to C (channels, n height width) of the
 * input. Each term is a transposed weight times a (K, output pixels) gradient in memory; a start has C's shape. */
void ld_turned_sum(const ld_turned *turned, const ld_sum *patches);

#endif
