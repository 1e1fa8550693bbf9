#include "io/hub/adapter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "base/value.h"
#include "io/hash.h"
#include "io/hub/safetensors.h"

static void free_module(ld_adapter_module *m) {
  for (size_t i = 0; i < m->n_tensors; i++) {
    free(m->tensors[i].role);
    free(m->tensors[i].data);
  }
  free(m->tensors);
  free(m->path);
  free(m->kind);
}

void ld_adapter_free(ld_adapter *adapter) {
  if (!adapter) return;
  for (size_t i = 0; i < adapter->n_modules; i++) free_module(&adapter->modules[i]);
  for (size_t i = 0; i < adapter->n_labels; i++) free(adapter->labels[i]);
  for (size_t i = 0; i < adapter->n_copies; i++) free(adapter->copies[i].path);
  for (size_t i = 0; i < adapter->n_saved; i++) free(adapter->saved[i]);
  free(adapter->copies);
  free(adapter->saved);
  ld_safetensors_close(adapter->source);
  ld_value_free(adapter->config);
  free(adapter->modules);
  free(adapter->labels);
  free(adapter->base_name);
  free(adapter->base_digest);
  free(adapter->architecture);
  free(adapter->task_type);
  free(adapter->problem);
  free(adapter);
}

ld_adapter_module *ld_adapter_add(ld_adapter *adapter, const char *path, const char *kind) {
  adapter->modules =
      ld_grow(adapter->modules, adapter->n_modules, &adapter->room_modules, sizeof *adapter->modules);
  ld_adapter_module *m = &adapter->modules[adapter->n_modules++];
  *m = (ld_adapter_module){.path = ld_strdup(path), .kind = ld_strdup(kind)};
  return m;
}

bool ld_adapter_is_whole(const ld_adapter_module *module) {
  return !strcmp(module->kind, LD_ADAPTER_WHOLE);
}

size_t ld_adapter_n_tensors(const ld_adapter *adapter) {
  size_t n = 0;
  for (size_t i = 0; i < adapter->n_modules; i++) n += adapter->modules[i].n_tensors;
  return n;
}

ld_adapter_tensor *ld_adapter_put(ld_adapter_module *m, const char *role, int ndim, const int64_t *shape,
                                  float *data) {
  int64_t count = 1;
  m->tensors = ld_grow(m->tensors, m->n_tensors, &m->room_tensors, sizeof *m->tensors);
  ld_adapter_tensor *t = &m->tensors[m->n_tensors++];
  *t = (ld_adapter_tensor){.role = ld_strdup(role), .ndim = ndim};
  for (int d = 0; d < ndim; d++) count *= t->shape[d] = shape[d];
  t->data = data ? data : ld_alloc((size_t)count, sizeof *t->data);
  return t;
}

/* Searches from the end: in a file, a module's tensors follow each other. */
ld_adapter_module *ld_adapter_module_at(const ld_adapter *adapter, const char *path) {
  for (size_t i = adapter->n_modules; i-- > 0;)
    if (!strcmp(adapter->modules[i].path, path)) return &adapter->modules[i];
  return NULL;
}

ld_adapter_tensor *ld_adapter_tensor_of(const ld_adapter_module *module, const char *role) {
  for (size_t i = 0; module && i < module->n_tensors; i++)
    if (!strcmp(module->tensors[i].role, role)) return &module->tensors[i];
  return NULL;
}

int64_t ld_adapter_count(const ld_adapter_tensor *tensor) {
  int64_t count = 0;
  return ld_shape_count(tensor->shape, tensor->ndim, &count) ? count : 0;
}

static uint64_t hash_floats(uint64_t before, const ld_adapter_tensor *t) {
  return ld_hash(before, t->data, (size_t)ld_adapter_count(t) * sizeof *t->data);
}

static uint64_t hash_low_rank(const ld_adapter_module *m) {
  uint64_t hash = ld_hash_string(0, m->path);
  hash = ld_hash_u64(hash, (uint64_t)m->rank);
  hash = ld_hash(hash, &m->scaling, sizeof m->scaling);
  for (size_t i = 0; i < m->n_tensors; i++) hash = hash_floats(hash, &m->tensors[i]);
  return hash;
}

static uint64_t hash_full(const ld_adapter_module *m, const ld_adapter_tensor *t) {
  char *name = ld_format("%s.%s", m->path, t->role);
  uint64_t hash = ld_hash_string(0, name);
  free(name);
  for (int i = 0; i < t->ndim; i++) hash = ld_hash_u64(hash, (uint64_t)t->shape[i]);
  return hash_floats(hash, t);
}

void ld_adapter_digest(const ld_adapter *a, char digest[LD_DIGEST_TEXT + 1]) {
  uint64_t sum = 0;
  for (size_t i = 0; i < a->n_modules; i++) {
    const ld_adapter_module *m = &a->modules[i];
    if (!ld_adapter_is_whole(m)) sum += hash_low_rank(m);
    for (size_t k = 0; k < m->n_tensors && ld_adapter_is_whole(m); k++) sum += hash_full(m, &m->tensors[k]);
  }
  uint64_t hash = ld_hash_u64(sum, (uint64_t)a->rank);
  hash = ld_hash(hash, &a->alpha, sizeof a->alpha);
  for (size_t i = 0; i < a->n_labels; i++) hash = ld_hash_string(hash, a->labels[i]);
  ld_digest_show(hash, digest);
}

double ld_adapter_scaling(double alpha, int rank, bool rslora) {
  return alpha / (rslora ? sqrt(rank) : rank);
}

bool ld_adapter_path_ok(const char *path) {
  const size_t length = strlen(path);
  if (length == 0 || length > 512) return false;
  char before = '.';
  for (size_t i = 0; i < length; i++) {
    const unsigned char c = (unsigned char)path[i];
    if (c <= ' ' || c == 0x7f || c == '/' || (c == '.' && before == '.')) return false;
    before = path[i];
  }
  return before != '.' && ld_utf8_valid(path, length);
}

static int by_string(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_names(const char **names, size_t n, const char *file, ld_error *err) {
  qsort(names, n, sizeof *names, by_string);
  for (size_t i = 0; i < n; i++) {
    if (!ld_adapter_path_ok(names[i]))
      return ld_fail(err, LD_EMISMATCH, "%s: '%s' cannot be a module path", file, names[i]);
    if (i > 0 && strcmp(names[i], names[i - 1]) == 0)
      return ld_fail(err, LD_EMISMATCH, "%s: module '%s' appears twice", file, names[i]);
  }
  return 0;
}

static int check_shape(const ld_adapter_module *m, const ld_adapter_tensor *t, const char *file,
                       ld_error *err) {
  if (t->ndim >= 0 && t->ndim <= LD_MAX_DIMS && ld_adapter_count(t) > 0) return 0;
  return ld_fail(err, LD_EMISMATCH, "%s: '%s.%s' has no usable shape", file, m->path, t->role);
}

static int check_module(const ld_adapter *adapter, const ld_adapter_module *m, const char *file,
                        ld_error *err) {
  int rc = 0;
  for (size_t i = 0; i < m->n_tensors && !rc; i++) rc = check_shape(m, &m->tensors[i], file, err);
  if (rc || ld_adapter_is_whole(m)) return rc;
  const double expected = ld_adapter_scaling(m->alpha, m->rank, adapter->rslora);
  if (m->rank < 1 || m->rank > LD_MOST_RANK)
    return ld_fail(err, LD_EMISMATCH, "%s: module '%s': %d is not a rank", file, m->path, m->rank);
  if (!(fabs(m->scaling - expected) <= 1e-6 * fabs(expected)))
    return ld_fail(err, LD_EMISMATCH, "%s: module '%s': scaling %g does not follow from alpha %g and rank %d",
                   file, m->path, m->scaling, m->alpha, m->rank);
  return 0;
}

static int check_labels(const ld_adapter *adapter, const char *file, ld_error *err) {
  for (size_t i = 0; i < adapter->n_labels; i++)
    if (!ld_utf8_valid(adapter->labels[i], strlen(adapter->labels[i])))
      return ld_fail(err, LD_EMISMATCH, "%s: labels: the name of class %zu is not UTF-8", file, i);
  return 0;
}

int ld_adapter_check(const ld_adapter *adapter, const char *name, ld_error *err) {
  const char **names = ld_alloc(adapter->n_modules, sizeof *names);
  for (size_t i = 0; i < adapter->n_modules; i++) names[i] = adapter->modules[i].path;
  int code = check_names(names, adapter->n_modules, name, err);
  free(names);
  if (!code && adapter->n_modules && !ld_adapter_is_whole(&adapter->modules[0]) && adapter->rank < 1)
    code = ld_fail(err, LD_EMISMATCH, "%s: the common rank %d must be above zero", name, adapter->rank);
  for (size_t i = 0; i < adapter->n_modules && !code; i++)
    code = check_module(adapter, &adapter->modules[i], name, err);
  return code ? code : check_labels(adapter, name, err);
}

int ld_adapter_check_finite(const ld_adapter *adapter, const char *name, ld_error *err) {
  for (size_t i = 0; i < adapter->n_modules; i++)
    for (size_t k = 0; k < adapter->modules[i].n_tensors; k++) {
      const ld_adapter_tensor *t = &adapter->modules[i].tensors[k];
      for (int64_t at = 0, n = ld_adapter_count(t); at < n; at++)
        if (!isfinite(t->data[at]))
          return ld_fail(err, LD_ENUMERIC, "%s: the tensor '%s.%s' holds NaN or infinite values", name,
                         adapter->modules[i].path, t->role);
    }
  return 0;
}

/* Numbers in a path compare by value, so that layer 2 comes before layer 10. */
static int compare_paths(const char *a, const char *b) {
  while (*a && *b) {
    const size_t x = strspn(a, "0123456789"), y = strspn(b, "0123456789");
    if (x && y) {
      if (x != y) return x < y ? -1 : 1;
      const int order = memcmp(a, b, x);
      if (order) return order;
      a += x;
      b += y;
    } else if (*a != *b)
      return (unsigned char)*a - (unsigned char)*b;
    else
      a++, b++;
  }
  return (unsigned char)*a - (unsigned char)*b;
}

static int by_module(const void *a, const void *b) {
  const ld_adapter_module *x = a, *y = b;
  const int order = ld_adapter_is_whole(x) - ld_adapter_is_whole(y);
  return order ? order : compare_paths(x->path, y->path);
}

void ld_adapter_sort(ld_adapter *adapter) {
  if (adapter->n_modules) qsort(adapter->modules, adapter->n_modules, sizeof *adapter->modules, by_module);
}
