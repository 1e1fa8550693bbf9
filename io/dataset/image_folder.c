/* Images in files: folders of class folders, a folder of images, one image. Offsets count images. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "io/dataset/format.h"
#include "io/digest.h"
#include "io/image/list.h"

static uint64_t next_image(const ld_dataset *dataset, uint64_t offset) {
  (void)dataset;
  return offset + 1;
}

static int folder_open(ld_dataset *dataset, ld_error *err) {
  ld_image_list *list = ld_alloc(1, sizeof *list);
  dataset->own = list;
  dataset->form = LD_DATA_IMAGES;
  const int rc = ld_image_list_read(dataset->path, list, err);
  dataset->length = list->n;
  return rc;
}

static void folder_close(ld_dataset *dataset) {
  if (dataset->own) ld_image_list_free(dataset->own);
  free(dataset->own);
  dataset->own = NULL;
}

static int read_file(const ld_dataset *dataset, const char *path, ld_sample *sample, ld_error *err) {
  ld_image whole = {0};
  const int rc = ld_image_read(path, &whole, err);
  if (!rc) ld_image_fit(&whole, dataset->options.image_rule, &sample->image);
  ld_image_free(&whole);
  return rc;
}

static int folder_read(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err) {
  const ld_image_list *list = dataset->own;
  const ld_image_file *file = &list->files[record->offset];
  sample->label_kind = file->class < 0 ? LD_LABEL_NONE : LD_LABEL_NAME;
  ld_text_clear(&sample->label_name);
  if (file->class >= 0) ld_text_puts(&sample->label_name, list->classes[file->class]);
  char *path = ld_path_join(dataset->path, file->path);
  const int rc = read_file(dataset, path, sample, err);
  free(path);
  return rc;
}

static const char *folder_name(const ld_dataset *dataset, const ld_record *record) {
  const ld_image_list *list = dataset->own;
  return list->files[record->offset].path;
}

enum { EDGE = 1024 };

/* Adds the length and the first and last KiB. */
static void digest_file(ld_digest *digest, const char *path) {
  char first[EDGE], last[EDGE];
  size_t n_first = 0, n_last = 0;
  struct stat info = {0};
  FILE *file = fopen(path, "rbe");
  if (file && fstat(fileno(file), &info) == 0) {
    n_first = fread(first, 1, sizeof first, file);
    if (info.st_size > EDGE && fseek(file, -EDGE, SEEK_END) == 0) n_last = fread(last, 1, sizeof last, file);
  }
  if (file) fclose(file);
  ld_digest_u64(digest, (uint64_t)info.st_size);
  ld_digest_bytes(digest, first, n_first);
  ld_digest_bytes(digest, last, n_last);
}

static uint64_t folder_digest(const ld_dataset *dataset) {
  const ld_image_list *list = dataset->own;
  ld_digest digest;
  ld_digest_init(&digest);
  for (size_t i = 0; i < list->n; i++) {
    ld_digest_string(&digest, list->files[i].path);
    char *path = ld_path_join(dataset->path, list->files[i].path);
    digest_file(&digest, path);
    free(path);
  }
  return digest.state;
}

const ld_data_format ld_data_image_folder = {
    .endings = {"/"},
    .open = folder_open,
    .next = next_image,
    .read = folder_read,
    .close = folder_close,
    .name = folder_name,
    .digest = folder_digest,
};

static int file_open(ld_dataset *dataset, ld_error *err) {
  dataset->form = LD_DATA_IMAGES;
  dataset->length = 1;
  return ld_map_open(dataset->path, &dataset->map, err);
}

static int file_read(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err) {
  (void)record;
  ld_image whole = {0};
  sample->label_kind = LD_LABEL_NONE;
  const int rc = ld_image_decode(dataset->map.bytes, dataset->map.length, dataset->path, &whole, err);
  if (!rc) ld_image_fit(&whole, dataset->options.image_rule, &sample->image);
  ld_image_free(&whole);
  return rc;
}

const ld_data_format ld_data_image_file = {
    .endings = {".png", ".jpg", ".jpeg"},
    .open = file_open,
    .next = next_image,
    .read = file_read,
};
