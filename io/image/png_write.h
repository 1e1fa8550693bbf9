/* Writes PNG. */
#ifndef LD_PNG_WRITE_H
#define LD_PNG_WRITE_H

#include "base/text.h"
#include "io/image/image.h"

/* Appends an image of 1 to 4 channels (grey, grey with transparency, RGB, RGB with transparency) as a PNG file, without
 * time or texts: equal images give equal bytes, with one version of zlib. LD_EMEMORY. */
int ld_png_encode(const ld_image *image, ld_text *out, ld_error *err);

#endif
