/* Decodes PNG and JPEG to pixels.
 *
 * Measured: decoded PNGs and JPEGs are identical to Pillow 13's, bit for bit (libjpeg-turbo 2.1.5 here, 3.2
 * there). */
#ifndef LD_IMAGE_DECODE_H
#define LD_IMAGE_DECODE_H

#include "io/image/image.h"

/* Decodes PNG or JPEG, recognised by the first bytes, to 8-bit grey or RGB, as Pillow's convert("L") and
 * convert("RGB") do: palettes are resolved, an alpha channel is dropped, and of 16 bits the upper 8 are kept
 * (except in 16-bit grey without alpha, where Pillow keeps the lower 8 and makes everything above 255 white).
 * The image is turned upright by the orientation that the camera recorded, as in transformers' load_image.
 * CMYK is refused. LD_EFORMAT, with `name`, for a file that is broken, incomplete or too short for its
 * pixels. */
int ld_image_decode(const void *bytes, size_t length, const char *name, ld_image *out, ld_error *err);

/* Decodes the file `path`. LD_EFILE when it cannot be opened. */
int ld_image_read(const char *path, ld_image *out, ld_error *err);

#endif
