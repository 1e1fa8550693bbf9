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

/* Where the numbers of a band are. */
typedef struct ld_band {
  int phases; /* of rows, in a channel: one for each remainder of a row by the stride, as far as the kernel reaches */
  int lines; /* of a phase: one for each output row, and `overhang` after those of each image */
  int overhang;
  ptrdiff_t line;    /* floats of a line */
  ptrdiff_t phase;   /* floats of a phase */
  ptrdiff_t channel; /* floats of a channel */
} ld_band;

ld_band ld_patches_layout(const ld_patches *patches);

/* The line, within a phase, of output row patches->row + y. */
int ld_patches_line(const ld_patches *patches, int y);

/* Floats from what the kernel's first position reads to what position (i, j) reads, for the same output pixel. */
ptrdiff_t ld_patches_distance(const ld_patches *patches, int i, int j);

/* Whether a matrix has so few rows that products of it and the patches are made faster without making these
 * (patches_few.c); the two functions below are for such only. They share working memory, as ld_gemm does. The answer is the
 * same for any rows of any number of images. */
bool ld_patches_are_few(const ld_patches *patches, int rows);

/* h (rows, columns of the patches) = A (rows, channels * kernel size) times the patches; rows of h are `ld` apart. */
void ld_patches_multiply(const ld_patches *patches, int rows, const float *A, float *h, int ld);

/* dA += scale * dh times the transposed patches. */
void ld_patches_outer(const ld_patches *patches, int rows, const float *dh, int ld, float scale, float *dA);

/* Adds each number of such a matrix in memory to its source in x. Overwrites those that have no source. */
void ld_patches_add(const ld_window *window, float *patches, int row, int n_rows, float *x);

#endif
