#include "io/state/checkpoint_old.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static int bad(const char *path, const char *what, ld_error *err) {
  return ld_fail(err, LD_EFORMAT, "'%s' %s", path, what);
}

/* The kernel of a convolution; zeros for a linear layer. */
static int get_kernel(ld_store *store, const char *group, int64_t kernel[2], ld_error *err) {
  const ld_attribute *found = ld_store_attribute(store, group, "kernel");
  kernel[0] = kernel[1] = 0;
  if (!found) return 0;
  if (found->type != LD_ATTRIBUTE_INTEGER || found->n != 2) return bad(group, "has an unusable kernel", err);
  memcpy(kernel, found->integers, 2 * sizeof *kernel);
  return kernel[0] >= 1 && kernel[1] >= 1 ? 0 : bad(group, "has an unusable kernel", err);
}

/* A matrix of the group; NULL when it is missing or not a matrix. */
static ld_store_tensor *matrix(ld_store *store, const char *group, const char *name) {
  ld_store_tensor *found = ld_store_find(store, group, name);
  return found && found->tensor.ndim == 2 && found->tensor.dtype == LD_F32 ? found : NULL;
}

/* A (rank, in) in the shape of PEFT's file; for a convolution (rank, channels, height, width). */
static void put_low_rank(ld_adapter_module *m, ld_store_tensor *A, ld_store_tensor *B,
                         const int64_t kernel[2]) {
  const int64_t pixels = kernel[0] ? kernel[0] * kernel[1] : 1, *a = A->tensor.shape, *b = B->tensor.shape;
  const int ndim = kernel[0] ? 4 : 2;
  ld_adapter_put(m, "lora_A", ndim, (int64_t[]){a[0], a[1] / pixels, kernel[0], kernel[1]}, ld_store_take(A));
  ld_adapter_put(m, "lora_B", ndim, (int64_t[]){b[0], b[1], 1, 1}, ld_store_take(B));
}

static int take_low_rank(ld_store *store, const char *group, ld_adapter *adapter, ld_error *err) {
  ld_store_tensor *A = matrix(store, group, "A"), *B = matrix(store, group, "B");
  int64_t rank, kernel[2];
  ld_adapter_module *m = ld_adapter_add(adapter, group + strlen("lora/"), "lora");
  int rc = ld_store_integer(store, group, "rank", 1, LD_MOST_RANK, &rank, err);
  if (!rc) rc = ld_store_real(store, group, "alpha", &m->alpha, err);
  if (!rc) rc = ld_store_real(store, group, "scaling", &m->scaling, err);
  if (!rc) rc = get_kernel(store, group, kernel, err);
  if (rc) return rc;
  m->rank = (int)rank;
  if (!A || !B || A->tensor.shape[0] != rank || B->tensor.shape[1] != rank)
    return bad(group, "has matrices of unusable shapes", err);
  const int64_t in = A->tensor.shape[1];
  if (kernel[0] && (kernel[0] > in || kernel[1] > in / kernel[0] || in % (kernel[0] * kernel[1])))
    return bad(group, "has a kernel that does not fit its inputs", err);
  put_low_rank(m, A, B, kernel);
  return 0;
}

/* "head.weight" is the weight of the module "head". */
static int take_full(ld_store_tensor *full, ld_adapter *adapter, ld_error *err) {
  const char *dot = strrchr(full->name, '.');
  if (!dot || full->tensor.dtype != LD_F32) return bad(full->name, "is not a parameter of a module", err);
  char *path = ld_strndup(full->name, (size_t)(dot - full->name));
  ld_adapter_module *m = ld_adapter_module_at(adapter, path);
  if (!m) m = ld_adapter_add(adapter, path, LD_ADAPTER_WHOLE);
  free(path);
  ld_adapter_put(m, dot + 1, full->tensor.ndim, full->tensor.shape, ld_store_take(full));
  return 0;
}

/* The moment `which` of a module's tensor, if the old file has it. */
static ld_store_tensor *find_moment(ld_store *store, const char *which, const ld_adapter_module *m,
                                    const ld_adapter_tensor *t) {
  const bool whole = ld_adapter_is_whole(m);
  char *group = whole ? ld_format("optimizer/%s", which) : ld_format("optimizer/%s/%s", which, m->path);
  char *name =
      whole ? ld_format("%s.%s", m->path, t->role) : ld_strdup(strcmp(t->role, "lora_A") ? "B" : "A");
  ld_store_tensor *found = ld_store_find(store, group, name);
  free(group);
  free(name);
  return found;
}

static int take_moments(ld_store *store, const char *which, const ld_adapter *adapter, float ***out,
                        ld_error *err) {
  float **moments = *out = ld_alloc(ld_adapter_n_tensors(adapter), sizeof *moments);
  for (size_t i = 0, n = 0; i < adapter->n_modules; i++) {
    const ld_adapter_module *m = &adapter->modules[i];
    for (size_t k = 0; k < m->n_tensors; k++, n++) {
      ld_store_tensor *found = find_moment(store, which, m, &m->tensors[k]);
      if (!found || found->tensor.dtype != LD_F32 ||
          ld_stored_count(&found->tensor) != ld_adapter_count(&m->tensors[k]))
        return bad(m->path, "has no moments of its shape", err);
      moments[n] = ld_store_take(found);
    }
  }
  return 0;
}

int ld_checkpoint_take_old(ld_store *store, ld_adapter *adapter, float ***m, float ***v, ld_error *err) {
  int rc = 0;
  for (size_t i = 0; i < store->n_groups && !rc; i++)
    if (!strncmp(store->groups[i], "lora/", strlen("lora/")))
      rc = take_low_rank(store, store->groups[i], adapter, err);
  for (size_t i = 0; i < store->n_tensors && !rc; i++)
    if (!strcmp(store->tensors[i].group, "full")) rc = take_full(&store->tensors[i], adapter, err);
  if (rc || !ld_store_has(store, "optimizer")) return rc;
  rc = take_moments(store, "m", adapter, m, err);
  return rc ? rc : take_moments(store, "v", adapter, v, err);
}
