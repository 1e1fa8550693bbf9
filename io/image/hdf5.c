#include "io/image/hdf5.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"
#include "base/value.h"
#include "io/file.h"
#include "io/hdf5_chunk.h"
#include "io/hdf5_error.h"
#include "io/json.h"

/* HDF5 takes a whole chunk into memory, whatever its size. */
enum { MOST_CHUNK_BYTES = 1 << 28, MOST_CACHE_BYTES = 1 << 28, MOST_NAME = 255, MOST_NAMES = 1000000 };

/* How the elements are stored in the file. */
typedef struct storage {
  bool known;
  bool filtered, deflated;
  hsize_t chunk[4]; /* 0 if not chunked */
} storage;

struct ld_image_store {
  char *path;
  size_t length;
  hid_t file, images, space;
  int ndim;
  hsize_t shape[4];
  storage how;     /* of the images */
  bool *checked;   /* for each row of their chunks */
  int64_t *labels; /* NULL: none */
  char **names;    /* of the classes; NULL: none */
  size_t n_names;
  bool unreadable; /* the names do not fit into the memory that the probe has */
  ld_tally unused_objects, unused_names;
};

/* The child `name`, a dataset reached by a hard link: other links could lead out of the file. */
static hid_t open_by(const ld_image_store *s, const char *name, hid_t access, ld_error *err) {
  H5L_info_t link;
  const bool there = H5Lget_info(s->file, name, &link, H5P_DEFAULT) >= 0,
             hard = there && link.type == H5L_TYPE_HARD;
  hid_t object = hard ? H5Oopen(s->file, name, H5P_DEFAULT) : -1;
  const bool opened = object >= 0, good = opened && H5Iget_type(object) == H5I_DATASET;
  if (opened) H5Oclose(object);
  object = good ? H5Dopen2(s->file, name, access) : -1;
  if (object >= 0) return object;
  char *what = !there  ? ld_format("expected a dataset '%s' in it", name)
               : !hard ? ld_format("'%s' is a link, which is not followed: store the dataset itself", name)
               : opened && !good ? ld_format("'%s' must be a dataset", name)
                                 : ld_format("'%s' cannot be opened", name);
  ld_hdf5_fail(err, LD_EFORMAT, s->path, what);
  free(what);
  return -1;
}

/* `cache` is the memory for chunks. Without any, HDF5 reads elements of a chunk without filters directly from
 * the file. With some, it trusts the length in the index, which may be too small in a damaged file. */
static hid_t open_set(const ld_image_store *s, const char *name, size_t cache, ld_error *err) {
  const hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
  H5Pset_chunk_cache(access, cache ? 10007 : 1, cache, 1.0);
  const hid_t set = open_by(s, name, access, err);
  H5Pclose(access);
  return set;
}

static bool known_filters(hid_t list, storage *out) {
  const int n = H5Pget_nfilters(list);
  for (int i = 0; i < n; i++) {
    unsigned flags, config;
    size_t values = 0;
    const H5Z_filter_t filter = H5Pget_filter2(list, (unsigned)i, &flags, &values, NULL, 0, NULL, &config);
    if (filter == H5Z_FILTER_DEFLATE) out->deflated = true;
    if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_FLETCHER32)
      return false;
  }
  return n >= 0;
}

static storage find_storage(hid_t set, int ndim) {
  storage s = {0};
  const hid_t list = H5Dget_create_plist(set);
  if (list < 0) return s;
  const H5D_layout_t layout = H5Pget_layout(list);
  s.known = H5Pget_external_count(list) == 0 && known_filters(list, &s);
  s.filtered = layout == H5D_CHUNKED && H5Pget_nfilters(list) > 0;
  if (layout == H5D_CHUNKED)
    s.known = s.known && H5Pget_chunk(list, ndim, s.chunk) == ndim;
  else
    s.known = s.known && (layout == H5D_CONTIGUOUS || layout == H5D_COMPACT);
  H5Pclose(list);
  return s;
}

/* Whether `bytes` bytes of elements can come from what is stored. */
static bool is_stored(const ld_image_store *s, hid_t set, const storage *how, uint64_t bytes) {
  const uint64_t stored = H5Dget_storage_size(set);
  if (stored > s->length) return false;
  return bytes / (how->deflated ? LD_MOST_INFLATED : 1) <= stored;
}

/* Whether the chunks with the `count` elements from `first` on are whole. Without filters no length can be
 * wrong (see open_set). */
static bool are_whole(const ld_image_store *s, hid_t set, const storage *how, int ndim, size_t element,
                      const hsize_t *first, const hsize_t *count) {
  size_t bytes = element;
  for (int d = 0; d < ndim; d++) bytes *= (size_t)how->chunk[d];
  return !how->filtered || ld_hdf5_chunks_whole(set, ndim, how->chunk, bytes, first, count, s->length);
}

static bool is_small_chunk(const storage *how, int ndim, size_t element) {
  uint64_t bytes = element;
  for (int d = 0; d < ndim && how->chunk[0]; d++) {
    if (how->chunk[d] < 1 || how->chunk[d] > MOST_CHUNK_BYTES) return false;
    bytes *= how->chunk[d];
    if (bytes > MOST_CHUNK_BYTES) return false;
  }
  return true;
}

static int fail_storage(const ld_image_store *s, const char *name, ld_error *err) {
  return ld_fail(err, LD_EFORMAT,
                 "%s: '%s' is stored in a way that is not supported: store it in the file itself, in chunks "
                 "below 256 MiB, "
                 "with no filters or gzip and shuffle",
                 s->path, name);
}

/* A shape as text, for errors. */
static char *shape_text(const hsize_t *shape, int ndim) {
  ld_text text = {0};
  for (int d = 0; d < ndim; d++) ld_text_printf(&text, "%s%llu", d ? ", " : "", (unsigned long long)shape[d]);
  if (!text.bytes) ld_text_puts(&text, "");
  return text.bytes;
}

static bool is_byte(hid_t set) {
  const hid_t type = H5Dget_type(set);
  const bool byte = type >= 0 && H5Tget_class(type) == H5T_INTEGER && H5Tget_size(type) == 1 &&
                    H5Tget_sign(type) == H5T_SGN_NONE && H5Tget_precision(type) == 8;
  if (type >= 0) H5Tclose(type);
  return byte;
}

static int check_shape(ld_image_store *s, ld_error *err) {
  const hsize_t *n = s->shape, channels = s->ndim == 4 ? n[3] : 1;
  const bool good = n[0] >= 1 && n[0] <= INT64_MAX / 2 && n[1] >= 1 && n[1] <= LD_IMAGE_SIDE && n[2] >= 1 &&
                    n[2] <= LD_IMAGE_SIDE && n[1] * n[2] <= LD_IMAGE_PIXELS &&
                    (channels == 1 || channels == 3);
  if (good) return 0;
  char *text = shape_text(n, s->ndim);
  ld_fail(err, LD_EFORMAT,
          "%s: 'images' has the shape (%s), expected (N, H, W) or (N, H, W, C) with C 1 or 3", s->path, text);
  free(text);
  return LD_EFORMAT;
}

static uint64_t image_bytes(const ld_image_store *s) {
  return s->shape[1] * s->shape[2] * (s->ndim == 4 ? s->shape[3] : 1);
}

/* Opens `images` again with memory for the chunks of one image, which are read more than once when a chunk
 * holds several images. */
static int set_cache(ld_image_store *s, const storage *how, ld_error *err) {
  uint64_t bytes = 1, chunks = 1;
  for (int d = 0; d < s->ndim; d++) bytes *= how->chunk[d];
  for (int d = 1; d < s->ndim; d++) chunks *= (s->shape[d] + how->chunk[d] - 1) / how->chunk[d];
  if (chunks > MOST_CACHE_BYTES / bytes) chunks = MOST_CACHE_BYTES / bytes;
  const size_t room = (size_t)(chunks * bytes) < 1u << 20 ? 1u << 20 : (size_t)(chunks * bytes);
  H5Dclose(s->images);
  s->images = open_set(s, "images", room, err);
  return s->images < 0 ? LD_EFORMAT : 0;
}

static int open_images(ld_image_store *s, ld_error *err) {
  s->images = open_set(s, "images", 0, err);
  if (s->images < 0) return LD_EFORMAT;
  s->space = H5Dget_space(s->images);
  s->ndim = H5Sget_simple_extent_ndims(s->space);
  if (!is_byte(s->images)) return ld_fail(err, LD_EFORMAT, "%s: 'images' must be of type uint8", s->path);
  if (s->ndim != 3 && s->ndim != 4)
    return ld_fail(err, LD_EFORMAT, "%s: 'images' has %d dimensions, expected (N, H, W) or (N, H, W, C)",
                   s->path, s->ndim);
  if (H5Sget_simple_extent_dims(s->space, s->shape, NULL) < 0)
    return ld_hdf5_fail(err, LD_EFORMAT, s->path, "'images' has no shape");
  const int rc = check_shape(s, err);
  if (rc) return rc;
  const storage how = s->how = find_storage(s->images, s->ndim);
  if (!how.known || !is_small_chunk(&how, s->ndim, 1)) return fail_storage(s, "images", err);
  if (s->shape[0] > UINT64_MAX / image_bytes(s) ||
      !is_stored(s, s->images, &how, s->shape[0] * image_bytes(s)))
    return ld_fail(err, LD_EFORMAT, "%s: 'images' claims more images than the file holds: write it again",
                   s->path);
  if (!how.filtered) return 0;
  s->checked = ld_alloc((size_t)(s->shape[0] / how.chunk[0] + 1), sizeof *s->checked);
  return set_cache(s, &how, err);
}

static int check_labels(ld_image_store *s, hid_t set, hid_t type, ld_error *err) {
  const hid_t space = H5Dget_space(set);
  const int ndim = H5Sget_simple_extent_ndims(space);
  hsize_t n = 0;
  int rc = 0;
  if (H5Tget_class(type) != H5T_INTEGER || H5Tget_size(type) > 8)
    rc = ld_fail(err, LD_EFORMAT, "%s: 'labels' must be integers", s->path);
  else if (ndim != 1 || H5Sget_simple_extent_dims(space, &n, NULL) < 0 || n != s->shape[0])
    rc = ld_fail(err, LD_EFORMAT, "%s: 'labels' must have one number for each of the %llu images", s->path,
                 (unsigned long long)s->shape[0]);
  if (space >= 0) H5Sclose(space);
  if (rc) return rc;
  const storage how = find_storage(set, 1);
  if (!how.known || !is_small_chunk(&how, 1, 8)) return fail_storage(s, "labels", err);
  if (!is_stored(s, set, &how, n) || !are_whole(s, set, &how, 1, H5Tget_size(type), (hsize_t[]){0}, &n))
    rc = ld_fail(err, LD_EFORMAT, "%s: 'labels' is not in the file as a whole", s->path);
  return rc;
}

static int read_labels(ld_image_store *s, hid_t set, ld_error *err) {
  const size_t n = (size_t)s->shape[0];
  s->labels = ld_alloc(n, sizeof *s->labels);
  if (H5Dread(set, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, s->labels) < 0)
    return ld_hdf5_fail(err, LD_EFORMAT, s->path, "'labels' cannot be read: the file is damaged");
  for (size_t i = 0; i < n; i++)
    if (s->labels[i] < 0 || s->labels[i] >= INT32_MAX)
      return ld_fail(err, LD_EFORMAT, "%s: label %lld of image %zu is out of range: classes count from 0",
                     s->path, (long long)s->labels[i], i);
  return 0;
}

/* Texts of fixed length: `texts` receives n of them. */
static bool read_fixed(hid_t attribute, hid_t type, size_t n, char **texts) {
  const size_t size = H5Tget_size(type) + 1;
  const hid_t held = H5Tcopy(H5T_C_S1);
  char *all = ld_alloc(n, size);
  H5Tset_size(held, size);
  H5Tset_cset(held, H5Tget_cset(type));
  const bool good = H5Aread(attribute, held, all) >= 0;
  for (size_t i = 0; good && i < n; i++) texts[i] = ld_strdup(all + i * size);
  free(all);
  H5Tclose(held);
  return good;
}

/* Texts of variable length. These may all point to one place and be long, so the probe reads them first. */
static bool read_variable(hid_t attribute, hid_t type, hid_t space, size_t n, char **texts) {
  const hid_t held = H5Tcopy(H5T_C_S1);
  char **all = ld_alloc(n, sizeof *all);
  H5Tset_size(held, H5T_VARIABLE);
  H5Tset_cset(held, H5Tget_cset(type));
  const bool good = H5Aread(attribute, held, all) >= 0;
  for (size_t i = 0; good && i < n; i++) texts[i] = ld_strdup(all[i] ? all[i] : "");
  if (good) H5Dvlen_reclaim(held, space, H5P_DEFAULT, all);
  free(all);
  H5Tclose(held);
  return good;
}

static int fail_names(const ld_image_store *s, const char *what, ld_error *err) {
  return ld_fail(err, LD_EFORMAT, "%s: the attribute 'names' of 'labels' %s", s->path, what);
}

/* One text that is a JSON list of names. */
static int take_json(ld_image_store *s, const char *text, ld_error *err) {
  ld_value *list = ld_json_parse(text, strlen(text), "names", NULL);
  bool good = list && list->type == LD_LIST;
  for (size_t i = 0; good && i < list->n_items; i++) good = list->items[i].type == LD_STRING;
  if (good) {
    s->n_names = list->n_items;
    s->names = ld_alloc(s->n_names, sizeof *s->names);
    for (size_t i = 0; i < s->n_names; i++) s->names[i] = ld_strdup(list->items[i].string);
  }
  ld_value_free(list);
  return good ? 0 : fail_names(s, "is one text, expected a list of texts, a name for each class", err);
}

/* `ndim` 0: one text. */
static int read_texts(ld_image_store *s, hid_t attribute, hid_t type, hid_t space, int ndim, size_t n,
                      ld_error *err) {
  char **texts = ld_alloc(n, sizeof *texts);
  const bool variable = H5Tis_variable_str(type) > 0;
  const bool good =
      variable ? read_variable(attribute, type, space, n, texts) : read_fixed(attribute, type, n, texts);
  int rc = 0;
  s->unreadable = !good;
  for (size_t i = 0; good && ndim && !rc && i < n; i++)
    if (strlen(texts[i]) > MOST_NAME) rc = fail_names(s, "has a name of more than 255 bytes", err);
  if (!good) rc = fail_names(s, "cannot be read: it is damaged or too large", err);
  if (good && ndim && !rc) {
    s->names = texts;
    s->n_names = n;
    return 0;
  }
  if (good && !ndim) rc = take_json(s, texts[0], err);
  ld_names_free(texts, good ? n : 0);
  return rc;
}

/* The attribute `names` of the labels: a list of texts, or one text that is such a list in JSON. */
static int read_names(ld_image_store *s, hid_t set, ld_error *err) {
  if (H5Aexists(set, "names") <= 0) return 0;
  const hid_t attribute = H5Aopen(set, "names", H5P_DEFAULT), type = H5Aget_type(attribute);
  const hid_t space = H5Aget_space(attribute);
  const int ndim = H5Sget_simple_extent_ndims(space);
  const hssize_t n = H5Sget_simple_extent_npoints(space);
  const size_t size = H5Tis_variable_str(type) > 0 ? MOST_NAME : H5Tget_size(type);
  int rc;
  if (H5Tget_class(type) != H5T_STRING || ndim < 0 || ndim > 1)
    rc = fail_names(s, "must be a list of texts, a name for each class", err);
  else if (n < 1 || n > MOST_NAMES || (size_t)n > s->length || size > s->length)
    rc = fail_names(s, "is empty, or damaged", err);
  else
    rc = read_texts(s, attribute, type, space, ndim, (size_t)n, err);
  H5Sclose(space);
  H5Tclose(type);
  H5Aclose(attribute);
  return rc;
}

/* Each label must have a name; names without an image are counted. */
static int match_names(ld_image_store *s, ld_error *err) {
  if (!s->names) return 0;
  bool *used = ld_alloc(s->n_names, sizeof *used);
  int rc = 0;
  for (size_t i = 0; !rc && i < (size_t)s->shape[0]; i++) {
    if ((size_t)s->labels[i] < s->n_names)
      used[s->labels[i]] = true;
    else
      rc = ld_fail(err, LD_EFORMAT,
                   "%s: the attribute 'names' of 'labels' has %zu names, but image %zu has label %lld: name "
                   "all classes, or remove the attribute",
                   s->path, s->n_names, i, (long long)s->labels[i]);
  }
  for (size_t i = 0; !rc && i < s->n_names; i++)
    if (!used[i]) ld_tally_add(&s->unused_names, s->names[i], 0);
  free(used);
  return rc;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Two classes of one name would become one. */
static int check_names(const ld_image_store *s, ld_error *err) {
  const size_t n = s->names ? s->n_names : 0;
  const char **sorted = ld_alloc(n, sizeof *sorted);
  int rc = 0;
  for (size_t i = 0; i < n; i++) sorted[i] = s->names[i];
  qsort(sorted, n, sizeof *sorted, by_name);
  for (size_t i = 1; i < n && !rc; i++)
    if (!strcmp(sorted[i - 1], sorted[i]))
      rc = ld_fail(
          err, LD_EFORMAT,
          "%s: the attribute 'names' of 'labels' holds \"%s\" twice: give each class a name of its own",
          s->path, sorted[i]);
  free(sorted);
  return rc;
}

static int open_labels(ld_image_store *s, ld_error *err) {
  const htri_t exists = H5Lexists(s->file, "labels", H5P_DEFAULT);
  if (exists == 0) return 0;
  const hid_t set = open_set(s, "labels", 0, err);
  if (set < 0) return LD_EFORMAT;
  const hid_t type = H5Dget_type(set);
  int rc = check_labels(s, set, type, err);
  if (!rc) rc = read_labels(s, set, err);
  if (!rc) rc = read_names(s, set, err);
  if (!rc) rc = check_names(s, err);
  if (!rc) rc = match_names(s, err);
  if (type >= 0) H5Tclose(type);
  H5Dclose(set);
  return rc;
}

static herr_t count_object(hid_t file, const char *name, const H5L_info_t *info, void *user) {
  (void)file;
  (void)info;
  if (strcmp(name, "images") != 0 && strcmp(name, "labels") != 0) ld_tally_add(user, name, 0);
  return 0;
}

/* Unused attributes of an object; `known` is the one that is used, if any. */
typedef struct attributes {
  const char *object, *known;
  ld_tally *unused;
} attributes;

static herr_t count_attribute(hid_t object, const char *name, const H5A_info_t *info, void *user) {
  (void)object;
  (void)info;
  const attributes *a = user;
  char *text = ld_format("attribute %.60s", name);
  if (strcmp(name, a->known) != 0) ld_tally_add(a->unused, text, 0);
  free(text);
  return 0;
}

/* Other objects of the file, and attributes of the file, its images and its labels. */
static void find_unused(ld_image_store *s) {
  ld_tally *unused = &s->unused_objects;
  const attributes all[] = {{".", "source", unused}, {"images", "", unused}, {"labels", "names", unused}};
  H5Literate(s->file, H5_INDEX_NAME, H5_ITER_INC, NULL, count_object, unused);
  for (int i = 0; i < (s->labels ? 3 : 2); i++)
    H5Aiterate_by_name(s->file, all[i].object, H5_INDEX_NAME, H5_ITER_INC, NULL, count_attribute,
                       (void *)&all[i], H5P_DEFAULT);
}

/* Some cluster file systems have no locks, and nobody writes to a data set. */
static int open_file(ld_image_store *s, ld_error *err) {
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  if (access >= 0 && H5Pset_file_locking(access, 0, 1) >= 0)
    s->file = H5Fopen(s->path, H5F_ACC_RDONLY, access);
  const int rc = s->file < 0 ? ld_hdf5_fail(err, LD_EFORMAT, s->path, "not an HDF5 file, or damaged") : 0;
  if (access >= 0) H5Pclose(access);
  return rc;
}

/* Seconds of CPU time: damaged metadata can send HDF5 into an endless loop. */
enum { MOST_SECONDS = 300, MOST_PROBE_BYTES = 1 << 28 };

/* Whatever its signals are set to, a checking process must die from a crash, and silently. */
static void be_calm(void) {
  static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) signal(signals[i], SIG_DFL);
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  setrlimit(RLIMIT_CPU, &(struct rlimit){MOST_SECONDS, MOST_SECONDS});
  const int nowhere = open("/dev/null", O_WRONLY);
  if (nowhere >= 0) dup2(nowhere, STDERR_FILENO);
}

/* Little more memory than the process has now: a file can make HDF5 allocate any amount. */
static void limit_memory(size_t length) {
  long data = 0;
  FILE *file = fopen("/proc/self/statm", "re"); /* its sixth number: pages of data */
  const bool known = file && fscanf(file, "%*d %*d %*d %*d %*d %ld", &data) == 1;
  if (file) fclose(file);
  const rlim_t most = (rlim_t)data * (rlim_t)sysconf(_SC_PAGESIZE) + MOST_PROBE_BYTES + 16 * (rlim_t)length;
  if (known) setrlimit(RLIMIT_DATA, &(struct rlimit){most, most});
}

/* Makes HDF5 read all of the file's metadata that it will ever read. Other errors than the returned one will
 * be found again by the reader. */
static bool look_through(ld_image_store *s, bool labelled) {
  ld_error why = {0};
  ld_hdf5_silence();
  if (open_file(s, &why) || open_images(s, &why) || (labelled && open_labels(s, &why))) return !s->unreadable;
  find_unused(s);
  if (s->how.chunk[0]) ld_hdf5_chunks_visit(s->images, s->ndim, s->how.chunk, s->shape);
  return true;
}

static ld_image_store *new_store(const char *path, size_t length) {
  ld_image_store *s = ld_alloc(1, sizeof *s);
  *s = (ld_image_store){.path = ld_strdup(path), .length = length, .file = -1, .images = -1, .space = -1};
  return s;
}

/* HDF5 crashes on some damaged metadata. So a child process reads it first; where none can be made, the file
 * is trusted. */
static int probe(const char *path, size_t length, bool labelled, ld_error *err) {
  int status = 0;
  const pid_t other = fork();
  if (other == 0) {
    be_calm();
    limit_memory(length);
    _exit(!look_through(new_store(path, length), labelled));
  }
  while (other > 0 && waitpid(other, &status, 0) < 0 && errno == EINTR) continue;
  if (!status) return 0;
  return ld_fail(
      err, LD_EFORMAT,
      "%s: damaged, or takes far more memory than its length: the HDF5 library fails on it; write it again",
      path);
}

int ld_image_store_open(const char *path, size_t length, bool labelled, ld_image_store **out, ld_error *err) {
  *out = NULL;
  int rc = probe(path, length, labelled, err);
  if (rc) return rc;
  ld_image_store *s = new_store(path, length);
  ld_hdf5_silence();
  rc = open_file(s, err);
  if (!rc) rc = open_images(s, err);
  if (!rc && labelled) rc = open_labels(s, err);
  if (!rc) find_unused(s);
  if (rc)
    ld_image_store_close(s);
  else
    *out = s;
  return rc;
}

void ld_image_store_close(ld_image_store *s) {
  if (!s) return;
  ld_hdf5_silence();
  if (s->space >= 0) H5Sclose(s->space);
  if (s->images >= 0) H5Dclose(s->images);
  if (s->file >= 0) H5Fclose(s->file);
  free(s->checked);
  free(s->labels);
  ld_names_free(s->names, s->n_names);
  ld_tally_free(&s->unused_objects);
  ld_tally_free(&s->unused_names);
  free(s->path);
  free(s);
}

const ld_tally *ld_image_store_unused(const ld_image_store *s, bool names) {
  return names ? &s->unused_names : &s->unused_objects;
}

int64_t ld_image_store_count(const ld_image_store *s) {
  return (int64_t)s->shape[0];
}

size_t ld_image_store_bytes(const ld_image_store *s) {
  return (size_t)image_bytes(s);
}

int32_t ld_image_store_label(const ld_image_store *s, int64_t index) {
  return s->labels ? (int32_t)s->labels[index] : -1;
}

const char *ld_image_store_name(const ld_image_store *s, int64_t index) {
  return s->names ? s->names[s->labels[index]] : NULL;
}

/* A copy of `space` with record `index` selected; *memory receives the space of one image. */
static hid_t select_image(hid_t space, int ndim, const hsize_t *shape, int64_t index, hid_t *memory) {
  const hsize_t from[4] = {(hsize_t)index}, count[4] = {1, shape[1], shape[2], shape[3]};
  const hid_t selected = H5Scopy(space);
  *memory = H5Screate_simple(ndim, count, NULL);
  if (selected >= 0 && H5Sselect_hyperslab(selected, H5S_SELECT_SET, from, NULL, count, NULL) >= 0)
    return selected;
  if (selected >= 0) H5Sclose(selected);
  return -1;
}

/* Whether the chunks of an image are whole; each row of chunks is checked once. */
static bool is_checked(const ld_image_store *s, int64_t index) {
  if (!s->how.filtered) return true;
  const hsize_t first[4] = {(hsize_t)index}, count[4] = {1, s->shape[1], s->shape[2], s->shape[3]};
  bool *checked = &s->checked[first[0] / s->how.chunk[0]];
  *checked = *checked || are_whole(s, s->images, &s->how, s->ndim, 1, first, count);
  return *checked;
}

int ld_image_store_read(const ld_image_store *s, int64_t index, ld_image *out, ld_error *err) {
  const size_t bytes = (size_t)image_bytes(s);
  if (bytes > out->room) {
    out->pixels = ld_realloc(out->pixels, bytes, 1);
    out->room = bytes;
  }
  out->height = (int)s->shape[1];
  out->width = (int)s->shape[2];
  out->channels = s->ndim == 4 ? (int)s->shape[3] : 1;
  ld_hdf5_silence();
  hid_t memory;
  const hid_t selected = select_image(s->space, s->ndim, s->shape, index, &memory);
  int rc = 0;
  if (selected < 0 || memory < 0 || !is_checked(s, index) ||
      H5Dread(s->images, H5T_NATIVE_UINT8, memory, selected, H5P_DEFAULT, out->pixels) < 0) {
    char *what = ld_format("image %lld cannot be read: it is damaged", (long long)index);
    rc = ld_hdf5_fail(err, LD_EFORMAT, s->path, what);
    free(what);
  }
  if (selected >= 0) H5Sclose(selected);
  if (memory >= 0) H5Sclose(memory);
  return rc;
}

struct ld_image_writer {
  char *path;
  hid_t file, images, space;
  int ndim;
  hsize_t shape[4];
  int64_t next;
  int32_t *labels; /* NULL: none */
  char *names;     /* n_names slots of `name_size` bytes */
  size_t n_names, name_size;
};

static int fail_write(const ld_image_writer *w, const char *what, ld_error *err) {
  return ld_hdf5_fail(err, LD_EFILE, w->path, what);
}

static bool put_text(hid_t at, const char *name, const char *texts, size_t size, const hsize_t *n) {
  const hid_t type = H5Tcopy(H5T_C_S1), space = n ? H5Screate_simple(1, n, NULL) : H5Screate(H5S_SCALAR);
  bool good = H5Tset_size(type, size) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0;
  const hid_t attribute = good ? H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT) : -1;
  good = attribute >= 0 && H5Awrite(attribute, type, texts) >= 0;
  if (attribute >= 0) good = H5Aclose(attribute) >= 0 && good;
  H5Sclose(space);
  H5Tclose(type);
  return good;
}

static hid_t make_set(const ld_image_writer *w, const char *name, hid_t type, hid_t space, int ndim,
                      const hsize_t *chunk) {
  const hid_t list = H5Pcreate(H5P_DATASET_CREATE);
  const bool good = H5Pset_obj_track_times(list, 0) >= 0 && H5Pset_chunk(list, ndim, chunk) >= 0 &&
                    H5Pset_shuffle(list) >= 0 && H5Pset_deflate(list, 6) >= 0;
  const hid_t set = good ? H5Dcreate2(w->file, name, type, space, H5P_DEFAULT, list, H5P_DEFAULT) : -1;
  H5Pclose(list);
  return set;
}

static hid_t make_file(const char *part) {
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE);
  hid_t file = -1;
  if (H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0 &&
      H5Pset_file_locking(access, 0, 1) >= 0 && H5Pset_obj_track_times(creation, 0) >= 0)
    file = H5Fcreate(part, H5F_ACC_TRUNC, creation, access);
  H5Pclose(creation);
  H5Pclose(access);
  return file;
}

/* Keeps names in slots of one size; longer ones are truncated. */
static void keep_names(ld_image_writer *w, const ld_image_shape *shape) {
  w->n_names = shape->n_names;
  w->name_size = 1;
  for (size_t i = 0; i < w->n_names; i++) {
    const size_t length = strnlen(shape->names[i], MOST_NAME);
    if (length + 1 > w->name_size) w->name_size = length + 1;
  }
  w->names = ld_alloc(w->n_names + 1, w->name_size);
  for (size_t i = 0; i < w->n_names; i++)
    memcpy(w->names + i * w->name_size, shape->names[i], strnlen(shape->names[i], w->name_size - 1));
}

static bool put_labels(ld_image_writer *w) {
  const hsize_t n = w->shape[0], chunk = n < 65536 ? n : 65536;
  const hid_t space = H5Screate_simple(1, &n, NULL);
  const hid_t set = make_set(w, "labels", H5T_STD_I32LE, space, 1, &chunk);
  bool good = set >= 0 && H5Dwrite(set, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, w->labels) >= 0;
  const hsize_t n_names = w->n_names;
  if (good && w->names && n_names) good = put_text(set, "names", w->names, w->name_size, &n_names);
  if (set >= 0) good = H5Dclose(set) >= 0 && good;
  H5Sclose(space);
  return good;
}

/* Finishes the file and frees the writer. Fails when images are missing, unless `code` is already an error.
 * Returns `code` or its own error. */
static int close_writer(ld_image_writer *w, int code, ld_error *err) {
  if (!code && w->next != (int64_t)w->shape[0])
    code = ld_fail(err, LD_EMISMATCH, "%s: %lld images are missing", w->path,
                   (long long)((int64_t)w->shape[0] - w->next));
  if (!code && w->labels && !put_labels(w)) code = fail_write(w, "the labels cannot be written", err);
  if (w->images >= 0 && H5Dclose(w->images) < 0 && !code)
    code = fail_write(w, "cannot write: is the disk full?", err);
  if (w->space >= 0) H5Sclose(w->space);
  if (w->file >= 0 && H5Fclose(w->file) < 0 && !code)
    code = fail_write(w, "cannot write: is the disk full?", err);
  free(w->labels);
  free(w->names);
  free(w->path);
  free(w);
  return code;
}

/* Begins the file `part`; errors name `path`. On failure *out is NULL. */
static int open_writer(const char *part, const char *path, const ld_image_shape *shape, ld_image_writer **out,
                       ld_error *err) {
  ld_image_writer *w = ld_alloc(1, sizeof *w);
  *out = NULL;
  *w = (ld_image_writer){
      .path = ld_strdup(path), .images = -1, .space = -1, .ndim = shape->channels == 1 ? 3 : 4};
  const hsize_t sizes[4] = {(hsize_t)shape->n, (hsize_t)shape->height, (hsize_t)shape->width,
                            (hsize_t)shape->channels};
  memcpy(w->shape, sizes, sizeof sizes);
  if (shape->labelled) w->labels = ld_alloc((size_t)shape->n, sizeof *w->labels);
  if (shape->names) keep_names(w, shape);
  ld_hdf5_silence();
  w->file = make_file(part);
  w->space = H5Screate_simple(w->ndim, w->shape, NULL);
  const hsize_t chunk[4] = {1, sizes[1], sizes[2], sizes[3]};
  if (w->file >= 0 && w->space >= 0)
    w->images = make_set(w, "images", H5T_STD_U8LE, w->space, w->ndim, chunk);
  if (w->images >= 0 && put_text(w->file, "source", shape->source, strlen(shape->source) + 1, NULL)) {
    *out = w;
    return 0;
  }
  return close_writer(w, fail_write(w, "the file cannot be begun", err), err);
}

int ld_image_writer_add(ld_image_writer *w, const uint8_t *pixels, int32_t label, ld_error *err) {
  if (w->next >= (int64_t)w->shape[0])
    return ld_fail(err, LD_EMISMATCH, "%s: more images than announced", w->path);
  hid_t memory;
  const hid_t selected = select_image(w->space, w->ndim, w->shape, w->next, &memory);
  int rc = 0;
  if (selected < 0 || memory < 0 ||
      H5Dwrite(w->images, H5T_NATIVE_UINT8, memory, selected, H5P_DEFAULT, pixels) < 0)
    rc = fail_write(w, "cannot write: is the disk full?", err);
  if (w->labels) w->labels[w->next] = label;
  w->next++;
  if (selected >= 0) H5Sclose(selected);
  if (memory >= 0) H5Sclose(memory);
  return rc;
}

int ld_image_store_write(const char *path, const ld_image_shape *shape,
                         int (*fill)(ld_image_writer *writer, const void *user, ld_error *err),
                         const void *user, ld_error *err) {
  char *part = ld_file_begin(path, err);
  if (!part) return LD_EFILE;
  ld_image_writer *writer;
  int rc = open_writer(part, path, shape, &writer, err);
  if (!rc) rc = close_writer(writer, fill(writer, user, err), err);
  return ld_file_end(part, path, rc, err);
}
