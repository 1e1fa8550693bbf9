/* Decodes PNG, JPEG and WebP to pixels.
 *
 * Measured: decoded images are identical to Pillow 13's, bit for bit (libjpeg-turbo 2.1.5 and libwebp 1.2.4 here, 3.2
 * and 1.6 there). */
#ifndef LD_IMAGE_DECODE_H
#define LD_IMAGE_DECODE_H

#include "io/image/image.h"

/* Whether a file of this name should be an image, by its ending. */
bool ld_image_is_named(const char *name);

/* Decodes PNG, JPEG or WebP, recognised by the first bytes, to 8-bit grey or RGB, as Pillow's convert("L") and
 * convert("RGB") do: palettes are resolved, an alpha channel is dropped, and of 16 bits the upper 8 are kept
 * (except in 16-bit grey without alpha, where Pillow keeps the lower 8 and makes everything above 255 white).
 * The image is turned upright by the orientation that the camera recorded, as in transformers' load_image.
 * CMYK and animations are refused. LD_EFORMAT, with `name`, for a file that is broken, incomplete or too short for its
 * pixels. */
int ld_image_decode(const void *bytes, size_t length, const char *name, ld_image *out, ld_error *err);

/* The same with transparent pixels put on white, as Pillow's alpha_composite does; out->blended says whether there
 * were any. */
int ld_image_decode_on_white(const void *bytes, size_t length, const char *name, ld_image *out,
                             ld_error *err);

/* Decodes the file `path`. LD_EFILE when it cannot be opened. */
int ld_image_read(const char *path, ld_image *out, ld_error *err);

#endif
