/* Images in HDF5: dataset `images` (N, H, W, C) or (N, H, W) of 8-bit pixels, `labels` (N) of integers.
 *
 * The only file of this folder that uses HDF5. It reads files from any program (such as h5py), stored
 * contiguously or in chunks, with deflate, shuffle and fletcher32. It refuses links, virtual and external
 * storage, other filters, and anything that claims more than the file can hold. What it writes has one chunk
 * per image, shuffled and deflated, and no times, so that equal contents give equal files. */
#ifndef LD_IMAGE_HDF5_H
#define LD_IMAGE_HDF5_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/tally.h"
#include "io/image/image.h"

typedef struct ld_image_store ld_image_store;

/* `length` is the file's. Without `labelled` the labels are ignored. LD_EFORMAT names the file, the dataset
 * and the fault. The caller frees with ld_image_store_close (NULL is fine). */
int ld_image_store_open(const char *path, size_t length, bool labelled, ld_image_store **out, ld_error *err);
void ld_image_store_close(ld_image_store *store);

int64_t ld_image_store_count(const ld_image_store *store);
size_t ld_image_store_bytes(const ld_image_store *store); /* of the pixels of one image */

/* The label of a record, from 0; -1 when the file has none. */
int32_t ld_image_store_label(const ld_image_store *store, int64_t index);

/* What nothing uses: with `names` the names of classes without an image, else other objects of the file and
 * attributes. Belongs to the store. */
const ld_tally *ld_image_store_unused(const ld_image_store *store, bool names);

/* The name of its class, from the attribute `names` of labels, a list of texts or one text with a JSON list;
 * NULL when the file has none. Belongs to the store. */
const char *ld_image_store_name(const ld_image_store *store, int64_t index);

int ld_image_store_read(const ld_image_store *store, int64_t index, ld_image *out, ld_error *err);

/* The contents of a new file. */
typedef struct ld_image_shape {
  int64_t n;
  int height, width, channels; /* 1: (N, H, W) */
  bool labelled;
  const char *source; /* root attribute `source` */
  char *const *names; /* attribute `names` of labels, for classes 0, 1, ...; NULL: none */
  size_t n_names;
} ld_image_shape;

typedef struct ld_image_writer ld_image_writer;

/* Adds the next image, and its label (0 to INT32_MAX), which is ignored in a file without labels. */
int ld_image_writer_add(ld_image_writer *writer, const uint8_t *pixels, int32_t label, ld_error *err);

/* Writes `path` atomically: `fill` adds all images of the shape with ld_image_writer_add. */
int ld_image_store_write(const char *path, const ld_image_shape *shape,
                         int (*fill)(ld_image_writer *writer, const void *user, ld_error *err),
                         const void *user, ld_error *err);

#endif
