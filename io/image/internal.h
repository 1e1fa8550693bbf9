/* What the decoders share. Not for use outside io/image.
 */
#ifndef LD_IMAGE_INTERNAL_H
#define LD_IMAGE_INTERNAL_H

#include <stdbool.h>

#include "io/image.h"

/* No deflate stream becomes more than so many times as long: what claims more is no image. */
enum { LD_MOST_INFLATED = 1032 };

/* Makes room for height x width x channels and sets the shape; sides from 1. LD_EFORMAT beyond LD_IMAGE_SIDE
 * and LD_IMAGE_PIXELS, LD_EMEMORY when the machine has no room. A decoder asks only after it has seen that
 * the file is long enough for so many pixels. */
int ld_image_make(ld_image *image, int64_t height, int64_t width, int channels, const char *name,
                  ld_error *err);

int ld_image_decode_png(const void *bytes, size_t length, const char *name, ld_image *out, ld_error *err);
int ld_image_decode_jpeg(const void *bytes, size_t length, const char *name, ld_image *out, ld_error *err);

#endif
