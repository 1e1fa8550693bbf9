/* Images in an HDF5 file. Offsets count images. The file is mapped besides, for its length and digest. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/dataset/format.h"
#include "io/image/fit.h"
#include "io/image/hdf5.h"

static int hdf5_open(ld_dataset *dataset, ld_error *err) {
  ld_image_store *store = NULL;
  dataset->form = LD_DATA_IMAGES;
  int rc = ld_map_open(dataset->path, &dataset->map, err);
  if (!rc)
    rc = ld_image_store_open(dataset->path, dataset->map.length, !dataset->options.unlabelled, &store, err);
  dataset->own = store;
  if (rc) return rc;
  dataset->length = (uint64_t)ld_image_store_count(store);
  ld_dataset_warn_unused(dataset, "the objects", ld_image_store_unused(store, false));
  ld_dataset_warn_unused(dataset, "the names of classes without an image",
                         ld_image_store_unused(store, true));
  return 0;
}

static void hdf5_close(ld_dataset *dataset) {
  ld_image_store_close(dataset->own);
  dataset->own = NULL;
}

static uint64_t hdf5_next(const ld_dataset *dataset, uint64_t offset) {
  (void)dataset;
  return offset + 1;
}

static int fit(const ld_dataset *dataset, const ld_record *record, const ld_image *whole, ld_sample *sample,
               ld_error *err) {
  char *name = ld_format("%s: image %llu", dataset->path, (unsigned long long)record->offset);
  const int rc = ld_image_fit(whole, dataset->options.image_rule, name, &sample->image, err);
  free(name);
  return rc;
}

static int hdf5_read(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err) {
  const ld_image_store *store = dataset->own;
  ld_image whole = {0};
  const int32_t label = ld_image_store_label(store, (int64_t)record->offset);
  const char *name = ld_image_store_name(store, (int64_t)record->offset);
  sample->label_kind = label < 0 ? LD_LABEL_NONE : name ? LD_LABEL_NAME : LD_LABEL_INTEGER;
  sample->label_value = label;
  ld_text_clear(&sample->label_name);
  if (name) ld_text_puts(&sample->label_name, name);
  int rc = ld_image_store_read(store, (int64_t)record->offset, &whole, err);
  if (!rc) rc = fit(dataset, record, &whole, sample, err);
  ld_image_free(&whole);
  return rc;
}

/* The sizes, then the pixels. */
typedef struct sizes {
  int32_t height, width, channels;
} sizes;

static int hdf5_fetch(const ld_dataset *dataset, const ld_record *record, ld_text *out, ld_error *err) {
  ld_image whole = {0};
  const int rc = ld_image_store_read(dataset->own, (int64_t)record->offset, &whole, err);
  const sizes s = {whole.height, whole.width, whole.channels};
  if (!rc) ld_text_append(out, &s, sizeof s);
  if (!rc) ld_text_append(out, whole.pixels, (size_t)s.height * (size_t)s.width * (size_t)s.channels);
  ld_image_free(&whole);
  return rc;
}

static size_t hdf5_mean_bytes(const ld_dataset *dataset) {
  ld_text one = {0};
  const int rc = hdf5_fetch(dataset, &(ld_record){.offset = 0}, &one, NULL);
  const size_t bytes = rc ? 1 << 20 : one.length;
  ld_text_free(&one);
  return bytes;
}

static int hdf5_read_sent(const ld_dataset *dataset, const ld_record *record, const char *bytes,
                          size_t length, ld_sample *sample, ld_error *err) {
  sizes s = {0};
  if (length >= sizeof s) memcpy(&s, bytes, sizeof s);
  if (s.height < 1 || s.width < 1 || s.channels < 1 || s.channels > LD_MAX_CHANNELS ||
      (length - sizeof s) / (size_t)s.channels / (size_t)s.width != (size_t)s.height)
    return ld_fail(err, LD_EFORMAT, "%s: image %llu was cut off on its way", dataset->path,
                   (unsigned long long)record->offset);
  /* The pixels are only read. */
  const ld_image whole = {.height = s.height,
                          .width = s.width,
                          .channels = s.channels,
                          .pixels = (uint8_t *)(uintptr_t)(bytes + sizeof s)};
  return fit(dataset, record, &whole, sample, err);
}

const ld_data_format ld_data_image_hdf5 = {
    .endings = {".h5", ".hdf5"},
    .open = hdf5_open,
    .next = hdf5_next,
    .read = hdf5_read,
    .close = hdf5_close,
    .mean_bytes = hdf5_mean_bytes,
    .fetch = hdf5_fetch,
    .read_sent = hdf5_read_sent,
};
