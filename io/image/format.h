/* Image formats: how a file of the format begins, and how it is decoded. One file each; decode.c has the
 * table. */
#ifndef LD_IMAGE_FORMAT_H
#define LD_IMAGE_FORMAT_H

#include "io/image/image.h"

typedef struct ld_image_format {
  const char *magic; /* the first bytes of a file */
  size_t n_magic;
  /* As ld_image_decode, but as stored: not turned upright. */
  int (*decode)(const void *bytes, size_t length, const char *name, ld_image *out, ld_error *err);
} ld_image_format;

extern const ld_image_format ld_image_png, ld_image_jpeg;

#endif
