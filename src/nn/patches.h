/* The patches under the kernel of a convolution, as columns of a matrix (channels * kernel height * kernel
 * width, output pixels), and the reverse. */
#ifndef LD_PATCHES_H
#define LD_PATCHES_H

#include "linalg/factor.h"
#include "nn/tensor.h"

/* A kernel over n images side by side. */
typedef struct ld_window {
  ld_kernel kernel;
  int channels, n, in_height, in_width, out_height, out_width;
} ld_window;

/* Fills in the output's size. */
ld_window ld_window_over(const ld_kernel *kernel, int channels, int n, int height, int width);

/* Where the numbers of a band are; drawn in nn/patches.c. */
typedef struct ld_band {
  int row_phases, column_phases; /* with stride 2 two of each: the even rows, and the odd ones */
  int lines;    /* of a phase of rows: one for each output row, and some after those of each image */
  int overhang; /* after those of an image */
  int tail;     /* after those of the last one */
  int shared;   /* zeros at the end of a line that begin the next one */
  ptrdiff_t columns, line;  /* floats of a phase in a line, and of a line */
  ptrdiff_t phase, channel; /* floats of a phase of rows, and of a channel */
} ld_band;

/* The patches of output rows [row, row + n_rows), counted through all images: a matrix (channels * kernel size, n_rows *
 * out_width) of numbers that are made as they are read. They are copied from a band: the part of maps (channels, n height
 * width) that the kernel sees, with the zeros around it, laid out so that what one position of the kernel reads for an output
 * row is contiguous. */
typedef struct ld_patches {
  const ld_window *window;
  int row, n_rows;
  ld_band layout;
  const float *band;
} ld_patches;

ld_band ld_patches_layout(const ld_window *window, int row, int n_rows);

/* Floats of a band for up to so many output rows. */
size_t ld_patches_band(const ld_window *window, int n_rows);

/* Fills a band from the maps. The result refers to it and to the window. */
ld_patches ld_patches_fill(const ld_window *window, const float *x, int row, int n_rows, float *band);

/* Borrows the patches. */
ld_coded ld_patches_coded(const ld_patches *patches);

/* The patches that a factor reads; NULL for another one. */
const ld_patches *ld_patches_of(const ld_factor *factor);

/* The line of output row patches->row + y in its phase. */
int ld_patches_line(const ld_patches *patches, int y);

/* Where in the band lines [first, first + n) of the patches have their number for the first output pixel. */
void ld_patches_lines(const ld_patches *patches, int first, int n, const float **lines);

/* As ld_gemm_sum, where right factors are patches of the same window, except for its channels, or floats; the left factors
 * have few rows, or the patches are made. Shares working memory, as ld_gemm does. */
void ld_patches_sum(const ld_sum *sum);

/* C (M, N) += scale * left (M, columns), floats, times the transposed patches (columns, N). */
void ld_patches_outer(ld_factor left, const ld_patches *patches, int M, int N, float scale, float *C);

/* Adds each number of such a matrix in memory to its source in x. */
void ld_patches_add(const ld_window *window, const float *patches, int row, int n_rows, float *x);

#endif
