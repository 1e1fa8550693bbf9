#include "io/hub/lora_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static int bad_key(const ld_lora_file *f, const char *key, const char *what) {
  return ld_fail(f->err, LD_EFORMAT, "%s: '%s' %s", f->name, key, what);
}

static int put_alpha(const ld_lora_file *f, const char *key, ld_adapter_module *m, const ld_stored *tensor) {
  float alpha;
  if (ld_stored_count(tensor) != 1) return bad_key(f, key, "must hold one number");
  if (!isnan(m->alpha)) return bad_key(f, key, "is the second alpha of its module");
  ld_dtype_to_f32(&alpha, tensor->data, tensor->dtype, 0, 1);
  if (!isfinite(alpha)) return bad_key(f, key, "is not a number");
  m->alpha = alpha;
  return 0;
}

int ld_lora_put(const ld_lora_file *f, const char *key, const char *path, const char *role,
                const ld_stored *tensor) {
  if (!ld_adapter_path_ok(path)) return bad_key(f, key, "names no module");
  if (ld_stored_count(tensor) < 1) return bad_key(f, key, "is empty");
  if (!ld_dtype_is_float(tensor->dtype))
    return ld_fail(f->err, LD_EUNSUPPORTED, "%s: '%s': dtype %s; expected F32, F16 or BF16", f->name, key,
                   ld_dtype_name(tensor->dtype));
  ld_adapter_module *m = ld_adapter_module_at(f->adapter, path);
  if (!m) {
    m = ld_adapter_add(f->adapter, path, "");
    m->alpha = (double)NAN;
  }
  if (!strcmp(role, LD_LORA_ALPHA)) return put_alpha(f, key, m, tensor);
  if (ld_adapter_tensor_of(m, role))
    return ld_fail(f->err, LD_EFORMAT, "%s: '%s' is the second %s of the module '%s'", f->name, key, role,
                   path);
  ld_adapter_tensor *t = ld_adapter_put(m, role, tensor->ndim, tensor->shape, NULL);
  ld_dtype_to_f32(t->data, tensor->data, tensor->dtype, 0, ld_stored_count(tensor));
  return 0;
}

bool ld_lora_has_alpha(const ld_adapter_module *module) {
  return !isnan(module->alpha);
}

static size_t n_roles(const ld_adapter_form *form) {
  size_t n = 0;
  while (form->roles[n].role) n++;
  return n;
}

/* The first role of the form that the module lacks; NULL for none. */
static const char *missing(const ld_adapter_form *form, const ld_adapter_module *m) {
  for (size_t i = 0; form->roles[i].role; i++)
    if (!ld_adapter_tensor_of(m, form->roles[i].role)) return form->roles[i].role;
  return NULL;
}

/* The form with the fewest roles that has all of the module's. */
static const ld_adapter_form *form_for(const ld_lora_file *f, const ld_adapter_module *m) {
  const ld_adapter_form *best = NULL;
  for (size_t i = 0; f->forms[i]; i++) {
    const ld_adapter_form *form = f->forms[i];
    size_t n = 0;
    for (size_t k = 0; form->roles[k].role; k++) n += ld_adapter_tensor_of(m, form->roles[k].role) != NULL;
    if (n == m->n_tensors && (!best || n_roles(form) < n_roles(best))) best = form;
  }
  return best;
}

/* Puts the tensors in the order of the form's roles, all of which are there. */
static void sort_roles(const ld_adapter_form *form, ld_adapter_module *m) {
  for (size_t i = 0; form->roles[i].role; i++) {
    ld_adapter_tensor *found = ld_adapter_tensor_of(m, form->roles[i].role), other = m->tensors[i];
    m->tensors[i] = *found;
    *found = other;
  }
}

int ld_lora_complete(const ld_lora_file *f, ld_adapter_module *m) {
  const ld_adapter_form *form = form_for(f, m);
  if (!form)
    return ld_fail(f->err, LD_EUNSUPPORTED, "%s: the module '%s' is of no kind that is supported", f->name,
                   m->path);
  const char *lacks = missing(form, m);
  if (lacks && !m->n_tensors)
    return ld_fail(f->err, LD_EFORMAT, "%s: the module '%s' has an alpha but no %s", f->name, m->path, lacks);
  if (lacks)
    return ld_fail(f->err, LD_EFORMAT, "%s: the module '%s' has a %s but no %s", f->name, m->path,
                   m->tensors[0].role, lacks);
  sort_roles(form, m);
  free(m->kind);
  m->kind = ld_strdup(form->kind);
  const ld_adapter_tensor *A = ld_adapter_tensor_of(m, "lora_A");
  if (!A || !A->ndim || A->shape[0] > LD_MOST_RANK)
    return ld_fail(f->err, LD_EFORMAT, "%s: the module '%s' has a lora_A without a rank", f->name, m->path);
  m->rank = (int)A->shape[0];
  if (!ld_lora_has_alpha(m)) m->alpha = m->rank;
  return 0;
}

int ld_lora_check(const ld_lora_file *f, ld_adapter_module *m) {
  for (size_t i = 0; f->forms[i]; i++) {
    if (strcmp(f->forms[i]->kind, m->kind) != 0) continue;
    const int rc = f->forms[i]->check(m, f->name, f->err);
    if (rc) return rc;
  }
  m->scaling = ld_adapter_scaling(m->alpha, m->rank, f->adapter->rslora);
  return 0;
}

/* How many modules have the rank and alpha of this one. */
static size_t n_like(const ld_adapter *a, const ld_adapter_module *m) {
  size_t n = 0;
  for (size_t i = 0; i < a->n_modules; i++)
    n += a->modules[i].rank == m->rank && a->modules[i].alpha == m->alpha;
  return n;
}

/* The first module decides between equally frequent ones. Few differ in a file, so each is counted once per
 * change. */
static void choose_common(ld_adapter *a) {
  size_t most = 0;
  for (size_t i = 0; i < a->n_modules && most * 2 <= a->n_modules; i++) {
    const ld_adapter_module *m = &a->modules[i];
    if (most && m->rank == a->rank && m->alpha == a->alpha) continue;
    const size_t n = n_like(a, m);
    if (n <= most) continue;
    most = n;
    a->rank = m->rank;
    a->alpha = m->alpha;
  }
}

int ld_lora_finish(const ld_lora_file *f) {
  ld_adapter *a = f->adapter;
  if (!a->n_modules) return ld_fail(f->err, LD_EFORMAT, "%s: holds no tensors", f->name);
  ld_adapter_sort(a);
  if (!a->rank) choose_common(a);
  return ld_adapter_check(a, f->name, f->err);
}
