/* Images in a folder, each with a caption. Units are images; a record's bytes are the caption with its NUL, then the
 * file's. */
#include <string.h>

#include "io/dataset/format.h"
#include "io/dataset/picture_list.h"
#include "io/dataset/source_folder.h"
#include "io/image/decode.h"

static int read_picture(const ld_dataset *dataset, const ld_record *record, const ld_bytes *bytes,
                        ld_parsed *out, ld_error *err) {
  (void)record;
  const char *path = ld_source_path(dataset->source);
  const char *end = bytes->length ? memchr(bytes->at, 0, bytes->length) : NULL;
  if (!end || !bytes->name) return ld_fail(err, LD_EFORMAT, "%s: a record was received incomplete", path);
  const size_t n = (size_t)(end - bytes->at);
  out->place = ld_path_join(path, bytes->name);
  ld_parsed_add_text(out, "caption", bytes->at, n);
  return ld_image_decode_on_white(end + 1, bytes->length - n - 1, out->place, &out->image, err);
}

static int folder_source(ld_dataset *dataset, const char *path, ld_error *err) {
  ld_picture_list list;
  const int rc = ld_picture_list_read(path, dataset->options.caption, &list, err);
  if (!rc) {
    ld_picture_list_warn(&list, path);
    dataset->source = ld_source_folder_captioned(path, list.paths, list.captions, list.n);
    list.paths = list.captions = NULL; /* the source's now */
    list.n = 0;
  }
  ld_picture_list_free(&list);
  return rc;
}

const ld_data_format ld_data_picture_folder = {
    .endings = {"/"}, .image = "image", .captions = true, .source = folder_source, .read = read_picture};
