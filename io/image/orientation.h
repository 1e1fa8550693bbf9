/* The orientation that a camera recorded in a file, and turning an image upright by it. */
#ifndef LD_IMAGE_ORIENTATION_H
#define LD_IMAGE_ORIENTATION_H

#include "io/image/image.h"

/* The orientation of a PNG, JPEG or WebP file, 1 to 8 as EXIF counts; 1 (upright) when none is recorded. */
int ld_image_orientation(const void *file, size_t length);

/* Turns an image of that orientation upright, and sets `turned`. LD_EMEMORY when the machine does not have
 * enough. */
int ld_image_turn(ld_image *image, int orientation, const char *name, ld_error *err);

#endif
