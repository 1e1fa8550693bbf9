/* Images in a folder, each with a caption, followed by those of class_data. Units are images; a record's bytes are the
 * caption with its NUL, then the file's. */
#include <string.h>

#include "io/dataset/format.h"
#include "io/dataset/picture_list.h"
#include "io/dataset/source_folder.h"
#include "io/image/decode.h"

static int read_picture(const ld_dataset *dataset, const ld_record *record, const ld_bytes *bytes,
                        ld_parsed *out, ld_error *err) {
  const char *path = ld_data_path_of(dataset, record);
  const char *end = bytes->length ? memchr(bytes->at, 0, bytes->length) : NULL;
  if (!end || !bytes->name) return ld_fail(err, LD_EFORMAT, "%s: a record was received incomplete", path);
  const size_t n = (size_t)(end - bytes->at);
  out->place = ld_path_join(path, bytes->name);
  ld_parsed_add_text(out, "caption", bytes->at, n);
  return ld_image_decode_on_white(end + 1, bytes->length - n - 1, out->place, &out->image, err);
}

static int read_list(const char *path, const char *caption, ld_picture_list *out, ld_error *err) {
  const int rc = ld_picture_list_read(path, caption, out, err);
  if (rc)
    ld_picture_list_free(out);
  else
    ld_picture_list_warn(out, path);
  return rc;
}

/* The list without what the source owns now. */
static void free_rest(ld_picture_list *list) {
  list->paths = list->captions = NULL;
  list->n = 0;
  ld_picture_list_free(list);
}

static int add_class_data(ld_dataset *dataset, ld_error *err) {
  const ld_dataset_options *options = &dataset->options;
  ld_picture_list list;
  const int rc = read_list(options->class_data, options->class_caption, &list, err);
  if (rc) return rc;
  dataset->first_prior = dataset->source->length;
  ld_source_folder_add(dataset->source, options->class_data, list.paths, list.captions, list.n);
  free_rest(&list);
  return 0;
}

static int folder_source(ld_dataset *dataset, const char *path, ld_error *err) {
  ld_picture_list list;
  const int rc = read_list(path, dataset->options.caption, &list, err);
  if (rc) return rc;
  dataset->source = ld_source_folder_captioned(path, list.paths, list.captions, list.n);
  free_rest(&list);
  return dataset->options.class_data ? add_class_data(dataset, err) : 0;
}

const ld_data_format ld_data_picture_folder = {
    .endings = {"/"}, .image = "image", .captions = true, .source = folder_source, .read = read_picture};
