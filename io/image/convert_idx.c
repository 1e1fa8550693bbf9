/* IDX, MNIST's format: two zero bytes, the type (8: unsigned byte), the number of dimensions, each dimension
 * as 4 bytes (big-endian), then the elements. Read through zlib, which passes uncompressed files through. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "base/memory.h"
#include "io/file.h"
#include "io/image/convert_form.h"
#include "io/image/hdf5.h"

enum { MOST_DIMS = 3 };

typedef struct idx {
  const char *path;
  gzFile file;
  int ndim;
  uint32_t shape[MOST_DIMS];
} idx;

static int fail_read(const idx *x, ld_error *err) {
  int number = 0;
  const char *why = gzerror(x->file, &number);
  if (number == Z_ERRNO) why = strerror(errno);
  return ld_fail(err, LD_EFORMAT, "%s: the file is %s%s%s: get it again", x->path,
                 number && number != Z_BUF_ERROR ? "damaged (" : "cut off",
                 number && number != Z_BUF_ERROR ? why : "", number && number != Z_BUF_ERROR ? ")" : "");
}

static bool read_header(idx *x) {
  uint8_t head[4 + 4 * MOST_DIMS];
  if (gzread(x->file, head, 4) != 4 || head[0] || head[1] || head[2] != 8) return false;
  x->ndim = head[3];
  if (x->ndim < 1 || x->ndim > MOST_DIMS) return false;
  const unsigned n = 4 * (unsigned)x->ndim;
  if (gzread(x->file, head, n) != (int)n) return false;
  for (int d = 0; d < x->ndim; d++)
    x->shape[d] = (uint32_t)head[4 * d] << 24 | (uint32_t)head[4 * d + 1] << 16 |
                  (uint32_t)head[4 * d + 2] << 8 | head[4 * d + 3];
  return true;
}

/* Whether the file begins like IDX images or is compressed: no other form can be compressed. */
static bool is_idx(const char *path) {
  idx x = {.path = path, .file = ld_file_exists(path) ? gzopen(path, "rbe") : NULL};
  if (!x.file) return false;
  const bool found = !gzdirect(x.file) || (read_header(&x) && x.ndim == 3);
  gzclose(x.file);
  return found;
}

/* The header must not claim more than the file can hold. */
static int open_idx(const char *path, int ndim, const char *what, idx *x, ld_error *err) {
  struct stat info;
  *x = (idx){.path = path};
  if (!ld_file_exists(path) || stat(path, &info) != 0 || !(x->file = gzopen(path, "rbe")))
    return ld_fail(err, LD_EFILE, "%s: cannot open: %s", path,
                   errno ? strerror(errno)
                         : "not a regular "
                           "file");
  const bool known = read_header(x) && x->ndim == ndim;
  int number = 0;
  if (!known) gzerror(x->file, &number);
  if (number) return fail_read(x, err);
  if (!known)
    return ld_fail(err, LD_EFORMAT, "%s: not an IDX file of %s (unsigned bytes, %d dimension%s)", path, what,
                   ndim, ndim > 1 ? "s" : "");
  uint64_t most = (uint64_t)info.st_size * LD_MOST_INFLATED;
  for (int d = 0; d < ndim; d++) {
    if (!x->shape[d]) return ld_fail(err, LD_EFORMAT, "%s: holds nothing (a dimension is 0)", path);
    most /= x->shape[d];
  }
  return most ? 0 : ld_fail(err, LD_EFORMAT, "%s: the file is cut off: get it again", path);
}

/* The labels, one byte each; *labels stays NULL when `path` is NULL. */
static int read_labels(const char *path, uint32_t n, uint8_t **labels, ld_error *err) {
  idx x;
  if (!path) return 0;
  int rc = open_idx(path, 1, "labels", &x, err);
  if (!rc && x.shape[0] != n)
    rc = ld_fail(err, LD_EMISMATCH, "%s: has %u labels, but there are %u images", path, x.shape[0], n);
  if (!rc) {
    *labels = ld_alloc(n, 1);
    if (gzread(x.file, *labels, n) != (int)n) rc = fail_read(&x, err);
  }
  if (x.file) gzclose(x.file);
  return rc;
}

/* The name with `labels-idx1` for `images-idx3`, if that file exists, compressed or not; else NULL. */
static char *find_labels(const char *images) {
  const char *base = ld_path_base(images), *at = strstr(base, "images");
  if (!at || (strncmp(at, "images-idx3", 11) != 0 && strncmp(at, "images.idx3", 11) != 0)) return NULL;
  const size_t length = strlen(images);
  const bool packed = length > 3 && !strcmp(images + length - 3, ".gz");
  char *same = ld_format("%.*slabels%cidx1%s", (int)(at - images), images, at[6], at + 11);
  if (ld_file_exists(same)) return same;
  char *other = packed ? ld_strndup(same, strlen(same) - 3) : ld_format("%s.gz", same);
  free(same);
  if (ld_file_exists(other)) return other;
  free(other);
  return NULL;
}

typedef struct pair {
  const idx *images;
  const uint8_t *labels;
} pair;

static int add_images(ld_image_writer *writer, const void *user, ld_error *err) {
  const pair *p = user;
  const idx *x = p->images;
  const unsigned bytes = x->shape[1] * x->shape[2];
  uint8_t *pixels = ld_alloc(bytes, 1);
  int rc = 0;
  for (uint32_t i = 0; !rc && i < x->shape[0]; i++)
    rc = gzread(x->file, pixels, bytes) == (int)bytes
             ? ld_image_writer_add(writer, pixels, p->labels ? p->labels[i] : 0, err)
             : fail_read(x, err);
  /* Tries to read one byte more: there must be none, and this reads a compressed file's checksum. */
  uint8_t more;
  const int rest = rc ? 0 : gzread(x->file, &more, 1);
  int number = 0;
  if (!rc) gzerror(x->file, &number);
  if (number) rc = fail_read(x, err);
  if (rest > 0) rc = ld_fail(err, LD_EFORMAT, "%s: is longer than its header says", x->path);
  free(pixels);
  return rc;
}

static int convert_open(idx *x, const char *labels_path, const char *out, ld_converted *converted,
                        ld_error *err) {
  uint8_t *labels = NULL;
  const uint32_t n = x->shape[0], height = x->shape[1], width = x->shape[2];
  if (height > LD_IMAGE_SIDE || width > LD_IMAGE_SIDE || (uint64_t)height * width > LD_IMAGE_PIXELS)
    return ld_fail(err, LD_EFORMAT, "%s: images of %u x %u are too large", x->path, width, height);
  int rc = read_labels(labels_path, n, &labels, err);
  if (!rc) {
    const ld_image_shape shape = {.n = n,
                                  .height = (int)height,
                                  .width = (int)width,
                                  .channels = 1,
                                  .labelled = labels != NULL,
                                  .source = ld_path_base(x->path)};
    rc = ld_image_store_write(out, &shape, add_images, &(pair){x, labels}, err);
    *converted = (ld_converted){n, (int)height, (int)width, 1, labels != NULL, "IDX", 0};
  }
  free(labels);
  return rc;
}

static int convert(const char *images, const char *labels, const char *out, ld_converted *converted,
                   ld_error *err) {
  idx x;
  char *found = labels ? NULL : find_labels(images);
  int rc = open_idx(images, 3, "images", &x, err);
  if (!rc) rc = convert_open(&x, labels ? labels : found, out, converted, err);
  if (x.file) gzclose(x.file);
  free(found);
  return rc;
}

const ld_convert_form ld_convert_idx = {.takes_labels = true, .fits = is_idx, .convert = convert};
