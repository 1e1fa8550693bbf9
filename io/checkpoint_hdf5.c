/* Every call of HDF5 is checked. The writer remembers the first failure and does nothing more after it, so
 * that its straight lines need no branches; handles are closed by whoever opened them. HDF5's own printing is
 * off, the reason that it gives goes into our text. */
#include "io/checkpoint_hdf5.h"

#include <hdf5.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "io/adapter_labels.h"
#include "io/hdf5_chunk.h"
#include "io/hdf5_error.h"
#include "io/json.h"

#define FORMAT "lora_dist checkpoint"

int ld_checkpoint_version(const ld_adapter *adapter) {
  for (size_t i = 0; i < adapter->n_modules; i++)
    if (adapter->modules[i].kernel[0]) return 2;
  return adapter->n_labels ? 2 : 1;
}

/* Chunks are whole rows up to about this size: one checksum each. */
enum { CHUNK_BYTES = 1 << 20 };

/* What HDF5 works on is in memory. It looks for a file of the name that it is given all the same, and there
 * must be none. */
#define NO_FILE "/dev/null/image"

typedef struct writer {
  const char *name;
  hid_t file, group_list, data_list;
  int code;
  ld_error *err;
} writer;

static void check(writer *w, bool good, const char *what) {
  if (!good && !w->code) w->code = ld_hdf5_fail(w->err, LD_ESYSTEM, w->name, what);
}

/* Takes over `space`. */
static void put_attribute_in(writer *w, hid_t at, const char *name, hid_t space, hid_t stored, hid_t held,
                             const void *value) {
  const hid_t attribute = H5Acreate2(at, name, stored, space, H5P_DEFAULT, H5P_DEFAULT);
  check(w, attribute >= 0 && H5Awrite(attribute, held, value) >= 0, name);
  if (attribute >= 0) check(w, H5Aclose(attribute) >= 0, name);
  H5Sclose(space);
}

static void put_attribute(writer *w, hid_t at, const char *name, hid_t stored, hid_t held,
                          const void *value) {
  if (!w->code) put_attribute_in(w, at, name, H5Screate(H5S_SCALAR), stored, held, value);
}

static void put_kernel(writer *w, hid_t at, const int kernel[2]) {
  if (w->code || !kernel[0]) return;
  const int64_t sizes[] = {kernel[0], kernel[1]};
  put_attribute_in(w, at, "kernel", H5Screate_simple(1, (hsize_t[]){2}, NULL), H5T_STD_I64LE,
                   H5T_NATIVE_INT64, sizes);
}

static void put_integer(writer *w, hid_t at, const char *name, int64_t value) {
  put_attribute(w, at, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

static void put_double(writer *w, hid_t at, const char *name, double value) {
  put_attribute(w, at, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

static void put_string(writer *w, hid_t at, const char *name, const char *value) {
  if (w->code || !value) return;
  const hid_t type = H5Tcopy(H5T_C_S1);
  check(w, H5Tset_size(type, strlen(value) + 1) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0, name);
  put_attribute(w, at, name, type, type, value);
  H5Tclose(type);
}

/* A group in whatever the writer holds; its children keep their order. */
static hid_t put_group(writer *w, hid_t at, const char *name) {
  if (w->code) return -1;
  const hid_t group = H5Gcreate2(at, name, H5P_DEFAULT, w->group_list, H5P_DEFAULT);
  check(w, group >= 0, name);
  return group;
}

static void close_group(writer *w, hid_t group) {
  if (group >= 0) check(w, H5Gclose(group) >= 0, "a group cannot be closed");
}

static void set_chunks(writer *w, hid_t list, int ndim, const hsize_t *shape) {
  hsize_t chunk[LD_MAX_DIMS], bytes = sizeof(float);
  for (int d = ndim - 1; d >= 0; d--) {
    const hsize_t room = bytes < CHUNK_BYTES ? CHUNK_BYTES / bytes : 1;
    chunk[d] = shape[d] < room ? shape[d] : room;
    bytes *= chunk[d];
  }
  check(w, H5Pset_chunk(list, ndim, chunk) >= 0 && H5Pset_fletcher32(list) >= 0, "chunks");
}

static void put_array(writer *w, hid_t at, const char *name, hid_t stored, hid_t held, int ndim,
                      const int64_t *sizes, const void *data) {
  if (w->code) return;
  hsize_t shape[LD_MAX_DIMS];
  for (int d = 0; d < ndim; d++) shape[d] = (hsize_t)sizes[d];
  const hid_t list = H5Pcopy(w->data_list);
  if (ndim > 0) set_chunks(w, list, ndim, shape);
  const hid_t space = ndim > 0 ? H5Screate_simple(ndim, shape, NULL) : H5Screate(H5S_SCALAR);
  const hid_t set = H5Dcreate2(at, name, stored, space, H5P_DEFAULT, list, H5P_DEFAULT);
  check(w, set >= 0 && H5Dwrite(set, held, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0, name);
  if (set >= 0) check(w, H5Dclose(set) >= 0, name);
  H5Sclose(space);
  H5Pclose(list);
}

static void put_floats(writer *w, hid_t at, const char *name, int ndim, const int64_t *shape,
                       const float *data) {
  put_array(w, at, name, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, ndim, shape, data);
}

static hid_t put_module(writer *w, hid_t at, const ld_adapter_module *m, const float *A, const float *B) {
  const hid_t group = put_group(w, at, m->path);
  put_floats(w, group, "A", 2, (int64_t[]){m->rank, m->in}, A);
  put_floats(w, group, "B", 2, (int64_t[]){m->out, m->rank}, B);
  return group;
}

static void put_lora(writer *w, const ld_adapter *a) {
  const hid_t lora = put_group(w, w->file, "lora");
  for (size_t i = 0; i < a->n_modules; i++) {
    const ld_adapter_module *m = &a->modules[i];
    const hid_t group = put_module(w, lora, m, m->A, m->B);
    put_integer(w, group, "rank", m->rank);
    put_double(w, group, "alpha", m->alpha);
    put_double(w, group, "scaling", m->scaling);
    put_kernel(w, group, m->kernel);
    close_group(w, group);
  }
  close_group(w, lora);
  const hid_t full = put_group(w, w->file, "full");
  for (size_t i = 0; i < a->n_full; i++)
    put_floats(w, full, a->full[i].path, a->full[i].ndim, a->full[i].shape, a->full[i].data);
  close_group(w, full);
}

static void put_moments(writer *w, hid_t at, const char *name, const ld_adapter *a, float *const *moments) {
  const hid_t group = put_group(w, at, name);
  for (size_t i = 0; i < a->n_modules; i++)
    close_group(w, put_module(w, group, &a->modules[i], moments[2 * i], moments[2 * i + 1]));
  for (size_t i = 0; i < a->n_full; i++)
    put_floats(w, group, a->full[i].path, a->full[i].ndim, a->full[i].shape, moments[2 * a->n_modules + i]);
  close_group(w, group);
}

static void put_trainer(writer *w, const ld_checkpoint *c) {
  const ld_progress *p = &c->progress;
  const hid_t optimizer = put_group(w, w->file, "optimizer");
  put_moments(w, optimizer, "m", c->adapter, c->m);
  put_moments(w, optimizer, "v", c->adapter, c->v);
  close_group(w, optimizer);
  const hid_t trainer = put_group(w, w->file, "trainer");
  put_integer(w, trainer, "step", p->step);
  put_integer(w, trainer, "epoch", p->epoch);
  put_integer(w, trainer, "position", p->position);
  put_attribute(w, trainer, "seed", H5T_STD_U64LE, H5T_NATIVE_UINT64, &p->seed);
  put_integer(w, trainer, "tokens", p->tokens);
  put_double(w, trainer, "best_loss", p->best_loss);
  put_integer(w, trainer, "best_step", p->best_step);
  if (p->n_exponents)
    put_array(w, trainer, "exponents", H5T_STD_I32LE, H5T_NATIVE_INT32, 1,
              (int64_t[]){(int64_t)p->n_exponents}, p->exponents);
  close_group(w, trainer);
}

static void put_labels(writer *w, const ld_adapter *a) {
  if (!a->n_labels) return;
  ld_text labels = {0};
  ld_adapter_labels_put_list(&labels, a);
  put_string(w, w->file, "labels", labels.bytes);
  ld_text_free(&labels);
}

static void put_root(writer *w, const ld_checkpoint *c, const char *digest) {
  const ld_adapter *a = c->adapter;
  put_string(w, w->file, "format", FORMAT);
  put_integer(w, w->file, "version", ld_checkpoint_version(a));
  put_string(w, w->file, "architecture", a->architecture);
  put_string(w, w->file, "base_name", a->base_name);
  put_string(w, w->file, "base_digest", a->base_digest);
  put_string(w, w->file, "config", c->config ? c->config : "{}");
  put_integer(w, w->file, "rank", a->rank);
  put_double(w, w->file, "alpha", a->alpha);
  put_double(w, w->file, "dropout", a->dropout);
  put_integer(w, w->file, "rslora", a->rslora);
  put_integer(w, w->file, "fan_in_fan_out", a->fan_in_fan_out);
  put_string(w, w->file, "task_type", a->task_type);
  put_labels(w, a);
  put_string(w, w->file, "digest", digest);
}

/* How far the memory of the image grows at a time: an eighth of what is to come, within bounds. */
static size_t growth(const ld_checkpoint *c) {
  size_t bytes = 0;
  for (size_t i = 0; i < c->adapter->n_modules; i++) {
    const ld_adapter_module *m = &c->adapter->modules[i];
    bytes += (size_t)m->rank * (size_t)(m->in + m->out) * sizeof(float) * 3;
  }
  return bytes / 8 < 1u << 16 ? 1u << 16 : bytes / 8;
}

/* Without times in the objects, equal contents are equal files. */
static void open_image(writer *w, const ld_checkpoint *c) {
  const unsigned order = H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED;
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE);
  w->group_list = H5Pcreate(H5P_GROUP_CREATE);
  w->data_list = H5Pcreate(H5P_DATASET_CREATE);
  check(w,
        H5Pset_link_creation_order(w->group_list, order) >= 0 &&
            H5Pset_obj_track_times(w->group_list, 0) >= 0 && H5Pset_obj_track_times(w->data_list, 0) >= 0,
        "the settings of the file");
  check(w,
        H5Pset_fapl_core(access, growth(c), 0) >= 0 &&
            H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0,
        "the settings of the file");
  check(w, H5Pset_userblock(creation, LD_USER_BLOCK) >= 0 && H5Pset_obj_track_times(creation, 0) >= 0,
        "the settings of the file");
  w->file = w->code ? -1 : H5Fcreate(NO_FILE, H5F_ACC_TRUNC, creation, access);
  check(w, w->file >= 0, "the file cannot be built");
  H5Pclose(creation);
  H5Pclose(access);
}

static int hand_over(writer *w, int (*take)(const char *, size_t, void *, ld_error *), void *user) {
  void *handle = NULL;
  ssize_t length = -1;
  check(w, H5Fflush(w->file, H5F_SCOPE_GLOBAL) >= 0, "the file cannot be finished");
  if (!w->code) length = H5Fget_file_image(w->file, NULL, 0);
  check(w, length > 0 && H5Fget_vfd_handle(w->file, H5P_DEFAULT, &handle) >= 0 && handle,
        "the file has no image");
  if (w->code) return w->code;
  /* The core driver's handle is where it keeps the address of its memory; the length does not count the user
   * block. */
  return take(*(char *const *)handle, (size_t)length + LD_USER_BLOCK, user, w->err);
}

int ld_hdf5_encode(const ld_checkpoint *checkpoint, const char *digest, const char *name,
                   int (*take)(const char *bytes, size_t length, void *user, ld_error *err), void *user,
                   ld_error *err) {
  writer w = {.name = name, .file = -1, .group_list = -1, .data_list = -1, .err = err};
  ld_hdf5_silence();
  open_image(&w, checkpoint);
  if (!w.code) {
    put_root(&w, checkpoint, digest);
    put_lora(&w, checkpoint->adapter);
    if (checkpoint->has_trainer) put_trainer(&w, checkpoint);
  }
  if (!w.code) w.code = hand_over(&w, take, user);
  if (w.file >= 0) H5Fclose(w.file);
  if (w.group_list >= 0) H5Pclose(w.group_list);
  if (w.data_list >= 0) H5Pclose(w.data_list);
  return w.code;
}

typedef struct reader {
  const char *name;
  size_t length; /* of the file: no array in it is larger */
  hid_t file;
  ld_checkpoint *checkpoint;
  char *digest;
  ld_error *err;
} reader;

static int damaged(reader *r, const char *what) {
  return ld_hdf5_fail(r->err, LD_EFORMAT, r->name, what);
}

static int bad_item(reader *r, const char *item, const char *what) {
  char *text = ld_format("'%s' %s", item, what);
  const int code = damaged(r, text);
  free(text);
  return code;
}

/* An attribute of n values stored as `stored`. */
static int get_attributes(reader *r, hid_t at, const char *name, int n, hid_t stored, hid_t held,
                          void *value) {
  const hid_t attribute = H5Aopen(at, name, H5P_DEFAULT);
  if (attribute < 0) return bad_item(r, name, "is missing");
  const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  int code = 0;
  if (H5Tequal(type, stored) <= 0 || H5Sget_simple_extent_npoints(space) != n)
    code = bad_item(r, name, "has another type than expected");
  else if (H5Aread(attribute, held, value) < 0)
    code = bad_item(r, name, "cannot be read");
  H5Sclose(space);
  H5Tclose(type);
  H5Aclose(attribute);
  return code;
}

/* A scalar attribute. */
static int get_attribute(reader *r, hid_t at, const char *name, hid_t stored, hid_t held, void *value) {
  return get_attributes(r, at, name, 1, stored, held, value);
}

static int get_integer(reader *r, hid_t at, const char *name, int64_t low, int64_t high, int64_t *value) {
  const int code = get_attribute(r, at, name, H5T_STD_I64LE, H5T_NATIVE_INT64, value);
  if (!code && (*value < low || *value > high)) return bad_item(r, name, "is out of range");
  return code;
}

static int get_int(reader *r, hid_t at, const char *name, int64_t low, int64_t high, int *value) {
  int64_t wide = 0;
  const int code = get_integer(r, at, name, low, high, &wide);
  *value = (int)wide;
  return code;
}

static int get_double(reader *r, hid_t at, const char *name, double *value) {
  return get_attribute(r, at, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, value);
}

static int read_string(reader *r, hid_t attribute, const char *name, char **value) {
  const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  const size_t size = type < 0 ? 0 : H5Tget_size(type);
  int code = 0;
  if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 || size == 0 || size > r->length ||
      H5Sget_simple_extent_npoints(space) != 1)
    code = bad_item(r, name, "is not text");
  else {
    *value = ld_alloc(size + 1, 1);
    if (H5Aread(attribute, type, *value) < 0) code = bad_item(r, name, "cannot be read");
  }
  if (space >= 0) H5Sclose(space);
  if (type >= 0) H5Tclose(type);
  return code;
}

static int get_string(reader *r, hid_t at, const char *name, bool needed, char **value) {
  const htri_t exists = H5Aexists(at, name);
  if (exists == 0 && !needed) return 0;
  const hid_t attribute = exists > 0 ? H5Aopen(at, name, H5P_DEFAULT) : -1;
  if (attribute < 0) return bad_item(r, name, "is missing");
  const int code = read_string(r, attribute, name, value);
  H5Aclose(attribute);
  return code;
}

/* A child of the expected kind, reached by a hard link: a soft or external one could lead out of the file. */
static hid_t open_child(reader *r, hid_t at, const char *name, H5I_type_t kind) {
  H5L_info_t link;
  if (H5Lexists(at, name, H5P_DEFAULT) <= 0 || H5Lget_info(at, name, &link, H5P_DEFAULT) < 0) {
    bad_item(r, name, "is missing");
    return -1;
  }
  const hid_t child = link.type == H5L_TYPE_HARD ? H5Oopen(at, name, H5P_DEFAULT) : -1;
  if (child >= 0 && H5Iget_type(child) == kind) return child;
  if (child >= 0) H5Oclose(child);
  bad_item(r, name, "is not of the expected kind");
  return -1;
}

/* HDF5 takes memory for a whole chunk, whatever is stored of it. */
static bool has_sound_chunks(const reader *r, hid_t set, hid_t list) {
  hsize_t chunk[LD_MAX_DIMS], shape[LD_MAX_DIMS], bytes = 4, whole = 4;
  const hsize_t first[LD_MAX_DIMS] = {0};
  const int ndim = H5Pget_chunk(list, LD_MAX_DIMS, chunk);
  const hid_t space = H5Dget_space(set);
  bool sound = ndim >= 1 && ndim <= LD_MAX_DIMS && H5Sget_simple_extent_ndims(space) == ndim &&
               H5Sget_simple_extent_dims(space, shape, NULL) == ndim;
  if (space >= 0) H5Sclose(space);
  for (int d = 0; sound && d < ndim; d++) {
    sound = chunk[d] >= 1 && chunk[d] <= r->length / bytes && shape[d] >= 1 && shape[d] <= r->length / whole;
    bytes *= chunk[d];
    whole *= shape[d];
  }
  return sound && ld_hdf5_chunks_whole(set, ndim, chunk, (size_t)bytes, first, shape, r->length);
}

/* Storage inside the file, and no filter but the checksum, which chunks have. */
static bool has_plain_storage(const reader *r, hid_t set) {
  const hid_t list = H5Dget_create_plist(set);
  if (list < 0) return false;
  const H5D_layout_t layout = H5Pget_layout(list);
  bool plain = H5Pget_external_count(list) == 0 &&
               (layout == H5D_CONTIGUOUS || layout == H5D_COMPACT || layout == H5D_CHUNKED);
  const int n = H5Pget_nfilters(list);
  for (int i = 0; i < n; i++) {
    unsigned flags, config;
    size_t values = 0;
    plain = plain && H5Pget_filter2(list, (unsigned)i, &flags, &values, NULL, 0, NULL, &config) ==
                         H5Z_FILTER_FLETCHER32;
  }
  plain = plain && n >= 0 && n <= 1 && H5Dget_storage_size(set) <= r->length;
  if (plain && layout == H5D_CHUNKED) plain = n == 1 && has_sound_chunks(r, set, list);
  H5Pclose(list);
  return plain;
}

/* The shape of a dataset of 4-byte elements, checked against the length of the file before anybody allocates.
 */
static int get_shape(reader *r, hid_t set, const char *name, hid_t stored, int *ndim, int64_t *shape) {
  hsize_t sizes[LD_MAX_DIMS];
  const hid_t space = H5Dget_space(set), type = H5Dget_type(set);
  int code = 0;
  int64_t count = 0;
  *ndim = H5Sget_simple_extent_ndims(space);
  if (H5Tequal(type, stored) <= 0 || !has_plain_storage(r, set))
    code = bad_item(r, name, "is stored in an unknown way");
  else if (*ndim < 0 || *ndim > LD_MAX_DIMS || H5Sget_simple_extent_type(space) == H5S_NULL)
    code = bad_item(r, name, "has an unusable shape");
  else if (H5Sget_simple_extent_dims(space, sizes, NULL) < 0)
    code = bad_item(r, name, "has no shape");
  for (int d = 0; !code && d < *ndim; d++) {
    if (sizes[d] > INT64_MAX) code = bad_item(r, name, "has an unusable shape");
    shape[d] = (int64_t)sizes[d];
  }
  if (!code && (!ld_shape_count(shape, *ndim, &count) || count < 1 || (uint64_t)count > r->length / 4))
    code = bad_item(r, name, "claims more than the file can hold");
  if (space >= 0) H5Sclose(space);
  if (type >= 0) H5Tclose(type);
  return code;
}

/* An array in fresh memory, with its shape. */
static int get_array(reader *r, hid_t at, const char *name, hid_t stored, hid_t held, int *ndim,
                     int64_t *shape, void **data) {
  const hid_t set = open_child(r, at, name, H5I_DATASET);
  if (set < 0) return LD_EFORMAT;
  int64_t count = 0;
  int code = get_shape(r, set, name, stored, ndim, shape);
  if (!code) {
    ld_shape_count(shape, *ndim, &count);
    *data = ld_alloc((size_t)count, 4);
    if (H5Dread(set, held, H5S_ALL, H5S_ALL, H5P_DEFAULT, *data) < 0)
      code = bad_item(r, name, "cannot be read: it is damaged");
  }
  H5Dclose(set);
  return code;
}

/* A float array that must have this shape. */
static int get_floats(reader *r, hid_t at, const char *name, int ndim, const int64_t *shape, float **data) {
  int found_ndim;
  int64_t found[LD_MAX_DIMS];
  void *values = NULL;
  int code = get_array(r, at, name, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, &found_ndim, found, &values);
  *data = values;
  if (!code && (found_ndim != ndim || memcmp(found, shape, (size_t)ndim * sizeof *shape) != 0))
    code = bad_item(r, name, "has another shape than the parameter it belongs to");
  return code;
}

/* Of a convolution; a linear module has none. */
static int get_kernel(reader *r, hid_t group, ld_adapter_module *m) {
  int64_t sizes[2] = {0, 0};
  const htri_t exists = H5Aexists(group, "kernel");
  if (exists == 0) return 0;
  const int code = get_attributes(r, group, "kernel", 2, H5T_STD_I64LE, H5T_NATIVE_INT64, sizes);
  if (code) return code;
  if (sizes[0] < 1 || sizes[0] > INT_MAX || sizes[1] < 1 || sizes[1] > INT_MAX)
    return bad_item(r, m->path, "has a kernel of an unusable size");
  m->kernel[0] = (int)sizes[0];
  m->kernel[1] = (int)sizes[1];
  if (ld_adapter_channels(m) < 1) return bad_item(r, m->path, "has an A that does not fit its kernel");
  return 0;
}

static int get_module(reader *r, hid_t group, ld_adapter_module *m) {
  int ndim;
  int64_t shape[LD_MAX_DIMS];
  void *data = NULL;
  int code = get_int(r, group, "rank", 1, INT_MAX, &m->rank);
  if (!code) code = get_double(r, group, "alpha", &m->alpha);
  if (!code) code = get_double(r, group, "scaling", &m->scaling);
  if (!code) code = get_array(r, group, "A", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, &ndim, shape, &data);
  m->A = data;
  if (!code && (ndim != 2 || shape[0] != m->rank))
    code = bad_item(r, m->path, "has an A that does not fit its rank");
  if (code) return code;
  m->in = shape[1];
  code = get_kernel(r, group, m);
  if (code) return code;
  data = NULL;
  code = get_array(r, group, "B", H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, &ndim, shape, &data);
  m->B = data;
  if (!code && (ndim != 2 || shape[1] != m->rank))
    code = bad_item(r, m->path, "has a B that does not fit its rank");
  if (!code) m->out = shape[0];
  return code;
}

/* The name of the i-th child in the order of writing; NULL when there is none or it cannot be a path. */
static char *child_name(reader *r, hid_t group, size_t i) {
  const ssize_t length =
      H5Lget_name_by_idx(group, ".", H5_INDEX_CRT_ORDER, H5_ITER_INC, (hsize_t)i, NULL, 0, H5P_DEFAULT);
  char *name = NULL;
  if (length > 0 && length <= 512) {
    name = ld_alloc((size_t)length + 1, 1);
    H5Lget_name_by_idx(group, ".", H5_INDEX_CRT_ORDER, H5_ITER_INC, (hsize_t)i, name, (size_t)length + 1,
                       H5P_DEFAULT);
  }
  if (name && ld_adapter_path_ok(name)) return name;
  free(name);
  damaged(r, "a group has a name that cannot be a module path");
  return NULL;
}

static int count_children(reader *r, hid_t group, size_t *n) {
  H5G_info_t info;
  *n = 0;
  if (H5Gget_info(group, &info) < 0 || info.nlinks > r->length) return damaged(r, "a group cannot be read");
  *n = (size_t)info.nlinks;
  return 0;
}

static int get_modules(reader *r, hid_t lora, ld_adapter *a) {
  size_t n, room = 0;
  int code = count_children(r, lora, &n);
  for (size_t i = 0; i < n && !code; i++) {
    a->modules = ld_grow(a->modules, a->n_modules, &room, sizeof *a->modules);
    ld_adapter_module *m = &a->modules[a->n_modules++];
    memset(m, 0, sizeof *m);
    m->path = child_name(r, lora, i);
    const hid_t group = m->path ? open_child(r, lora, m->path, H5I_GROUP) : -1;
    code = group < 0 ? LD_EFORMAT : get_module(r, group, m);
    if (group >= 0) H5Gclose(group);
  }
  return code;
}

static int get_full(reader *r, hid_t full, ld_adapter *a) {
  size_t n, room = 0;
  int code = count_children(r, full, &n);
  for (size_t i = 0; i < n && !code; i++) {
    a->full = ld_grow(a->full, a->n_full, &room, sizeof *a->full);
    ld_adapter_full *f = &a->full[a->n_full++];
    memset(f, 0, sizeof *f);
    f->path = child_name(r, full, i);
    void *data = NULL;
    code = f->path ? get_array(r, full, f->path, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, &f->ndim, f->shape, &data)
                   : LD_EFORMAT;
    f->data = data;
  }
  return code;
}

static int get_module_moments(reader *r, hid_t at, const ld_adapter_module *m, float **moments) {
  const hid_t group = open_child(r, at, m->path, H5I_GROUP);
  if (group < 0) return LD_EFORMAT;
  int code = get_floats(r, group, "A", 2, (int64_t[]){m->rank, m->in}, &moments[0]);
  if (!code) code = get_floats(r, group, "B", 2, (int64_t[]){m->out, m->rank}, &moments[1]);
  H5Gclose(group);
  return code;
}

static int get_moments(reader *r, hid_t optimizer, const char *name, const ld_adapter *a, float ***moments) {
  *moments = ld_alloc(2 * a->n_modules + a->n_full, sizeof **moments);
  const hid_t group = open_child(r, optimizer, name, H5I_GROUP);
  if (group < 0) return LD_EFORMAT;
  int code = 0;
  for (size_t i = 0; i < a->n_modules && !code; i++)
    code = get_module_moments(r, group, &a->modules[i], *moments + 2 * i);
  for (size_t i = 0; i < a->n_full && !code; i++)
    code = get_floats(r, group, a->full[i].path, a->full[i].ndim, a->full[i].shape,
                      *moments + 2 * a->n_modules + i);
  H5Gclose(group);
  return code;
}

static int get_exponents(reader *r, hid_t trainer, ld_progress *p) {
  int ndim;
  int64_t shape[LD_MAX_DIMS];
  void *data = NULL;
  const htri_t exists = H5Lexists(trainer, "exponents", H5P_DEFAULT);
  if (exists == 0) return 0;
  int code = get_array(r, trainer, "exponents", H5T_STD_I32LE, H5T_NATIVE_INT32, &ndim, shape, &data);
  p->exponents = data;
  if (!code && ndim != 1) code = bad_item(r, "exponents", "has an unusable shape");
  if (!code) p->n_exponents = (size_t)shape[0];
  return code;
}

static int get_progress(reader *r, hid_t trainer, ld_progress *p) {
  int code = get_integer(r, trainer, "step", 0, INT64_MAX, &p->step);
  if (!code) code = get_integer(r, trainer, "epoch", 0, INT64_MAX, &p->epoch);
  if (!code) code = get_integer(r, trainer, "position", 0, INT64_MAX, &p->position);
  if (!code) code = get_attribute(r, trainer, "seed", H5T_STD_U64LE, H5T_NATIVE_UINT64, &p->seed);
  if (!code) code = get_integer(r, trainer, "tokens", 0, INT64_MAX, &p->tokens);
  if (!code) code = get_double(r, trainer, "best_loss", &p->best_loss);
  if (!code) code = get_integer(r, trainer, "best_step", INT64_MIN, INT64_MAX, &p->best_step);
  return code ? code : get_exponents(r, trainer, p);
}

static int get_trainer(reader *r, ld_checkpoint *c) {
  const htri_t exists = H5Lexists(r->file, "trainer", H5P_DEFAULT);
  if (exists == 0) return 0;
  c->has_trainer = true;
  const hid_t trainer = open_child(r, r->file, "trainer", H5I_GROUP);
  if (trainer < 0) return LD_EFORMAT;
  int code = get_progress(r, trainer, &c->progress);
  H5Gclose(trainer);
  if (code) return code;
  const hid_t optimizer = open_child(r, r->file, "optimizer", H5I_GROUP);
  if (optimizer < 0) return LD_EFORMAT;
  code = get_moments(r, optimizer, "m", c->adapter, &c->m);
  if (!code) code = get_moments(r, optimizer, "v", c->adapter, &c->v);
  H5Gclose(optimizer);
  return code;
}

static int get_labels(reader *r, ld_adapter *a) {
  char *text = NULL;
  int code = get_string(r, r->file, "labels", false, &text);
  if (code || !text) {
    free(text);
    return code;
  }
  ld_value *tree = ld_json_parse(text, strlen(text), r->name, r->err);
  code = tree ? ld_adapter_labels_read(tree, r->name, a, r->err) : LD_EFORMAT;
  ld_value_free(tree);
  free(text);
  return code;
}

static int get_root(reader *r, ld_checkpoint *c) {
  ld_adapter *a = c->adapter;
  int rslora = 0, fan_in_fan_out = 0;
  int code = get_string(r, r->file, "architecture", false, &a->architecture);
  if (!code) code = get_string(r, r->file, "base_name", false, &a->base_name);
  if (!code) code = get_string(r, r->file, "base_digest", false, &a->base_digest);
  if (!code) code = get_string(r, r->file, "task_type", false, &a->task_type);
  if (!code) code = get_string(r, r->file, "config", true, &c->config);
  if (!code) code = get_string(r, r->file, "digest", true, &r->digest);
  if (!code) code = get_int(r, r->file, "rank", 0, INT_MAX, &a->rank);
  if (!code) code = get_double(r, r->file, "alpha", &a->alpha);
  if (!code) code = get_double(r, r->file, "dropout", &a->dropout);
  if (!code) code = get_int(r, r->file, "rslora", 0, 1, &rslora);
  if (!code) code = get_int(r, r->file, "fan_in_fan_out", 0, 1, &fan_in_fan_out);
  if (!code) code = get_labels(r, a);
  a->rslora = rslora;
  a->fan_in_fan_out = fan_in_fan_out;
  return code;
}

static int check_format(reader *r) {
  char *format = NULL;
  int64_t version = 0;
  int code = get_string(r, r->file, "format", true, &format);
  if (!code && strcmp(format, FORMAT) != 0) code = bad_item(r, "format", "is another");
  free(format);
  if (!code) code = get_integer(r, r->file, "version", 1, INT64_MAX, &version);
  if (!code && version > LD_CHECKPOINT_VERSION)
    code =
        ld_fail(r->err, LD_EUNSUPPORTED, "%s: version %lld is newer than this program, which reads up to %d",
                r->name, (long long)version, (int)LD_CHECKPOINT_VERSION);
  return code;
}

static int get_group(reader *r, const char *name, int (*get)(reader *, hid_t, ld_adapter *)) {
  const hid_t group = open_child(r, r->file, name, H5I_GROUP);
  if (group < 0) return LD_EFORMAT;
  const int code = get(r, group, r->checkpoint->adapter);
  H5Gclose(group);
  return code;
}

static int get_all(reader *r) {
  int code = check_format(r);
  if (!code) code = get_root(r, r->checkpoint);
  if (!code) code = get_group(r, "lora", get_modules);
  if (!code) code = get_group(r, "full", get_full);
  if (!code) code = get_trainer(r, r->checkpoint);
  return code;
}

/* HDF5 is given the bytes that were checked, never a file that may become another meanwhile. (The reason of a
 * failure must be taken before the next call, which clears it.) */
static int open_file(reader *r, const void *bytes) {
  enum { INCREMENT = 1 << 16 }; /* of an image that grows; this one does not */
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  int code = 0;
  r->file = -1;
  if (access >= 0 && H5Pset_fapl_core(access, INCREMENT, 0) >= 0 &&
      H5Pset_file_image(access, (void *)(uintptr_t)bytes, r->length) >= 0)
    r->file = H5Fopen(NO_FILE, H5F_ACC_RDONLY, access);
  if (r->file < 0) code = damaged(r, "not an HDF5 file, or damaged");
  if (access >= 0) H5Pclose(access);
  return code;
}

int ld_hdf5_decode(const void *bytes, size_t length, const char *name, ld_checkpoint **out, char **digest,
                   ld_error *err) {
  ld_hdf5_silence();
  reader r = {.name = name, .length = length, .err = err};
  *out = NULL;
  int code = open_file(&r, bytes);
  if (code) return code;
  r.checkpoint = ld_alloc(1, sizeof *r.checkpoint);
  r.checkpoint->adapter = ld_alloc(1, sizeof *r.checkpoint->adapter);
  code = get_all(&r);
  H5Fclose(r.file);
  if (code) {
    free(r.digest);
    ld_checkpoint_free(r.checkpoint);
    return code;
  }
  *digest = r.digest;
  *out = r.checkpoint;
  return 0;
}
