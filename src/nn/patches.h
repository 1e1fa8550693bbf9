/* The patches under the kernel of a convolution, as columns of a matrix (channels * kernel height * kernel
 * width, output pixels), and the reverse. */
#ifndef LD_PATCHES_H
#define LD_PATCHES_H

#include "nn/tensor.h"

/* A kernel over n images side by side. */
typedef struct ld_window {
  ld_kernel kernel;
  int channels, n, in_height, in_width, out_height, out_width;
} ld_window;

/* Fills in the output's size. */
ld_window ld_window_over(const ld_kernel *kernel, int channels, int n, int height, int width);

/* The patches of output rows [row, row + n_rows), counted through all images: a matrix (channels * kernel size, n_rows *
 * out_width) of numbers that are made as they are read. They are copied from a band: the part of maps (channels, n height
 * width) that the kernel sees, with the zeros around it, laid out so that what one position of the kernel reads for an output
 * row is contiguous. */
typedef struct ld_patches {
  const ld_window *window;
  int row, n_rows;
  const float *band;
} ld_patches;

/* Floats of a band for up to so many output rows. */
size_t ld_patches_band(const ld_window *window, int n_rows);

/* Fills a band from the maps. The result refers to it and to the window. */
ld_patches ld_patches_fill(const ld_window *window, const float *x, int row, int n_rows, float *band);

/* Borrows the patches. */
ld_coded ld_patches_coded(const ld_patches *patches);

/* Adds each number of such a matrix in memory to its source in x. Overwrites those that have no source. */
void ld_patches_add(const ld_window *window, float *patches, int row, int n_rows, float *x);

#endif
