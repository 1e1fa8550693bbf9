/* Images in an HDF5 file. Offsets count images. The file is mapped besides, for its length and digest. */
#include "io/dataset/format.h"
#include "io/image/hdf5.h"

static int hdf5_open(ld_dataset *dataset, ld_error *err) {
  ld_image_store *store = NULL;
  dataset->form = LD_DATA_IMAGES;
  int rc = ld_map_open(dataset->path, &dataset->map, err);
  if (!rc)
    rc = ld_image_store_open(dataset->path, dataset->map.length, !dataset->options.unlabelled, &store, err);
  dataset->own = store;
  if (!rc) dataset->length = (uint64_t)ld_image_store_count(store);
  return rc;
}

static void hdf5_close(ld_dataset *dataset) {
  ld_image_store_close(dataset->own);
  dataset->own = NULL;
}

static uint64_t hdf5_next(const ld_dataset *dataset, uint64_t offset) {
  (void)dataset;
  return offset + 1;
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
  const int rc = ld_image_store_read(store, (int64_t)record->offset, &whole, err);
  if (!rc) ld_image_fit(&whole, dataset->options.image_rule, &sample->image);
  ld_image_free(&whole);
  return rc;
}

const ld_data_format ld_data_image_hdf5 = {
    .endings = {".h5", ".hdf5"},
    .open = hdf5_open,
    .next = hdf5_next,
    .read = hdf5_read,
    .close = hdf5_close,
};
