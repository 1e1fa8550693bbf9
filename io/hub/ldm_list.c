#include "io/hub/ldm_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

enum { MOST_SIZE = 1 << 24, MOST_COUNT = 1000 };

void ld_ldm_list_free(ld_ldm_list *list) {
  for (size_t i = 0; i < list->n; i++) free((void *)(uintptr_t)list->named[i].name);
  free(list->named);
}

static char *format_list(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));

static char *format_list(const char *format, va_list arguments) {
  va_list again;
  va_copy(again, arguments);
  const int length = vsnprintf(NULL, 0, format, again);
  va_end(again);
  char *text = ld_alloc((size_t)length + 1, 1);
  vsnprintf(text, (size_t)length + 1, format, arguments);
  return text;
}

void ld_ldm_fail(ld_ldm_list *list, int code, const char *format, ...) {
  if (list->failed) return;
  va_list arguments;
  va_start(arguments, format);
  char *text = format_list(format, arguments);
  va_end(arguments);
  list->failed = ld_fail(list->err, code, "%s: %s", list->file->path, text);
  free(text);
}

/* The first tensor whose name is not below `name`; the number of tensors when there is none. */
static size_t lower_bound(const ld_safetensors *tensors, const char *name) {
  size_t low = 0, high = ld_safetensors_count(tensors);
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (strcmp(ld_safetensors_name(tensors, middle), name) < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

bool ld_ldm_begins(const ld_ldm_file *file, const char *prefix) {
  const size_t at = lower_bound(file->tensors, prefix);
  return at < ld_safetensors_count(file->tensors) &&
         !strncmp(ld_safetensors_name(file->tensors, at), prefix, strlen(prefix));
}

bool ld_ldm_has(const ld_ldm_list *list, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  char *name = format_list(format, arguments), *full = ld_format("%s%s", list->prefix, name);
  va_end(arguments);
  const bool has = ld_ldm_begins(list->file, full);
  free(name);
  free(full);
  return has;
}

int ld_ldm_rank(const ld_ldm_list *list, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  char *name = format_list(format, arguments), *full = ld_format("%s%s", list->prefix, name);
  va_end(arguments);
  const ld_stored *tensor = ld_safetensors_find(list->file->tensors, full);
  free(name);
  free(full);
  return tensor ? tensor->ndim : 0;
}

/* The tensor of the component, which then counts as used; a failed list without it. */
static const ld_stored *need(ld_ldm_list *list, const char *name) {
  if (list->failed) return NULL;
  const ld_safetensors *tensors = list->file->tensors;
  char *full = ld_format("%s%s", list->prefix, name);
  const size_t at = lower_bound(tensors, full);
  const bool found = at < ld_safetensors_count(tensors) && !strcmp(ld_safetensors_name(tensors, at), full);
  if (found)
    list->file->used[at] = true;
  else
    ld_ldm_fail(list, LD_EFORMAT,
                "the tensor '%s' is missing: the file is incomplete, or of an unknown model", full);
  free(full);
  return found ? ld_safetensors_tensor(tensors, at) : NULL;
}

int ld_ldm_size(ld_ldm_list *list, int dim, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  char *name = format_list(format, arguments);
  va_end(arguments);
  const ld_stored *tensor = need(list, name);
  int64_t size = 0;
  if (tensor && dim < tensor->ndim && tensor->shape[dim] > 0 && tensor->shape[dim] <= MOST_SIZE)
    size = tensor->shape[dim];
  if (tensor && !size)
    ld_ldm_fail(list, LD_EFORMAT, "the tensor '%s%s' has a shape that no known model has", list->prefix,
                name);
  free(name);
  return (int)size;
}

int ld_ldm_count(const ld_ldm_list *list, int first, const char *format) {
  int n = 0;
  const char *number = strstr(format, "%d");
  for (bool more = true; more && n < MOST_COUNT; n += more)
    more = ld_ldm_has(list, "%.*s%d%s", (int)(number - format), format, first + n, number + 2);
  return n;
}

static bool fits(const ld_stored *stored, const ld_ldm_shape *shape) {
  bool same = stored->ndim >= shape->n;
  for (int d = 0; d < stored->ndim && same; d++) same = stored->shape[d] == (d < shape->n ? shape->of[d] : 1);
  return same;
}

/* "(320, 4, 3, 3)" */
static void put_shape(ld_text *out, const int64_t *shape, int n) {
  ld_text_puts(out, "(");
  for (int d = 0; d < n; d++) ld_text_printf(out, "%s%" PRId64, d ? ", " : "", shape[d]);
  ld_text_puts(out, ")");
}

/* The same tensor in a shape that it must have. */
static const ld_stored *need_shaped(ld_ldm_list *list, const ld_ldm_shape *shape, const char *name) {
  const ld_stored *stored = need(list, name);
  if (!stored || fits(stored, shape)) return stored;
  ld_text is = {0}, expected = {0};
  put_shape(&is, stored->shape, stored->ndim);
  put_shape(&expected, shape->of, shape->n);
  ld_ldm_fail(list, LD_EFORMAT, "the tensor '%s%s' has the shape %s, where the rest of the file asks for %s",
              list->prefix, name, is.bytes, expected.bytes);
  ld_text_free(&is);
  ld_text_free(&expected);
  return NULL;
}

static ld_named *add(ld_ldm_list *list, const ld_stored *stored, const ld_ldm_shape *shape, const char *to) {
  list->named = ld_grow(list->named, list->n, &list->room, sizeof *list->named);
  ld_named *named = &list->named[list->n++];
  *named = (ld_named){.name = ld_strdup(to), .tensor = *stored};
  named->tensor.ndim = shape->n;
  memcpy(named->tensor.shape, shape->of, sizeof shape->of);
  return named;
}

void ld_ldm_take(ld_ldm_list *list, ld_ldm_shape shape, const char *to, const char *from) {
  const ld_stored *stored = need_shaped(list, &shape, from);
  if (stored) add(list, stored, &shape, to);
}

void ld_ldm_take_part(ld_ldm_list *list, ld_ldm_shape shape, int i, int n, const char *to, const char *from) {
  ld_ldm_shape whole = shape;
  whole.of[0] *= n;
  const ld_stored *stored = need_shaped(list, &whole, from);
  if (!stored) return;
  ld_named *named = add(list, stored, &shape, to);
  named->tensor.data = (const char *)stored->data + (size_t)i * ld_stored_bytes(&named->tensor);
}

/* named->tensor is (n, m), what it is made from (m, n). */
static int transpose(const ld_named *named, void **out, ld_error *err) {
  (void)err;
  const ld_stored *from = named->user;
  const size_t n = (size_t)named->tensor.shape[0], m = (size_t)named->tensor.shape[1];
  const size_t size = ld_dtype_size(from->dtype);
  const char *data = from->data;
  char *turned = *out = ld_alloc(n * m, size);
  for (size_t i = 0; i < n; i++)
    for (size_t k = 0; k < m; k++) memcpy(turned + (i * m + k) * size, data + (k * n + i) * size, size);
  return 0;
}

void ld_ldm_take_transposed(ld_ldm_list *list, ld_ldm_shape shape, const char *to, const char *from) {
  const ld_stored *stored = need_shaped(list, &shape, from);
  if (!stored) return;
  ld_named *named = add(list, stored, &LD_LDM_SHAPE(shape.of[1], shape.of[0]), to);
  named->make = transpose;
  named->user = stored;
}

/* "path.name.end" */
static char *join(const char *path, const char *name, const char *end) {
  return ld_format("%s%s%s%s", path, *path ? "." : "", name, end);
}

static void take_at(ld_ldm_list *list, ld_ldm_shape shape, ld_ldm_at at, const char *to, const char *from,
                    const char *end) {
  if (list->failed) return;
  char *full_to = join(at.to, to, end), *full_from = join(at.from, from, end);
  ld_ldm_take(list, shape, full_to, full_from);
  free(full_to);
  free(full_from);
}

void ld_ldm_norm(ld_ldm_list *list, int n, ld_ldm_at at, const char *to, const char *from) {
  take_at(list, LD_LDM_SHAPE(n), at, to, from, ".weight");
  take_at(list, LD_LDM_SHAPE(n), at, to, from, ".bias");
}

void ld_ldm_linear(ld_ldm_list *list, int in, int out, bool bias, ld_ldm_at at, const char *to,
                   const char *from) {
  take_at(list, LD_LDM_SHAPE(out, in), at, to, from, ".weight");
  if (bias) take_at(list, LD_LDM_SHAPE(out), at, to, from, ".bias");
}

void ld_ldm_conv(ld_ldm_list *list, int in, int out, int kernel, ld_ldm_at at, const char *to,
                 const char *from) {
  take_at(list, LD_LDM_SHAPE(out, in, kernel, kernel), at, to, from, ".weight");
  take_at(list, LD_LDM_SHAPE(out), at, to, from, ".bias");
}
