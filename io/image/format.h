/* Image formats: how a file of the format begins, and how it is decoded. One file each; decode.c has the
 * table. */
#ifndef LD_IMAGE_FORMAT_H
#define LD_IMAGE_FORMAT_H

#include "io/image/image.h"

typedef struct ld_image_format {
  const char *endings[3]; /* of the names of its files; NULL after the last */
  const char *magic;      /* the first bytes of a file */
  size_t n_magic;
  /* As ld_image_decode, but as stored: not turned upright. With `alpha`, an image that has transparency keeps it as
   * a second or fourth channel. */
  int (*decode)(const void *bytes, size_t length, const char *name, bool alpha, ld_image *out, ld_error *err);
} ld_image_format;

extern const ld_image_format ld_image_png, ld_image_jpeg, ld_image_webp;

#endif
