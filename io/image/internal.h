/* What the decoders share. Not for use outside io/image.
 */
#ifndef LD_IMAGE_INTERNAL_H
#define LD_IMAGE_INTERNAL_H

#include <stdbool.h>

#include "io/image.h"

/* No deflate stream becomes more than so many times as long: what claims more is no image. */
enum { LD_MOST_INFLATED = 1032 };

/* A budget that follows from the file's length: how many pixels a file of so many bytes may have. A
 * photograph has some pixels a byte, a drawing some hundred; from small files come images as large as Pillow
 * takes without a warning. LD_EFORMAT beyond that. */
int ld_image_check_budget(int64_t height, int64_t width, size_t length, const char *name, ld_error *err);

/* Makes room for height x width x channels and sets the shape; sides from 1. LD_EFORMAT beyond LD_IMAGE_SIDE
 * and LD_IMAGE_PIXELS, LD_EMEMORY when the machine has no room. A decoder asks only after it has seen that
 * the file is long enough for so many pixels. */
int ld_image_make(ld_image *image, int64_t height, int64_t width, int channels, const char *name,
                  ld_error *err);

/* The orientation of a PNG or JPEG file, 1 to 8 as EXIF counts; 1 (upright) where none is noted. */
int ld_image_orientation(const void *file, size_t length);

/* Turns an image of that orientation, 2 to 8, upright. LD_EMEMORY when the machine has no room. */
int ld_image_turn(ld_image *image, int orientation, const char *name, ld_error *err);

int ld_image_decode_png(const void *bytes, size_t length, const char *name, ld_image *out, ld_error *err);
int ld_image_decode_jpeg(const void *bytes, size_t length, const char *name, ld_image *out, ld_error *err);

#endif
