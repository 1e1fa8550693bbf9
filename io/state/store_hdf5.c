/* The store's file. Every call of HDF5 is checked. The writer remembers the first failure and does nothing
 * more after it, so its straight code needs no branches; whoever opened a handle closes it. HDF5's own
 * printing is off; the reason that it gives goes into our error. */
#include "io/state/store_hdf5.h"

#include <assert.h>
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/hdf5_chunk.h"
#include "io/hdf5_error.h"

/* Chunks are whole rows up to about this size, with one checksum each. */
enum { CHUNK_BYTES = 1 << 20, MOST_NAME = 512, MOST_DEPTH = 8 };

/* HDF5 works in memory here. It still looks for a file of the name that it is given, and there must be none. */
#define NO_FILE "/dev/null/image"

typedef struct store_writer {
  const ld_store *store;
  const char *name;
  hid_t file, group_list, data_list;
  int code;
  ld_error *err;
} store_writer;

static void check(store_writer *w, bool good, const char *what) {
  if (!good && !w->code) w->code = ld_hdf5_fail(w->err, LD_ESYSTEM, w->name, what);
}

/* "/" for the root. */
static char *full_path(const char *group) {
  return ld_format("/%s", group);
}

static void put_group(store_writer *w, const char *group) {
  char *path = full_path(group);
  const hid_t made = w->code ? -1 : H5Gcreate2(w->file, path, H5P_DEFAULT, w->group_list, H5P_DEFAULT);
  check(w, made >= 0 && H5Gclose(made) >= 0, path);
  free(path);
}

/* Takes ownership of `stored` and `space`. */
static void put_value(store_writer *w, const ld_attribute *a, hid_t stored, hid_t held, hid_t space,
                      const void *value) {
  char *path = full_path(a->group);
  const hid_t at = H5Gopen2(w->file, path, H5P_DEFAULT);
  const hid_t attribute = H5Acreate2(at, a->name, stored, space, H5P_DEFAULT, H5P_DEFAULT);
  check(w, attribute >= 0 && H5Awrite(attribute, held < 0 ? stored : held, value) >= 0, a->name);
  if (attribute >= 0) check(w, H5Aclose(attribute) >= 0, a->name);
  if (at >= 0) check(w, H5Gclose(at) >= 0, path);
  H5Sclose(space);
  H5Tclose(stored);
  free(path);
}

static hid_t text_type(size_t length) {
  const hid_t type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, length + 1);
  H5Tset_cset(type, H5T_CSET_UTF8);
  return type;
}

static void put_attribute(store_writer *w, const ld_attribute *a) {
  const hid_t space =
      a->n == 1 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, (hsize_t[]){(hsize_t)a->n}, NULL);
  switch (a->type) {
  case LD_ATTRIBUTE_INTEGER:
    put_value(w, a, H5Tcopy(H5T_STD_I64LE), H5T_NATIVE_INT64, space, a->integers);
    break;
  case LD_ATTRIBUTE_REAL:
    put_value(w, a, H5Tcopy(H5T_IEEE_F64LE), H5T_NATIVE_DOUBLE, space, &a->real);
    break;
  default:
    put_value(w, a, text_type(strlen(a->text)), -1, space, a->text);
  }
}

static void set_chunks(store_writer *w, hid_t list, const ld_stored *tensor, const hsize_t *shape) {
  hsize_t chunk[LD_MAX_DIMS], bytes = ld_dtype_size(tensor->dtype);
  for (int d = tensor->ndim - 1; d >= 0; d--) {
    assert(shape[d] > 0);
    const hsize_t room = bytes < CHUNK_BYTES ? CHUNK_BYTES / bytes : 1;
    chunk[d] = shape[d] < room ? shape[d] : room;
    bytes *= chunk[d];
  }
  check(w, H5Pset_chunk(list, tensor->ndim, chunk) >= 0 && H5Pset_fletcher32(list) >= 0, "chunks");
}

static void put_tensor(store_writer *w, const ld_store_tensor *t) {
  const ld_stored *tensor = &t->tensor;
  const bool real = tensor->dtype == LD_F32;
  char *path = full_path(t->group);
  hsize_t shape[LD_MAX_DIMS];
  assert(tensor->ndim >= 0 && tensor->ndim <= LD_MAX_DIMS);
  for (int d = 0; d < tensor->ndim; d++) shape[d] = (hsize_t)tensor->shape[d];
  const hid_t at = H5Gopen2(w->file, path, H5P_DEFAULT), list = H5Pcopy(w->data_list);
  if (tensor->ndim) set_chunks(w, list, tensor, shape);
  const hid_t space = tensor->ndim ? H5Screate_simple(tensor->ndim, shape, NULL) : H5Screate(H5S_SCALAR);
  const hid_t set =
      H5Dcreate2(at, t->name, real ? H5T_IEEE_F32LE : H5T_STD_I32LE, space, H5P_DEFAULT, list, H5P_DEFAULT);
  check(w,
        set >= 0 && H5Dwrite(set, real ? H5T_NATIVE_FLOAT : H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                             tensor->data) >= 0,
        t->name);
  if (set >= 0) check(w, H5Dclose(set) >= 0, t->name);
  if (at >= 0) check(w, H5Gclose(at) >= 0, path);
  H5Sclose(space);
  H5Pclose(list);
  free(path);
}

/* How far the memory of the image grows at a time: an eighth of the expected size, within bounds. */
static size_t growth(const ld_store *store) {
  size_t bytes = 0;
  for (size_t i = 0; i < store->n_tensors; i++)
    bytes += (size_t)ld_stored_count(&store->tensors[i].tensor) * sizeof(float);
  return bytes / 8 < 1u << 16 ? 1u << 16 : bytes / 8;
}

/* Without times in the objects, equal contents give equal files. */
static void open_image(store_writer *w, size_t user_block) {
  const unsigned order = H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED;
  const hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE);
  w->group_list = H5Pcreate(H5P_GROUP_CREATE);
  w->data_list = H5Pcreate(H5P_DATASET_CREATE);
  check(w,
        H5Pset_link_creation_order(w->group_list, order) >= 0 &&
            H5Pset_link_creation_order(creation, order) >= 0 &&
            H5Pset_obj_track_times(w->group_list, 0) >= 0 && H5Pset_obj_track_times(w->data_list, 0) >= 0,
        "the settings of the file");
  check(w,
        H5Pset_fapl_core(access, growth(w->store), 0) >= 0 &&
            H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0,
        "the settings of the file");
  check(w, H5Pset_userblock(creation, user_block) >= 0 && H5Pset_obj_track_times(creation, 0) >= 0,
        "the settings of the file");
  w->file = w->code ? -1 : H5Fcreate(NO_FILE, H5F_ACC_TRUNC, creation, access);
  check(w, w->file >= 0, "the file cannot be built");
  H5Pclose(creation);
  H5Pclose(access);
}

static int hand_over(store_writer *w, size_t user_block,
                     int (*take)(const char *, size_t, void *, ld_error *), void *user) {
  void *handle = NULL;
  ssize_t length = -1;
  check(w, H5Fflush(w->file, H5F_SCOPE_GLOBAL) >= 0, "the file cannot be finished");
  if (!w->code) length = H5Fget_file_image(w->file, NULL, 0);
  check(w, length > 0 && H5Fget_vfd_handle(w->file, H5P_DEFAULT, &handle) >= 0 && handle,
        "the file has no image");
  if (w->code) return w->code;
  /* The core driver's handle holds the address of its memory; the length does not include the user block. */
  return take(*(char *const *)handle, (size_t)length + user_block, user, w->err);
}

int ld_store_encode(const ld_store *store, size_t user_block, const char *name,
                    int (*take)(const char *bytes, size_t length, void *user, ld_error *err), void *user,
                    ld_error *err) {
  store_writer w = {.store = store, .name = name, .file = -1, .group_list = -1, .data_list = -1, .err = err};
  ld_hdf5_silence();
  open_image(&w, user_block);
  for (size_t i = 0; i < store->n_groups && !w.code; i++)
    if (*store->groups[i]) put_group(&w, store->groups[i]);
  for (size_t i = 0; i < store->n_attributes && !w.code; i++) put_attribute(&w, &store->attributes[i]);
  for (size_t i = 0; i < store->n_tensors && !w.code; i++) put_tensor(&w, &store->tensors[i]);
  if (!w.code) w.code = hand_over(&w, user_block, take, user);
  if (w.file >= 0) H5Fclose(w.file);
  if (w.group_list >= 0) H5Pclose(w.group_list);
  if (w.data_list >= 0) H5Pclose(w.data_list);
  return w.code;
}

typedef struct store_reader {
  const char *name;
  size_t length; /* of the file: no array in it is larger */
  hid_t file;
  ld_store *store;
  ld_error *err;
} store_reader;

static int damaged(store_reader *r, const char *what) {
  return ld_hdf5_fail(r->err, LD_EFORMAT, r->name, what);
}

static int bad_item(store_reader *r, const char *item, const char *what) {
  char *text = ld_format("'%s' %s", item, what);
  const int code = damaged(r, text);
  free(text);
  return code;
}

static int get_text(store_reader *r, hid_t attribute, hid_t type, const char *group, const char *name) {
  const size_t size = H5Tget_size(type);
  if (H5Tis_variable_str(type) != 0 || size == 0 || size > r->length) return bad_item(r, name, "is not text");
  char *text = ld_alloc(size + 1, 1);
  const bool good = H5Aread(attribute, type, text) >= 0;
  if (good) ld_store_put_text(r->store, group, name, text);
  free(text);
  return good ? 0 : bad_item(r, name, "cannot be read");
}

/* One of the three types, with as many values as the type may have. */
static int get_value(store_reader *r, hid_t attribute, const char *group, const char *name) {
  const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
  const hssize_t n = H5Sget_simple_extent_npoints(space);
  int64_t integers[LD_MAX_DIMS];
  double real;
  int code = 0;
  if (n < 1 || n > LD_MAX_DIMS)
    code = bad_item(r, name, "has an unusable shape");
  else if (n == 1 && H5Tget_class(type) == H5T_STRING)
    code = get_text(r, attribute, type, group, name);
  else if ((H5Tequal(type, H5T_STD_I64LE) > 0 && H5Aread(attribute, H5T_NATIVE_INT64, integers) >= 0) ||
           (H5Tequal(type, H5T_STD_U64LE) > 0 && H5Aread(attribute, H5T_NATIVE_UINT64, integers) >= 0))
    ld_store_put_integers(r->store, group, name, integers, (int)n);
  else if (n == 1 && H5Tequal(type, H5T_IEEE_F64LE) > 0 && H5Aread(attribute, H5T_NATIVE_DOUBLE, &real) >= 0)
    ld_store_put_real(r->store, group, name, real);
  else
    code = bad_item(r, name, "has another type than expected");
  if (space >= 0) H5Sclose(space);
  if (type >= 0) H5Tclose(type);
  return code;
}

/* An attribute of an object, by H5Aiterate2. */
typedef struct place {
  store_reader *r;
  const char *group;
  int code;
} place;

static herr_t take_attribute(hid_t object, const char *name, const H5A_info_t *info, void *user) {
  place *p = user;
  (void)info;
  const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  p->code =
      attribute < 0 ? bad_item(p->r, name, "cannot be opened") : get_value(p->r, attribute, p->group, name);
  if (attribute >= 0) H5Aclose(attribute);
  return p->code ? -1 : 0;
}

static int get_attributes(store_reader *r, hid_t object, const char *group) {
  place p = {r, group, 0};
  const herr_t good = H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, take_attribute, &p);
  return p.code ? p.code : good < 0 ? bad_item(r, group, "has attributes that cannot be read") : 0;
}

/* HDF5 allocates whole chunks, however little is stored in them. */
static bool has_sound_chunks(const store_reader *r, hid_t set, hid_t list) {
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

/* Storage inside the file, and no filter but the checksum, which chunked sets have. */
static bool has_plain_storage(const store_reader *r, hid_t set) {
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

/* The shape of a dataset of 4-byte elements, checked against the length of the file before anything is
 * allocated. */
static int get_shape(store_reader *r, hid_t set, const char *name, hid_t stored, int *ndim, int64_t *shape) {
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

/* F32 or I32, into memory of the store. */
static int get_tensor(store_reader *r, hid_t set, const char *group, const char *name) {
  const hid_t type = H5Dget_type(set);
  const bool integers = H5Tequal(type, H5T_STD_I32LE) > 0;
  ld_stored tensor = {.dtype = integers ? LD_I32 : LD_F32};
  int64_t count = 0;
  if (type >= 0) H5Tclose(type);
  int code = get_shape(r, set, name, integers ? H5T_STD_I32LE : H5T_IEEE_F32LE, &tensor.ndim, tensor.shape);
  if (code) return code;
  ld_shape_count(tensor.shape, tensor.ndim, &count);
  void *data = ld_alloc((size_t)count, ld_dtype_size(tensor.dtype));
  tensor.data = data;
  ld_store_put_tensor(r->store, group, name, &tensor);
  r->store->tensors[r->store->n_tensors - 1].owned = data;
  if (H5Dread(set, integers ? H5T_NATIVE_INT32 : H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
    return bad_item(r, name, "cannot be read: it is damaged");
  return 0;
}

static int get_group(store_reader *r, hid_t group, const char *path, int depth);

/* A child, reached by a hard link: a soft or external link could lead out of the file. */
static int get_child(store_reader *r, hid_t group, const char *path, const char *name, int depth) {
  H5L_info_t link;
  if (H5Lget_info(group, name, &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD)
    return bad_item(r, name, "is not of the expected kind");
  const hid_t child = H5Oopen(group, name, H5P_DEFAULT);
  if (child < 0) return bad_item(r, name, "cannot be opened");
  char *below = *path ? ld_format("%s/%s", path, name) : ld_strdup(name);
  int code;
  if (H5Iget_type(child) == H5I_DATASET)
    code = get_tensor(r, child, path, name);
  else if (H5Iget_type(child) == H5I_GROUP && depth < MOST_DEPTH)
    code = get_group(r, child, below, depth + 1);
  else
    code = bad_item(r, name, "is not of the expected kind");
  free(below);
  H5Oclose(child);
  return code;
}

/* The name of the i-th child, in the order of writing if the group records it; NULL when it has no name. */
static char *child_name(hid_t group, H5_index_t order, size_t i) {
  const ssize_t length = H5Lget_name_by_idx(group, ".", order, H5_ITER_INC, (hsize_t)i, NULL, 0, H5P_DEFAULT);
  if (length < 1 || length > MOST_NAME) return NULL;
  char *name = ld_alloc((size_t)length + 1, 1);
  H5Lget_name_by_idx(group, ".", order, H5_ITER_INC, (hsize_t)i, name, (size_t)length + 1, H5P_DEFAULT);
  return name;
}

static H5_index_t order_of(hid_t group) {
  unsigned flags = 0;
  const hid_t list = H5Gget_create_plist(group);
  const bool tracked =
      list >= 0 && H5Pget_link_creation_order(list, &flags) >= 0 && flags & H5P_CRT_ORDER_INDEXED;
  if (list >= 0) H5Pclose(list);
  return tracked ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME;
}

static int get_group(store_reader *r, hid_t group, const char *path, int depth) {
  H5G_info_t info;
  if (*path) ld_store_put_group(r->store, path);
  int code = get_attributes(r, group, path);
  if (code) return code;
  if (H5Gget_info(group, &info) < 0 || info.nlinks > r->length) return damaged(r, "a group cannot be read");
  const H5_index_t order = order_of(group);
  for (size_t i = 0; i < (size_t)info.nlinks && !code; i++) {
    char *name = child_name(group, order, i);
    code = name ? get_child(r, group, path, name, depth)
                : damaged(r, "a group has a name of an unusable length");
    free(name);
  }
  return code;
}

/* HDF5 gets the bytes that were checked, never a file that may change meanwhile. (The reason of a failure
 * must be taken before the next call, which clears it.) */
static int open_file(store_reader *r, const void *bytes) {
  enum { INCREMENT = 1 << 16 }; /* of a growing image; this one does not grow */
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

int ld_store_decode(const void *bytes, size_t length, const char *name, ld_store *store, ld_error *err) {
  ld_hdf5_silence();
  store_reader r = {.name = name, .length = length, .store = store, .err = err};
  int code = open_file(&r, bytes);
  if (code) return code;
  const hid_t root = H5Gopen2(r.file, "/", H5P_DEFAULT);
  code = root < 0 ? damaged(&r, "the file has no root") : get_group(&r, root, "", 0);
  if (root >= 0) H5Gclose(root);
  H5Fclose(r.file);
  return code;
}
