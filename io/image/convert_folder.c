/* Folders of images, all of one size, since HDF5 keeps them as one array. */
#include <stdlib.h>

#include "base/memory.h"
#include "io/file.h"
#include "io/image/convert_form.h"
#include "io/image/decode.h"
#include "io/image/hdf5.h"
#include "io/image/list.h"

typedef struct class_folder {
  const char *path;
  const ld_image_list *list;
  const ld_image_shape *shape;
  int64_t *n_turned;
} class_folder;

static int read_one(const char *root, const ld_image_file *file, ld_image *image, ld_error *err) {
  char *path = ld_path_join(root, file->path);
  const int rc = ld_image_read(path, image, err);
  free(path);
  return rc;
}

static int check_same(const class_folder *f, const ld_image_file *file, const ld_image *image,
                      ld_error *err) {
  const ld_image_shape *s = f->shape;
  if (image->height == s->height && image->width == s->width && image->channels == s->channels) return 0;
  return ld_fail(
      err, LD_EMISMATCH,
      "%s/%s: %d x %d pixels with %d channels, but the first image has %d x %d with %d: give all images "
      "one size and form, or use the folder itself as --data",
      f->path, file->path, image->width, image->height, image->channels, s->width, s->height, s->channels);
}

static int add_files(ld_image_writer *writer, const void *user, ld_error *err) {
  const class_folder *f = user;
  ld_image image = {0};
  int rc = 0;
  for (size_t i = 0; !rc && i < f->list->n; i++) {
    const ld_image_file *file = &f->list->files[i];
    rc = read_one(f->path, file, &image, err);
    if (!rc) rc = check_same(f, file, &image, err);
    if (!rc) *f->n_turned += image.turned;
    if (!rc) rc = ld_image_writer_add(writer, image.pixels, file->class, err);
  }
  ld_image_free(&image);
  return rc;
}

static int convert(const char *path, const char *labels, const char *out, ld_converted *converted,
                   ld_error *err) {
  (void)labels;
  ld_image_list list;
  ld_image first = {0};
  int rc = ld_image_list_read(path, &list, err);
  if (!rc) rc = ld_image_list_check_classes(&list, path, err);
  if (!rc) ld_image_list_warn(&list, path);
  if (!rc) rc = read_one(path, &list.files[0], &first, err);
  if (!rc) {
    const ld_image_shape shape = {.n = (int64_t)list.n,
                                  .height = first.height,
                                  .width = first.width,
                                  .channels = first.channels,
                                  .labelled = list.n_classes > 0,
                                  .source = ld_path_base(path),
                                  .names = list.classes,
                                  .n_names = list.n_classes};
    int64_t n_turned = 0;
    rc = ld_image_store_write(out, &shape, add_files, &(class_folder){path, &list, &shape, &n_turned}, err);
    *converted = (ld_converted){shape.n,        first.height,   first.width, first.channels,
                                shape.labelled, "image folder", n_turned};
  }
  ld_image_free(&first);
  ld_image_list_free(&list);
  return rc;
}

const ld_convert_form ld_convert_folder = {.fits = ld_is_folder, .convert = convert};
