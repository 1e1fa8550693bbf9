#include "io/hub/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/value.h"
#include "io/file.h"
#include "io/json.h"

/* The limit of the safetensors library. */
#define MAX_HEADER 100000000u

typedef struct tensor_entry {
  const char *name; /* belongs to the header's tree */
  uint64_t begin, end;
  ld_stored tensor;
  void *copy; /* for misaligned data; NULL otherwise */
} tensor_entry;

struct ld_safetensors {
  ld_map map; /* empty when the bytes are the caller's */
  ld_value *header;
  const ld_value *metadata;
  tensor_entry *entries; /* sorted by name */
  size_t n;
};

static int bad_tensor(const char *file, const char *tensor, ld_error *err, const char *what) {
  return ld_fail(err, LD_EFORMAT, "%s: tensor '%s': %s", file, tensor, what);
}

static int read_dtype(const ld_value *item, const char *file, tensor_entry *e, ld_error *err) {
  const ld_value *dtype = ld_value_get(item, "dtype");
  if (!dtype || dtype->type != LD_STRING) return bad_tensor(file, e->name, err, "its dtype is missing");
  if (ld_dtype_parse(dtype->string, &e->tensor.dtype)) return 0;
  return ld_fail(err, LD_EUNSUPPORTED,
                 "%s: tensor '%s': dtype '%s' is not supported; convert it to F32, F16 or BF16", file,
                 e->name, dtype->string);
}

static int read_shape(const ld_value *item, const char *file, tensor_entry *e, ld_error *err) {
  const ld_value *shape = ld_value_get(item, "shape");
  if (!shape || shape->type != LD_LIST) return bad_tensor(file, e->name, err, "its shape is missing");
  if (shape->n_items > LD_MAX_DIMS)
    return bad_tensor(file, e->name, err, "its shape has more than 8 dimensions");
  e->tensor.ndim = (int)shape->n_items;
  for (int i = 0; i < e->tensor.ndim; i++) {
    if (shape->items[i].type != LD_INTEGER || shape->items[i].integer < 0)
      return bad_tensor(file, e->name, err, "its shape holds something else than sizes");
    e->tensor.shape[i] = shape->items[i].integer;
  }
  return 0;
}

static int read_offsets(const ld_value *item, const char *file, uint64_t data_length, tensor_entry *e,
                        ld_error *err) {
  const ld_value *offsets = ld_value_get(item, "data_offsets");
  if (!offsets || offsets->type != LD_LIST || offsets->n_items != 2 || offsets->items[0].type != LD_INTEGER ||
      offsets->items[1].type != LD_INTEGER || offsets->items[0].integer < 0)
    return bad_tensor(file, e->name, err, "its data_offsets are not two positions");
  e->begin = (uint64_t)offsets->items[0].integer;
  e->end = (uint64_t)offsets->items[1].integer;
  if (offsets->items[1].integer < offsets->items[0].integer)
    return bad_tensor(file, e->name, err, "its data ends before it begins");
  if (e->end > data_length)
    return ld_fail(err, LD_EFORMAT,
                   "%s: tensor '%s': its data ends %" PRIu64 " bytes beyond the end of the file (cut short?)",
                   file, e->name, e->end - data_length);
  int64_t count, bytes;
  if (!ld_shape_count(e->tensor.shape, e->tensor.ndim, &count) ||
      __builtin_mul_overflow(count, (int64_t)ld_dtype_size(e->tensor.dtype), &bytes))
    return bad_tensor(file, e->name, err, "its shape is too large");
  if ((uint64_t)bytes != e->end - e->begin)
    return ld_fail(err, LD_EFORMAT,
                   "%s: tensor '%s': its shape needs %" PRId64 " bytes, its data_offsets span %" PRIu64, file,
                   e->name, bytes, e->end - e->begin);
  return 0;
}

static int by_offset(const void *a, const void *b) {
  const tensor_entry *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return x->end < y->end ? -1 : x->end > y->end;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const tensor_entry *)a)->name, ((const tensor_entry *)b)->name);
}

/* Checks that every byte of the data belongs to exactly one tensor. */
static int check_layout(ld_safetensors *file, const char *name, uint64_t data_length, ld_error *err) {
  uint64_t at = 0;
  qsort(file->entries, file->n, sizeof *file->entries, by_offset);
  for (size_t i = 0; i < file->n; i++) {
    const tensor_entry *e = &file->entries[i];
    if (e->begin < at) return bad_tensor(name, e->name, err, "its data overlaps another tensor's");
    if (e->begin > at) return bad_tensor(name, e->name, err, "there is a gap before its data");
    at = e->end;
  }
  if (at != data_length)
    return ld_fail(err, LD_EFORMAT, "%s: %" PRIu64 " bytes after the last tensor belong to none", name,
                   data_length - at);
  return 0;
}

/* Makes a view of the data, or of an aligned copy. */
static void bind(tensor_entry *e, const char *data) {
  const char *at = data + e->begin;
  const size_t align = ld_dtype_size(e->tensor.dtype), bytes = e->end - e->begin;
  if ((uintptr_t)at % align) {
    e->copy = ld_alloc(bytes, 1);
    memcpy(e->copy, at, bytes);
    at = e->copy;
  }
  e->tensor.data = at;
}

static int read_entries(ld_safetensors *file, const char *name, const char *data, uint64_t data_length,
                        ld_error *err) {
  const ld_value *header = file->header;
  if (header->type != LD_MAP) return ld_fail(err, LD_EFORMAT, "%s: its header is not a JSON object", name);
  file->entries = ld_alloc(header->n_items, sizeof *file->entries);
  for (size_t i = 0; i < header->n_items; i++) {
    const ld_value *item = &header->items[i];
    if (strcmp(item->key, "__metadata__") == 0) {
      file->metadata = item;
      continue;
    }
    tensor_entry *e = &file->entries[file->n];
    e->name = item->key;
    int code = read_dtype(item, name, e, err);
    if (!code) code = read_shape(item, name, e, err);
    if (!code) code = read_offsets(item, name, data_length, e, err);
    if (code) return code;
    file->n++;
  }
  const int code = check_layout(file, name, data_length, err);
  if (code) return code;
  for (size_t i = 0; i < file->n; i++) bind(&file->entries[i], data);
  qsort(file->entries, file->n, sizeof *file->entries, by_name);
  return 0;
}

static int check_metadata(const ld_value *metadata, const char *name, ld_error *err) {
  if (!metadata || metadata->type == LD_NULL) return 0;
  bool good = metadata->type == LD_MAP;
  for (size_t i = 0; good && i < metadata->n_items; i++) good = metadata->items[i].type == LD_STRING;
  return good ? 0 : ld_fail(err, LD_EFORMAT, "%s: __metadata__: expected an object of strings", name);
}

/* What other kind of file this is, by its first bytes; NULL for an unknown one. */
static const char *other_kind(const char *bytes, size_t length) {
  static const struct {
    const char *start, *kind;
  } known[] = {{"PK\3\4", "a pickle of PyTorch"},
               {"\x80\2", "a pickle of PyTorch"},
               {"GGUF", "a GGUF file"},
               {"\x89HDF", "an HDF5 file"},
               {"<!", "a web page"},
               {"<html", "a web page"}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    const size_t n = strlen(known[i].start);
    if (length >= n && !memcmp(bytes, known[i].start, n)) return known[i].kind;
  }
  return NULL;
}

static int parse(ld_safetensors *file, const char *bytes, size_t length, const char *name, ld_error *err) {
  uint64_t header = 0;
  const char *kind = other_kind(bytes, length);
  if (length < 8) return ld_fail(err, LD_EFORMAT, "%s: too short for a safetensors file", name);
  for (int i = 7; i >= 0; i--) header = header << 8 | (unsigned char)bytes[i];
  const bool good = header > 0 && header <= MAX_HEADER && header <= length - 8 && bytes[8] == '{';
  if (!good && kind) return ld_fail(err, LD_EFORMAT, "%s: is %s, not a safetensors file", name, kind);
  if (header > MAX_HEADER || header > length - 8)
    return ld_fail(err, LD_EFORMAT,
                   "%s: not a safetensors file, or cut short: its header claims %" PRIu64 " bytes", name,
                   header);
  if (header == 0 || bytes[8] != '{')
    return ld_fail(err, LD_EFORMAT, "%s: not a safetensors file: no JSON header", name);
  file->header = ld_json_parse(bytes + 8, header, name, err);
  if (!file->header) return LD_EFORMAT;
  const int code = read_entries(file, name, bytes + 8 + header, length - 8 - header, err);
  return code ? code : check_metadata(file->metadata, name, err);
}

int ld_safetensors_parse(const void *bytes, size_t length, const char *name, ld_safetensors **out,
                         ld_error *err) {
  *out = NULL;
  ld_safetensors *file = ld_alloc(1, sizeof *file);
  const int code = parse(file, bytes, length, name, err);
  if (code)
    ld_safetensors_close(file);
  else
    *out = file;
  return code;
}

int ld_safetensors_open(const char *path, ld_safetensors **out, ld_error *err) {
  ld_map map;
  *out = NULL;
  int code = ld_map_open(path, &map, err);
  if (code) return code;
  code = ld_safetensors_parse(map.bytes, map.length, path, out, err);
  if (code)
    ld_map_close(&map);
  else
    (*out)->map = map;
  return code;
}

void ld_safetensors_close(ld_safetensors *file) {
  if (!file) return;
  for (size_t i = 0; i < file->n; i++) free(file->entries[i].copy);
  free(file->entries);
  ld_value_free(file->header);
  ld_map_close(&file->map);
  free(file);
}

size_t ld_safetensors_count(const ld_safetensors *file) {
  return file->n;
}

const char *ld_safetensors_name(const ld_safetensors *file, size_t index) {
  return file->entries[index].name;
}

const ld_stored *ld_safetensors_tensor(const ld_safetensors *file, size_t index) {
  return &file->entries[index].tensor;
}

const ld_stored *ld_safetensors_find(const ld_safetensors *file, const char *name) {
  const tensor_entry key = {.name = name};
  const tensor_entry *found = bsearch(&key, file->entries, file->n, sizeof key, by_name);
  return found ? &found->tensor : NULL;
}

const char *ld_safetensors_metadata(const ld_safetensors *file, const char *key) {
  const ld_value *found = ld_value_get(file->metadata, key);
  return found ? found->string : NULL;
}

/* The library declares its dtypes in this order and writes the last ones first. */
static int write_order(ld_dtype dtype) {
  static const ld_dtype order[] = {LD_BOOL,    LD_U8,          LD_I8,          LD_F8_E5M2, LD_F8_E4M3,
                                   LD_F8_E8M0, LD_F8_E4M3FNUZ, LD_F8_E5M2FNUZ, LD_I16,     LD_U16,
                                   LD_F16,     LD_BF16,        LD_I32,         LD_U32,     LD_F32,
                                   LD_C64,     LD_F64,         LD_I64,         LD_U64};
  const int n = sizeof order / sizeof *order;
  for (int i = 0; i < n; i++)
    if (order[i] == dtype) return n - i;
  return 0;
}

static int by_write_order(const void *a, const void *b) {
  const ld_named *x = *(const ld_named *const *)a, *y = *(const ld_named *const *)b;
  const int order = write_order(x->tensor.dtype) - write_order(y->tensor.dtype);
  return order ? order : strcmp(x->name, y->name);
}

static size_t byte_size(const ld_stored *tensor) {
  return ld_stored_bytes(tensor);
}

/* What goes into a file, in order. */
typedef struct contents {
  const ld_named **sorted;
  size_t n;
  const ld_note *notes; /* of the metadata, besides the format */
  size_t n_notes;
} contents;

static void put_metadata(ld_text *out, const contents *c) {
  ld_text_puts(out, "\"__metadata__\":{");
  for (size_t i = 0; i < c->n_notes; i++) {
    if (!c->notes[i].value) continue;
    ld_json_quote(out, c->notes[i].key);
    ld_text_puts(out, ":");
    ld_json_quote(out, c->notes[i].value);
    ld_text_puts(out, ",");
  }
  ld_text_puts(out, "\"format\":\"pt\"}");
}

static void put_header(ld_text *out, const contents *c) {
  uint64_t at = 0;
  ld_text_puts(out, "{");
  put_metadata(out, c);
  for (size_t i = 0; i < c->n; i++) {
    const ld_stored *tensor = &c->sorted[i]->tensor;
    const uint64_t end = at + byte_size(tensor);
    ld_text_puts(out, ",");
    ld_json_quote(out, c->sorted[i]->name);
    ld_text_printf(out, ":{\"dtype\":\"%s\",\"shape\":[", ld_dtype_name(tensor->dtype));
    for (int d = 0; d < tensor->ndim; d++)
      ld_text_printf(out, d ? ",%" PRId64 : "%" PRId64, tensor->shape[d]);
    ld_text_printf(out, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, end);
    at = end;
  }
  ld_text_puts(out, "}");
  while (out->length % 8) ld_text_puts(out, " ");
}

static int write_tensor(int fd, const char *path, const ld_named *named, ld_error *err) {
  void *made = NULL;
  int code = named->make ? named->make(named, &made, err) : 0;
  if (!code) code = ld_write_all(fd, made ? made : named->tensor.data, byte_size(&named->tensor), path, err);
  free(made);
  return code;
}

static int write_to(int fd, const char *path, const contents *c, ld_error *err) {
  ld_text header = {0};
  unsigned char length[8];
  put_header(&header, c);
  for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)header.length >> 8 * i);
  int code = ld_write_all(fd, length, sizeof length, path, err);
  if (!code) code = ld_write_all(fd, header.bytes, header.length, path, err);
  for (size_t i = 0; i < c->n && !code; i++) code = write_tensor(fd, path, c->sorted[i], err);
  ld_text_free(&header);
  return code;
}

static int write_part(const char *part, const char *path, const contents *c, ld_error *err) {
  const int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return ld_file_fail(part, "cannot create", err);
  return ld_close_written(fd, path, write_to(fd, path, c, err), err);
}

int ld_safetensors_write_noted(const char *path, const ld_named *tensors, size_t n, const ld_note *notes,
                               size_t n_notes, ld_error *err) {
  const contents c = {ld_alloc(n, sizeof *c.sorted), n, notes, n_notes};
  for (size_t i = 0; i < n; i++) c.sorted[i] = &tensors[i];
  qsort(c.sorted, n, sizeof *c.sorted, by_write_order);
  char *part = ld_file_begin(path, err);
  int code = LD_EFILE;
  if (part) code = ld_file_end(part, path, write_part(part, path, &c, err), err);
  free(c.sorted);
  return code;
}

int ld_safetensors_write(const char *path, const ld_named *tensors, size_t n, ld_error *err) {
  return ld_safetensors_write_noted(path, tensors, n, NULL, 0, err);
}
