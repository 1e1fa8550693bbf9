#include "io/image/convert.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/file.h"

const char *ld_convert_base(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash && slash[1] ? slash + 1 : path;
}

int ld_convert_write(const char *out, const ld_image_shape *shape,
                     int (*fill)(ld_image_writer *writer, const void *user, ld_error *err), const void *user,
                     ld_error *err) {
  char *part = ld_file_begin(out, err);
  if (!part) return LD_EFILE;
  ld_image_writer *writer;
  int rc = ld_image_writer_open(part, out, shape, &writer, err);
  if (!rc) {
    rc = fill(writer, user, err);
    rc = ld_image_writer_close(writer, rc, err);
  }
  return ld_file_end(part, out, rc, err);
}

/* The data_batch_*.bin files in a folder, in order. */
static char **cifar_batches(const char *folder, size_t *n, ld_error *err) {
  size_t all;
  char **names = ld_folder_names(folder, &all, err);
  *n = 0;
  for (size_t i = 0; names && i < all; i++) {
    char *name = names[i];
    if (fnmatch("data_batch_*.bin", name, 0) == 0) names[(*n)++] = ld_path_join(folder, name);
    free(name);
  }
  return names;
}

static int convert_folder(const char *data, const char *out, ld_converted *converted, ld_error *err) {
  size_t n;
  char **batches = cifar_batches(data, &n, err);
  if (!batches) return LD_EFILE;
  const int rc = n ? ld_convert_cifar_files(batches, n, out, converted, err)
                   : ld_convert_folder(data, out, converted, err);
  ld_names_free(batches, n);
  return rc;
}

int ld_image_convert(const char *data, const char *labels, const char *out, ld_converted *converted,
                     ld_error *err) {
  *converted = (ld_converted){0};
  const bool folder = ld_is_folder(data);
  if (!folder && ld_convert_is_idx(data)) return ld_convert_idx(data, labels, out, converted, err);
  if (labels)
    return ld_fail(err, LD_EUSAGE,
                   "%s: only IDX images have their labels in another file, leave the labels' file out", data);
  if (folder) return convert_folder(data, out, converted, err);
  char *one = ld_strdup(data);
  const int rc = ld_convert_cifar_files(&one, 1, out, converted, err);
  free(one);
  return rc;
}
