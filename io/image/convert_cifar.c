/* CIFAR's binary files: records of one label byte (CIFAR-10) or a coarse and a fine one (CIFAR-100), then the
 * red, the green and the blue plane of 32 x 32. Only its length and labels show which of the two a file is. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "io/file.h"
#include "io/image/convert_form.h"
#include "io/image/hdf5.h"

enum { SIDE = 32, PLANE = SIDE * SIDE, PIXELS = 3 * PLANE };

typedef struct cifar {
  ld_map *maps;
  size_t n_maps;
  int label_bytes; /* 1 or 2 */
  int64_t n;
} cifar;

/* Whether all records have labels in range when the file is read in this way. */
static bool fits(const ld_map *map, int label_bytes) {
  const size_t record = PIXELS + (size_t)label_bytes;
  if (!map->length || map->length % record) return false;
  for (size_t at = 0; at < map->length; at += record) {
    const uint8_t *label = (const uint8_t *)map->bytes + at;
    if (label_bytes == 1 ? label[0] >= 10 : label[0] >= 20 || label[1] >= 100) return false;
  }
  return true;
}

static int open_maps(cifar *c, const char *const *paths, size_t n, ld_error *err) {
  c->maps = ld_alloc(n, sizeof *c->maps);
  c->n_maps = n;
  for (size_t i = 0; i < n; i++) {
    const int rc = ld_map_open(paths[i], &c->maps[i], err);
    if (rc) return rc;
    const int bytes = fits(&c->maps[i], 1) ? 1 : fits(&c->maps[i], 2) ? 2 : 0;
    if (!bytes || (i && bytes != c->label_bytes))
      return ld_fail(
          err, LD_EFORMAT,
          "%s: %s; known are CIFAR-10 and CIFAR-100 binary files (whole records of %d and %d bytes, labels "
          "below 10 and 100), IDX files, plain or .gz, and folders of class folders of images",
          paths[i], bytes ? "another kind than the files before it" : "not a known set of images", PIXELS + 1,
          PIXELS + 2);
    c->label_bytes = bytes;
    c->n += (int64_t)(c->maps[i].length / (PIXELS + (size_t)bytes));
  }
  return 0;
}

static int add_records(ld_image_writer *writer, const void *user, ld_error *err) {
  const cifar *c = user;
  const size_t skip = (size_t)c->label_bytes;
  uint8_t pixels[PIXELS];
  int rc = 0;
  for (size_t i = 0; i < c->n_maps; i++)
    for (size_t at = 0; !rc && at < c->maps[i].length; at += PIXELS + skip) {
      const uint8_t *record = (const uint8_t *)c->maps[i].bytes + at;
      for (int p = 0; p < PLANE; p++)
        for (int k = 0; k < 3; k++) pixels[3 * p + k] = record[skip + (size_t)(k * PLANE + p)];
      rc = ld_image_writer_add(writer, pixels, record[skip - 1], err);
    }
  return rc;
}

/* The lines of a file of class names beside `path`; *names is NULL when there is none. */
static int read_names(const char *path, const char *file, size_t n_classes, char ***names, ld_error *err) {
  const size_t folder = (size_t)(ld_path_base(path) - path);
  char *beside = ld_format("%.*s%s", (int)folder, path, file);
  ld_map map = {0};
  size_t n = 0;
  int rc = ld_file_exists(beside) ? ld_map_open(beside, &map, err) : 0;
  if (map.length) *names = ld_alloc(n_classes, sizeof **names);
  for (size_t at = 0; at < map.length;) {
    const char *line = map.bytes + at, *end = memchr(line, '\n', map.length - at);
    size_t length = end ? (size_t)(end - line) : map.length - at;
    at += length + 1;
    while (length && (line[length - 1] == '\r' || line[length - 1] == ' ')) length--;
    if (length && n++ < n_classes) (*names)[n - 1] = ld_strndup(line, length);
  }
  if (map.length && n != n_classes) {
    rc = ld_fail(err, LD_EMISMATCH, "%s: has %zu %s, but there are %zu classes: correct or remove it", beside,
                 n, ld_plural((long long)n, "name", "names"), n_classes);
    ld_names_free(*names, n < n_classes ? n : n_classes);
    *names = NULL;
  }
  ld_map_close(&map);
  free(beside);
  return rc;
}

static char *join_names(const char *const *paths, size_t n) {
  ld_text text = {0};
  for (size_t i = 0; i < n; i++) ld_text_printf(&text, "%s%s", i ? ", " : "", ld_path_base(paths[i]));
  return text.bytes;
}

static int convert_files(const char *const *paths, size_t n, const char *out, ld_converted *converted,
                         ld_error *err) {
  cifar c = {0};
  char **names = NULL;
  int rc = open_maps(&c, paths, n, err);
  const bool ten = c.label_bytes == 1;
  const size_t n_classes = ten ? 10 : 100;
  if (!rc)
    rc = read_names(paths[0], ten ? "batches.meta.txt" : "fine_label_names.txt", n_classes, &names, err);
  if (!rc) {
    char *source = join_names(paths, n);
    const ld_image_shape shape = {.n = c.n,
                                  .height = SIDE,
                                  .width = SIDE,
                                  .channels = 3,
                                  .labelled = true,
                                  .source = source,
                                  .names = names,
                                  .n_names = names ? n_classes : 0};
    rc = ld_image_store_write(out, &shape, add_records, &c, err);
    *converted = (ld_converted){c.n, SIDE, SIDE, 3, true, ten ? "CIFAR-10" : "CIFAR-100", 0};
    free(source);
  }
  if (names) ld_names_free(names, n_classes);
  for (size_t i = 0; i < c.n_maps; i++) ld_map_close(&c.maps[i]);
  free(c.maps);
  return rc;
}

/* The data_batch_*.bin files in a folder, in order; NULL when it cannot be read. */
static char **list_batches(const char *folder, size_t *n, ld_error *err) {
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

/* Any file, and a folder of batches. */
static bool is_cifar(const char *data) {
  if (!ld_is_folder(data)) return true;
  size_t n;
  char **batches = list_batches(data, &n, NULL);
  const bool any = batches && n;
  if (batches) ld_names_free(batches, n);
  return any;
}

static int convert(const char *data, const char *labels, const char *out, ld_converted *converted,
                   ld_error *err) {
  (void)labels;
  if (!ld_is_folder(data)) return convert_files(&data, 1, out, converted, err);
  size_t n;
  char **batches = list_batches(data, &n, err);
  if (!batches) return LD_EFILE;
  const int rc = convert_files((const char *const *)batches, n, out, converted, err);
  ld_names_free(batches, n);
  return rc;
}

const ld_convert_form ld_convert_cifar = {.fits = is_cifar, .convert = convert};
