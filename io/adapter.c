#include "io/adapter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/memory.h"
#include "base/value.h"
#include "io/hash.h"
#include "io/safetensors.h"

void ld_adapter_free(ld_adapter *adapter) {
  if (!adapter) return;
  for (size_t i = 0; i < adapter->n_modules; i++) {
    free(adapter->modules[i].path);
    free(adapter->modules[i].A);
    free(adapter->modules[i].B);
  }
  for (size_t i = 0; i < adapter->n_full; i++) {
    free(adapter->full[i].path);
    free(adapter->full[i].data);
  }
  for (size_t i = 0; i < adapter->n_labels; i++) free(adapter->labels[i]);
  for (size_t i = 0; i < adapter->n_copies; i++) free(adapter->copies[i].path);
  for (size_t i = 0; i < adapter->n_saved; i++) free(adapter->saved[i]);
  free(adapter->copies);
  free(adapter->saved);
  ld_safetensors_close(adapter->source);
  ld_value_free(adapter->config);
  free(adapter->modules);
  free(adapter->full);
  free(adapter->labels);
  free(adapter->base_name);
  free(adapter->base_digest);
  free(adapter->architecture);
  free(adapter->task_type);
  free(adapter);
}

static uint64_t hash_floats(uint64_t before, const float *data, int64_t n) {
  return ld_hash(before, data, (size_t)n * sizeof *data);
}

static uint64_t hash_module(const ld_adapter_module *m) {
  uint64_t hash = ld_hash_string(0, m->path);
  hash = ld_hash_u64(hash, (uint64_t)m->rank);
  hash = ld_hash(hash, &m->scaling, sizeof m->scaling);
  hash = hash_floats(hash, m->A, m->rank * m->in);
  return hash_floats(hash, m->B, m->rank * m->out);
}

static uint64_t hash_full(const ld_adapter_full *full) {
  int64_t count = 0;
  uint64_t hash = ld_hash_string(0, full->path);
  for (int i = 0; i < full->ndim; i++) hash = ld_hash_u64(hash, (uint64_t)full->shape[i]);
  return ld_shape_count(full->shape, full->ndim, &count) ? hash_floats(hash, full->data, count) : hash;
}

void ld_adapter_digest(const ld_adapter *a, char digest[LD_DIGEST_TEXT + 1]) {
  uint64_t sum = 0;
  for (size_t i = 0; i < a->n_modules; i++) sum += hash_module(&a->modules[i]);
  for (size_t i = 0; i < a->n_full; i++) sum += hash_full(&a->full[i]);
  uint64_t hash = ld_hash_u64(sum, (uint64_t)a->rank);
  hash = ld_hash(hash, &a->alpha, sizeof a->alpha);
  for (size_t i = 0; i < a->n_labels; i++) hash = ld_hash_string(hash, a->labels[i]);
  ld_digest_show(hash, digest);
}

double ld_adapter_scaling(double alpha, int rank, bool rslora) {
  return alpha / (rslora ? sqrt(rank) : rank);
}

int64_t ld_adapter_channels(const ld_adapter_module *module) {
  const int64_t h = module->kernel[0], w = module->kernel[1];
  if (h == 0 && w == 0) return module->in;
  return h < 1 || w < 1 || module->in % (h * w) != 0 ? 0 : module->in / (h * w);
}

static bool is_utf8(const char *text, size_t length) {
  for (size_t at = 0; at < length;) {
    utf8proc_int32_t point;
    const utf8proc_ssize_t step =
        utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(length - at), &point);
    if (step <= 0) return false;
    at += (size_t)step;
  }
  return true;
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
  return before != '.' && is_utf8(path, length);
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

static int check_module(const ld_adapter *adapter, const ld_adapter_module *m, const char *file,
                        ld_error *err) {
  if (m->rank < 1 || m->in < 1 || m->out < 1)
    return ld_fail(err, LD_EMISMATCH, "%s: module '%s': rank %d, sizes %lld and %lld must be above zero",
                   file, m->path, m->rank, (long long)m->in, (long long)m->out);
  if (ld_adapter_channels(m) < 1)
    return ld_fail(err, LD_EMISMATCH, "%s: module '%s': %lld inputs are not a multiple of a kernel of %d x "
                                      "%d",
                   file, m->path, (long long)m->in, m->kernel[0], m->kernel[1]);
  const double expected = ld_adapter_scaling(m->alpha, m->rank, adapter->rslora);
  if (!(fabs(m->scaling - expected) <= 1e-6 * fabs(expected)))
    return ld_fail(err, LD_EMISMATCH, "%s: module '%s': scaling %g does not follow from alpha %g and rank %d",
                   file, m->path, m->scaling, m->alpha, m->rank);
  return 0;
}

static int check_labels(const ld_adapter *adapter, const char *file, ld_error *err) {
  for (size_t i = 0; i < adapter->n_labels; i++)
    if (!is_utf8(adapter->labels[i], strlen(adapter->labels[i])))
      return ld_fail(err, LD_EMISMATCH, "%s: labels: the name of class %zu is not UTF-8", file, i);
  return 0;
}

int ld_adapter_check(const ld_adapter *adapter, const char *name, ld_error *err) {
  const size_t n = adapter->n_modules > adapter->n_full ? adapter->n_modules : adapter->n_full;
  const char **names = ld_alloc(n, sizeof *names);
  for (size_t i = 0; i < adapter->n_modules; i++) names[i] = adapter->modules[i].path;
  int code = check_names(names, adapter->n_modules, name, err);
  if (!code && adapter->n_modules && adapter->rank < 1)
    code = ld_fail(err, LD_EMISMATCH, "%s: the common rank %d must be above zero", name, adapter->rank);
  for (size_t i = 0; i < adapter->n_full; i++) names[i] = adapter->full[i].path;
  if (!code) code = check_names(names, adapter->n_full, name, err);
  free(names);
  for (size_t i = 0; i < adapter->n_modules && !code; i++)
    code = check_module(adapter, &adapter->modules[i], name, err);
  for (size_t i = 0; i < adapter->n_full && !code; i++) {
    const ld_adapter_full *full = &adapter->full[i];
    int64_t count = 0;
    if (full->ndim < 0 || full->ndim > LD_MAX_DIMS || !ld_shape_count(full->shape, full->ndim, &count) ||
        count < 1)
      code = ld_fail(err, LD_EMISMATCH, "%s: parameter '%s' has no usable shape", name, full->path);
  }
  return code ? code : check_labels(adapter, name, err);
}

static int check_finite(const float *data, int64_t n, const char *name, const char *path, const char *part,
                        ld_error *err) {
  for (int64_t i = 0; i < n; i++)
    if (!isfinite(data[i]))
      return ld_fail(err, LD_ENUMERIC, "%s: the tensor '%s%s' holds NaN or infinite values", name, path,
                     part);
  return 0;
}

int ld_adapter_check_finite(const ld_adapter *adapter, const char *name, ld_error *err) {
  int rc = 0;
  for (size_t i = 0; i < adapter->n_modules && !rc; i++) {
    const ld_adapter_module *m = &adapter->modules[i];
    rc = check_finite(m->A, m->rank * m->in, name, m->path, ".lora_A", err);
    if (!rc) rc = check_finite(m->B, m->rank * m->out, name, m->path, ".lora_B", err);
  }
  for (size_t i = 0; i < adapter->n_full && !rc; i++) {
    const ld_adapter_full *full = &adapter->full[i];
    int64_t n = 0;
    if (ld_shape_count(full->shape, full->ndim, &n))
      rc = check_finite(full->data, n, name, full->path, "", err);
  }
  return rc;
}
