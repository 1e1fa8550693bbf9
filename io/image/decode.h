/* PNG and JPEG bytes to pixels.
 *
 * Measured: decoded PNGs and JPEGs are those of Pillow 13 to the bit (libjpeg-turbo 2.1.5 here, 3.2 there).
 */
#ifndef LD_IMAGE_DECODE_H
#define LD_IMAGE_DECODE_H

#include "io/image/image.h"

/* Decodes PNG or JPEG, told by their first bytes, to 8-bit grey or RGB, as Pillow's convert("L") and
 * convert("RGB") do: palettes are resolved, an alpha channel is dropped, of 16 bits the upper 8 are kept (but
 * of 16-bit grey without alpha Pillow keeps the lower 8 and makes all above 255 white). The image is turned
 * upright by the orientation that a camera noted, as transformers' load_image does. CMYK is refused.
 * LD_EFORMAT names `name` for what is broken, cut off or too large for the file's length. */
int ld_image_decode(const void *bytes, size_t length, const char *name, ld_image *out, ld_error *err);

/* Decodes the file `path`. LD_EFILE when it cannot be opened. */
int ld_image_read(const char *path, ld_image *out, ld_error *err);

#endif
