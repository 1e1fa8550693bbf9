/* Images in an HDF5 file. Units are images; the file is also mapped, for its length and digest. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/dataset/format.h"
#include "io/image/fit.h"
#include "io/image/hdf5.h"

/* The head of an image's bytes; the name of its class follows, then the pixels. */
typedef struct image_head {
  int32_t height, width, channels;
  int32_t label, name_length; /* -1: none */
} image_head;

static int hdf5_read(const ld_source *source, uint64_t offset, uint64_t n, ld_bytes *out, ld_error *err) {
  (void)n;
  const ld_image_store *store = source->own;
  const char *name = ld_image_store_name(store, (int64_t)offset);
  const size_t name_length = name ? strlen(name) : 0, pixels = ld_image_store_bytes(store);
  char *at = out->own = ld_realloc(NULL, sizeof(image_head) + name_length + pixels, 1);
  ld_image image = {.pixels = (uint8_t *)at + sizeof(image_head) + name_length, .room = pixels};
  const int rc = ld_image_store_read(store, (int64_t)offset, &image, err);
  const image_head h = {image.height, image.width, image.channels,
                        ld_image_store_label(store, (int64_t)offset), name ? (int32_t)name_length : -1};
  memcpy(at, &h, sizeof h);
  if (name) memcpy(at + sizeof h, name, name_length);
  out->at = at;
  out->length = sizeof h + name_length + pixels;
  if (rc) ld_bytes_free(out);
  return rc;
}

static size_t hdf5_bytes(const ld_source *source) {
  return sizeof(image_head) + ld_image_store_bytes(source->own);
}

static void hdf5_close(ld_source *source) {
  ld_image_store_close(source->own);
}

static const ld_source_kind images = {.read = hdf5_read, .unit_bytes = hdf5_bytes, .close = hdf5_close};

static int hdf5_source(ld_dataset *dataset, const char *path, ld_error *err) {
  ld_image_store *store;
  int rc = ld_source_map(path, &images, &dataset->source, err);
  if (rc) return rc;
  ld_source *source = dataset->source;
  rc = ld_image_store_open(path, source->map.length, !dataset->options.unlabelled, &store, err);
  source->own = store;
  if (rc) return rc;
  source->length = (uint64_t)ld_image_store_count(store);
  ld_data_warn_unused(dataset, "the objects", ld_image_store_unused(store, false));
  ld_data_warn_unused(dataset, "the names of classes without an image", ld_image_store_unused(store, true));
  return 0;
}

static bool is_whole(const image_head *h, size_t length) {
  if (h->height < 1 || h->width < 1 || h->channels < 1 || h->channels > LD_MAX_CHANNELS) return false;
  const size_t name = h->name_length < 0 ? 0 : (size_t)h->name_length;
  return name <= length && (length - name) / (size_t)h->channels / (size_t)h->width == (size_t)h->height;
}

static int read_image(const ld_dataset *dataset, const ld_record *record, const ld_bytes *bytes,
                      ld_parsed *out, ld_error *err) {
  image_head h;
  out->place = ld_format("%s: image %llu", dataset->source->path, (unsigned long long)record->offset);
  if (bytes->length >= sizeof h) memcpy(&h, bytes->at, sizeof h);
  if (bytes->length < sizeof h || !is_whole(&h, bytes->length - sizeof h))
    return ld_fail(err, LD_EFORMAT, "%s was received incomplete", out->place);
  const size_t name_length = h.name_length < 0 ? 0 : (size_t)h.name_length;
  const char *name = bytes->at + sizeof h, *pixels = name + name_length;
  if (h.name_length >= 0)
    ld_parsed_add_text(out, "label", name, name_length);
  else if (h.label >= 0)
    ld_parsed_add_integer(out, "label", h.label);
  const int rc = ld_image_make(&out->image, h.height, h.width, h.channels, out->place, err);
  if (!rc) memcpy(out->image.pixels, pixels, (size_t)h.height * (size_t)h.width * (size_t)h.channels);
  return rc;
}

const ld_data_format ld_data_image_hdf5 = {
    .endings = {".h5", ".hdf5"}, .image = "image", .source = hdf5_source, .read = read_image};
