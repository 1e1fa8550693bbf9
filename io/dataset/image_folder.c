/* Images in files: folders of class folders, a folder of images, one image. Offsets count images. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "io/dataset/format.h"
#include "io/digest.h"
#include "io/hash.h"
#include "io/image/decode.h"
#include "io/image/fit.h"
#include "io/image/list.h"

static uint64_t next_image(const ld_dataset *dataset, uint64_t offset) {
  (void)dataset;
  return offset + 1;
}

static int folder_open(ld_dataset *dataset, ld_error *err) {
  ld_image_list *list = ld_alloc(1, sizeof *list);
  dataset->own = list;
  dataset->form = LD_DATA_IMAGES;
  int rc = ld_image_list_read(dataset->path, list, err);
  if (!rc && !dataset->options.unlabelled) rc = ld_image_list_check_classes(list, dataset->path, err);
  if (!rc) ld_image_list_warn(list, dataset->path);
  dataset->length = list->n;
  return rc;
}

static void folder_close(ld_dataset *dataset) {
  if (dataset->own) ld_image_list_free(dataset->own);
  free(dataset->own);
  dataset->own = NULL;
}

static int decode(const ld_dataset *dataset, const ld_map *file, const char *name, ld_sample *sample,
                  ld_error *err) {
  ld_image whole = {0};
  int rc = ld_image_decode(file->bytes, file->length, name, &whole, err);
  if (!rc) rc = ld_image_fit(&whole, dataset->options.image_rule, name, &sample->image, err);
  sample->turned = whole.turned;
  ld_image_free(&whole);
  return rc;
}

/* Where the file is not, only its number is known. */
static int read_sent(const ld_dataset *dataset, const ld_record *record, const char *bytes, size_t length,
                     ld_sample *sample, ld_error *err) {
  char *name = ld_format("%s: image %llu", dataset->path, (unsigned long long)record->offset);
  const int rc = decode(dataset, &(ld_map){bytes, length}, name, sample, err);
  free(name);
  return rc;
}

static char *file_path(const ld_dataset *dataset, size_t i) {
  const ld_image_list *list = dataset->own;
  return ld_path_join(dataset->path, list->files[i].path);
}

/* A run goes on with the bytes that it has seen first, as that of other data does. */
static int check_unchanged(const ld_dataset *dataset, size_t i, const char *path, const ld_map *map, ld_error *err) {
  ld_image_list *list = dataset->own;
  ld_region region = {map->bytes, map->length, 0};
  ld_hash_regions(&region, 1, 1);
  if (list->files[i].hash && list->files[i].hash != region.hash)
    return ld_fail(err, LD_EMISMATCH,
                   "%s: was changed while it was in use: restore it, and run the same command again", path);
  list->files[i].hash = region.hash;
  return 0;
}

static int map_file(const ld_dataset *dataset, const ld_record *record, char **path, ld_map *map,
                    ld_error *err) {
  *path = file_path(dataset, record->offset);
  const int rc = ld_map_open(*path, map, err);
  return rc ? rc : check_unchanged(dataset, record->offset, *path, map, err);
}

static int folder_read(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err) {
  const ld_image_list *list = dataset->own;
  const ld_image_file *file = &list->files[record->offset];
  sample->label_kind = file->class < 0 ? LD_LABEL_NONE : LD_LABEL_NAME;
  ld_text_clear(&sample->label_name);
  if (file->class >= 0) ld_text_puts(&sample->label_name, list->classes[file->class]);
  char *path;
  ld_map map;
  int rc = map_file(dataset, record, &path, &map, err);
  if (!rc) rc = decode(dataset, &map, path, sample, err);
  ld_map_close(&map);
  free(path);
  return rc;
}

static int folder_fetch(const ld_dataset *dataset, const ld_record *record, ld_text *out, ld_error *err) {
  char *path;
  ld_map map;
  const int rc = map_file(dataset, record, &path, &map, err);
  if (!rc) ld_text_append(out, map.bytes, map.length);
  ld_map_close(&map);
  free(path);
  return rc;
}

static const char *folder_name(const ld_dataset *dataset, const ld_record *record) {
  const ld_image_list *list = dataset->own;
  return list->files[record->offset].path;
}

enum { EDGE = 1024 };

/* Adds the length and the first and last KiB. */
static void add_old(ld_digest *digest, const char *path) {
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

/* Some files of the list, spread evenly: all of a short one. */
enum { SAMPLES = 64 };

static size_t folder_mean_bytes(const ld_dataset *dataset) {
  const ld_image_list *list = dataset->own;
  const size_t n = list->n < SAMPLES ? list->n : SAMPLES;
  size_t sum = 0;
  for (size_t i = 0; i < n; i++) {
    struct stat info;
    char *path = file_path(dataset, list->n / n * i);
    if (!stat(path, &info)) sum += (size_t)info.st_size;
    free(path);
  }
  return sum / n + 1;
}

/* The folder itself and the names in it: stamps of all files would take a call to the file system for each,
 * on every rank. */
static uint64_t folder_stamp(const ld_dataset *dataset) {
  const ld_image_list *list = dataset->own;
  struct stat info = {0};
  (void)stat(dataset->path, &info);
  uint64_t hash = ld_hash_u64(ld_hash_u64(0, info.st_dev), info.st_ino);
  for (size_t i = 0; i < list->n; i++) hash = ld_hash_string(hash, list->files[i].path);
  return hash;
}

/* Images are mapped so many at a time. */
enum { HELD = 256 };

/* Adds the names and bytes of the images from `first` on. One that cannot be read has no bytes; that it is
 * broken is said where it is used. */
static uint64_t hash_some(const ld_dataset *dataset, size_t first, size_t n, int n_threads, uint64_t hash) {
  ld_image_list *list = dataset->own;
  ld_map maps[HELD];
  ld_region regions[HELD];
  for (size_t i = 0; i < n; i++) {
    char *path = file_path(dataset, first + i);
    if (ld_map_open(path, &maps[i], NULL)) maps[i] = (ld_map){0};
    regions[i] = (ld_region){maps[i].bytes, maps[i].length, 0};
    free(path);
  }
  ld_hash_regions(regions, n, n_threads);
  for (size_t i = 0; i < n; i++) {
    hash = ld_hash_u64(ld_hash_string(hash, list->files[first + i].path), regions[i].hash);
    if (maps[i].bytes) list->files[first + i].hash = regions[i].hash;
    ld_map_close(&maps[i]);
  }
  return hash;
}

static ld_stamp stamp_files(const ld_dataset *dataset) {
  const ld_image_list *list = dataset->own;
  ld_stamp stamp = {.id = folder_stamp(dataset)};
  for (size_t i = 0; i < list->n; i++) {
    char *path = file_path(dataset, i);
    ld_stamp_add(&stamp, path);
    free(path);
  }
  return stamp;
}

static int folder_digest(const ld_dataset *dataset, ld_digests *digests, ld_contents *out, ld_error *err) {
  const ld_image_list *list = dataset->own;
  const int64_t since = ld_digests_now();
  const ld_stamp stamp = stamp_files(dataset);
  if (ld_digests_find(digests, dataset->path, &stamp, out)) return 0;
  *out = (ld_contents){0};
  for (size_t i = 0; i < list->n; i += HELD)
    out->whole = hash_some(dataset, i, list->n - i < HELD ? list->n - i : HELD, ld_digests_threads(digests),
                           out->whole);
  if (stamp_files(dataset).id != stamp.id)
    return ld_fail(err, LD_EFILE,
                   "%s: images change while they are read: wait until whatever writes them is done",
                   dataset->path);
  ld_digests_add(digests, dataset->path, &stamp, since, out);
  return 0;
}

/* As version 1 made it. */
static uint64_t folder_old_digest(const ld_dataset *dataset) {
  const ld_image_list *list = dataset->own;
  ld_digest digest;
  ld_digest_init(&digest);
  for (size_t i = 0; i < list->n; i++) {
    ld_digest_string(&digest, list->files[i].path);
    char *path = file_path(dataset, i);
    add_old(&digest, path);
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
    .stamp = folder_stamp,
    .digest = folder_digest,
    .old_digest = folder_old_digest,
    .mean_bytes = folder_mean_bytes,
    .fetch = folder_fetch,
    .read_sent = read_sent,
};

static int file_open(ld_dataset *dataset, ld_error *err) {
  dataset->form = LD_DATA_IMAGES;
  dataset->length = 1;
  return ld_map_open(dataset->path, &dataset->map, err);
}

static int file_read(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err) {
  (void)record;
  sample->label_kind = LD_LABEL_NONE;
  return decode(dataset, &dataset->map, dataset->path, sample, err);
}

static size_t file_mean_bytes(const ld_dataset *dataset) {
  return dataset->map.length;
}

static int file_fetch(const ld_dataset *dataset, const ld_record *record, ld_text *out, ld_error *err) {
  (void)record;
  (void)err;
  ld_text_append(out, dataset->map.bytes, dataset->map.length);
  return 0;
}

const ld_data_format ld_data_image_file = {
    .endings = {".png", ".jpg", ".jpeg"},
    .open = file_open,
    .next = next_image,
    .read = file_read,
    .mean_bytes = file_mean_bytes,
    .fetch = file_fetch,
    .read_sent = read_sent,
};
