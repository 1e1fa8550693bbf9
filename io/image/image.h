/* An image in memory: 8-bit pixels.
 */
#ifndef LD_IMAGE_H
#define LD_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
  LD_MAX_CHANNELS = 4,
  LD_IMAGE_SIDE = 65500,     /* the longest side of an image that is read */
  LD_IMAGE_PIXELS = 1 << 28, /* and the most pixels */
  LD_MOST_INFLATED = 1032    /* a deflate stream expands to at most so many times its length */
};

/* Pixel (y, x) has its channels at pixels + (y * width + x) * channels. Zero-initialise, reuse, free with
 * ld_image_free. */
typedef struct ld_image {
  int height, width, channels;
  uint8_t *pixels;
  size_t room;
  bool turned;  /* decoding turned it upright, by the orientation in the file */
  bool blended; /* decoding put transparent pixels on white */
} ld_image;

void ld_image_free(ld_image *image);

/* Makes room for height x width x channels and sets the shape; sides are at least 1. LD_EFORMAT, with `name`,
 * beyond LD_IMAGE_SIDE and LD_IMAGE_PIXELS; LD_EMEMORY when the machine does not have enough. A decoder calls
 * it only after it has checked that the file is long enough for so many pixels. */
int ld_image_make(ld_image *image, int64_t height, int64_t width, int channels, const char *name,
                  ld_error *err);

/* A limit on the pixels of a file, by its length. A photograph has a few pixels per byte, a drawing a few
 * hundred; a small file may hold an image as large as Pillow accepts without a warning. LD_EFORMAT beyond
 * that. */
int ld_image_check_budget(int64_t height, int64_t width, size_t length, const char *name, ld_error *err);

#endif
