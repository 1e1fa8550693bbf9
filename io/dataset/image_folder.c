/* Images in files: folders of class folders, a folder of images, one image. Units are images. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/dataset/data_form.h"
#include "io/dataset/format.h"
#include "io/dataset/source_folder.h"
#include "io/image/decode.h"
#include "io/image/list.h"

/* An image's class is the first folder in its path. */
static int read_image(const ld_dataset *dataset, const ld_record *record, const ld_bytes *bytes,
                      ld_parsed *out, ld_error *err) {
  (void)record;
  const char *path = ld_source_path(dataset->source), *slash = bytes->name ? strchr(bytes->name, '/') : NULL;
  out->place = bytes->name ? ld_path_join(path, bytes->name) : ld_strdup(path);
  if (slash) ld_parsed_add_text(out, "label", bytes->name, (size_t)(slash - bytes->name));
  const bool picture = dataset->form->pictures;
  return (picture ? ld_image_decode_on_white : ld_image_decode)(bytes->at, bytes->length, out->place,
                                                                &out->image, err);
}

/* Moves the list's paths out of it, for a source that owns them. */
static char **take_paths(ld_image_list *list) {
  char **paths = ld_alloc(list->n, sizeof *paths);
  for (size_t i = 0; i < list->n; i++) {
    paths[i] = list->files[i].path;
    list->files[i].path = NULL;
  }
  return paths;
}

static int folder_source(ld_dataset *dataset, const char *path, ld_error *err) {
  ld_image_list list;
  int rc = ld_image_list_read(path, &list, err);
  if (!rc && !dataset->options.unlabelled) rc = ld_image_list_check_classes(&list, path, err);
  if (!rc) ld_image_list_warn(&list, path);
  if (!rc) dataset->source = ld_source_folder(path, take_paths(&list), list.n);
  ld_image_list_free(&list);
  return rc;
}

const ld_data_format ld_data_image_folder = {
    .endings = {"/"}, .image = "image", .source = folder_source, .read = read_image};

/* One unit: the whole file. */
static int whole_read(const ld_source *source, uint64_t offset, uint64_t n, ld_bytes *out, ld_error *err) {
  (void)offset, (void)n, (void)err;
  *out = (ld_bytes){.at = source->map.bytes, .length = source->map.length};
  return 0;
}

static size_t whole_bytes(const ld_source *source) {
  return source->map.length;
}

static const ld_source_kind whole_file = {.read = whole_read, .unit_bytes = whole_bytes};

static int file_source(ld_dataset *dataset, const char *path, ld_error *err) {
  const int rc = ld_source_map(path, &whole_file, &dataset->source, err);
  if (!rc) dataset->source->length = 1;
  return rc;
}

const ld_data_format ld_data_image_file = {.endings = {".png", ".jpg", ".jpeg", ".webp"},
                                           .image = "image",
                                           .source = file_source,
                                           .read = read_image};
