/* The sizes to which the images of a set are brought: one, or several whose aspect ratios differ. */
#ifndef LD_IMAGE_SIZE_H
#define LD_IMAGE_SIZE_H

#include "base/error.h"

typedef struct ld_image_size {
  int height, width;
} ld_image_size;

enum { LD_MOST_SIZES = 256 };

/* Reads "512" (a square) or "768x512", width before height. LD_EUSAGE when it is neither, or a side is too small, too
 * large or not a multiple of `step`. */
int ld_image_size_parse(const char *text, int step, ld_image_size *out, ld_error *err);

/* Fills in sizes of at most as many pixels as `around` has, for as many aspect ratios as there are, and returns how
 * many: kohya's rule. Sides are multiples of 64, or of a smaller power of two where 64 is more than a quarter of the
 * side of the square with so many pixels, but always of `step`; they are from half of that side to twice of it. */
int ld_image_sizes(ld_image_size around, int step, ld_image_size out[LD_MOST_SIZES]);

/* The index of the size whose aspect ratio is the nearest to an image's; of the image's own size, if that is among
 * them. */
int ld_image_size_nearest(const ld_image_size *sizes, int n, int height, int width);

#endif
