/* What the converters share. Not for use outside io/image.
 *
 * A converter describes what it will write, then hands over image after image; the file of labels or names is
 * read before. Nothing is written before the description is checked.
 */
#ifndef LD_IMAGE_CONVERT_PARTS_H
#define LD_IMAGE_CONVERT_PARTS_H

#include "io/image/hdf5.h"
#include "io/image_convert.h"

/* Writes `out`: `fill` adds the images. */
int ld_convert_write(const char *out, const ld_image_shape *shape,
                     int (*fill)(ld_image_writer *writer, const void *user, ld_error *err), const void *user,
                     ld_error *err);

/* The last part of a path, in it. */
const char *ld_convert_base(const char *path);

int ld_convert_cifar_files(char *const *paths, size_t n, const char *out, ld_converted *converted,
                           ld_error *err);

int ld_convert_idx(const char *images, const char *labels, const char *out, ld_converted *converted,
                   ld_error *err);

int ld_convert_folder(const char *folder, const char *out, ld_converted *converted, ld_error *err);

/* Whether the file begins as IDX images do, or is packed: nothing else is read packed. */
bool ld_convert_is_idx(const char *path);

#endif
