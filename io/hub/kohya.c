#include "io/hub/kohya.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "io/file.h"
#include "io/hub/diffusers_lora.h"
#include "io/hub/kohya_names.h"
#include "io/hub/lora_file.h"
#include "io/hub/peft_saved.h"
#include "io/hub/safetensors.h"
#include "io/json.h"

#define MAGNITUDE "lora_magnitude_vector"

/* The ends of names, after the first dot, and the roles. */
static const char *const ends[][2] = {{"lora_down.weight", "lora_A"},
                                      {"lora_up.weight", "lora_B"},
                                      {"alpha", LD_LORA_ALPHA},
                                      {"dora_scale", MAGNITUDE}};

enum { N_ENDS = sizeof ends / sizeof *ends };

static bool is_name(const char *key) {
  return !strncmp(key, "lora_unet_", 10) || !strncmp(key, "lora_te", 7);
}

/* The file at a path; the caller frees. */
static char *file_at(const char *path) {
  char *present = ld_folder_present(path);
  char *file = ld_is_folder(present) ? ld_path_join(present, LD_DIFFUSERS_LORA_NAME) : ld_strdup(path);
  free(present);
  return file;
}

bool ld_kohya_is(const char *path) {
  ld_safetensors *tensors;
  char *file = file_at(path);
  const int rc = ld_safetensors_open(file, &tensors, NULL);
  free(file);
  if (rc) return false;
  bool is = false;
  for (size_t i = 0; i < ld_safetensors_count(tensors) && !is; i++)
    is = is_name(ld_safetensors_name(tensors, i));
  ld_safetensors_close(tensors);
  return is;
}

static const char *role_of(const char *key, char **name) {
  const char *dot = strchr(key, '.');
  *name = NULL;
  for (size_t i = 0; dot && i < N_ENDS; i++) {
    if (strcmp(dot + 1, ends[i][0]) != 0) continue;
    *name = ld_strndup(key, (size_t)(dot - key));
    return ends[i][1];
  }
  return NULL;
}

/* Names that fit no module are one error, with the first. */
typedef struct unknown {
  size_t n;
  const char *first;
} unknown;

static int put(const ld_lora_file *f, const ld_kohya_names *names, const char *key, const ld_stored *tensor,
               unknown *missing) {
  char *name;
  const char *several, *role = role_of(key, &name);
  if (!role)
    return ld_fail(f->err, LD_EUNSUPPORTED,
                   "%s: '%s' is not a tensor of a LoRA or DoRA; other methods (LoHa, LoKr, LoCon with "
                   "lora_mid, ...) are not supported",
                   f->name, key);
  const char *module = ld_kohya_module(names, name, &several);
  int rc = 0;
  if (several)
    rc = ld_fail(f->err, LD_EMISMATCH, "%s: '%s' is the name of several modules of the base, such as '%s'",
                 f->name, name, several);
  else if (module)
    rc = ld_lora_put(f, key, module, role, tensor);
  else if (!missing->n++)
    missing->first = key;
  free(name);
  return rc;
}

/* Makes a dora_scale a magnitude as PEFT has it: (out), or (1, out, 1, 1) for a convolution. */
static int shape_magnitude(const ld_lora_file *f, const ld_adapter_module *m) {
  const ld_adapter_tensor *B = ld_adapter_tensor_of(m, "lora_B");
  ld_adapter_tensor *t = ld_adapter_tensor_of(m, MAGNITUDE);
  if (!t) return 0;
  const int64_t out = B->shape[0];
  if (t->shape[0] != out || ld_adapter_count(t) != out)
    return ld_fail(f->err, LD_EUNSUPPORTED,
                   "%s: module '%s': its dora_scale does not have one number for each of the %lld outputs; a "
                   "DoRA over inputs is not supported",
                   f->name, m->path, (long long)out);
  t->ndim = B->ndim == 4 ? 4 : 1;
  for (int d = 0; d < t->ndim; d++) t->shape[d] = d == (t->ndim == 4) ? out : 1;
  return 0;
}

static int complete(const ld_lora_file *f) {
  int rc = 0;
  for (size_t i = 0; i < f->adapter->n_modules && !rc; i++) {
    ld_adapter_module *m = &f->adapter->modules[i];
    rc = ld_lora_complete(f, m);
    if (!rc) rc = shape_magnitude(f, m);
    if (!rc) rc = ld_lora_check(f, m);
  }
  return rc ? rc : ld_lora_finish(f);
}

static int read_all(const ld_lora_file *f, const ld_safetensors *tensors, const ld_kohya_names *names) {
  unknown missing = {0};
  const char *digest = ld_safetensors_metadata(tensors, LD_PEFT_BASE_DIGEST);
  int rc = 0;
  if (digest) f->adapter->base_digest = ld_strdup(digest);
  for (size_t i = 0; i < ld_safetensors_count(tensors) && !rc; i++)
    rc = put(f, names, ld_safetensors_name(tensors, i), ld_safetensors_tensor(tensors, i), &missing);
  if (!rc && missing.n)
    rc =
        ld_fail(f->err, LD_EMISMATCH,
                "%s: %zu of its %zu tensors fit no module of the base, the first is '%s': the adapter is for "
                "another kind of model",
                f->name, missing.n, ld_safetensors_count(tensors), missing.first);
  return rc ? rc : complete(f);
}

static int read_tensors(const ld_safetensors *tensors, const ld_lora_file *f, const char *const *modules,
                        size_t n_modules, ld_adapter **out) {
  if (!n_modules)
    return ld_fail(f->err, LD_EUNSUPPORTED,
                   "%s: is in kohya's form, whose names can only be read with the base: give --model",
                   f->name);
  ld_lora_file filled = *f;
  filled.adapter = ld_alloc(1, sizeof *filled.adapter);
  ld_kohya_names *names = ld_kohya_names_new(modules, n_modules);
  const int rc = read_all(&filled, tensors, names);
  ld_kohya_names_free(names);
  if (rc)
    ld_adapter_free(filled.adapter);
  else
    *out = filled.adapter;
  return rc;
}

int ld_kohya_parse(const void *bytes, size_t length, const char *name, const ld_adapter_context *context,
                   ld_adapter **out, ld_error *err) {
  ld_safetensors *tensors;
  *out = NULL;
  int rc = ld_safetensors_parse(bytes, length, name, &tensors, err);
  if (rc) return rc;
  const ld_lora_file f = {.name = name, .forms = context->forms, .err = err};
  rc = read_tensors(tensors, &f, context->modules, context->n_modules, out);
  ld_safetensors_close(tensors);
  return rc;
}

int ld_kohya_read(const char *path, const ld_adapter_form *const *forms, const char *const *modules,
                  size_t n_modules, ld_adapter **out, ld_error *err) {
  ld_safetensors *tensors;
  char *file = file_at(path);
  *out = NULL;
  int rc = ld_safetensors_open(file, &tensors, err);
  const ld_lora_file f = {.name = file, .forms = forms, .err = err};
  if (!rc) {
    rc = read_tensors(tensors, &f, modules, n_modules, out);
    ld_safetensors_close(tensors);
  }
  free(file);
  return rc;
}

/* What is being written. */
typedef struct writer {
  const ld_adapter *adapter;
  const ld_kohya_names *names;
  ld_named *tensors;
  size_t n;
  float *alphas; /* of the modules */
} writer;

static const char *end_of(const char *role) {
  for (size_t i = 0; i < N_ENDS; i++)
    if (!strcmp(ends[i][1], role)) return ends[i][0];
  return role;
}

/* In a dora_scale the outputs come first. */
static ld_stored stored(const ld_adapter_tensor *t) {
  ld_stored s = {.data = t->data, .dtype = LD_F32, .ndim = t->ndim};
  memcpy(s.shape, t->shape, sizeof s.shape);
  if (strcmp(t->role, MAGNITUDE) != 0) return s;
  s.ndim = t->ndim == 4 ? 4 : 2;
  for (int d = 0; d < s.ndim; d++) s.shape[d] = d ? 1 : ld_adapter_count(t);
  return s;
}

static int add_module(writer *w, size_t i, const char *path, ld_error *err) {
  const ld_adapter_module *m = &w->adapter->modules[i];
  if (ld_adapter_is_whole(m))
    return ld_fail(err, LD_EUNSUPPORTED, "%s: '%s' is trained in full, for which kohya's files have no place",
                   path, m->path);
  char *name = ld_kohya_name(w->names, m->path);
  if (!name)
    return ld_fail(err, LD_EUNSUPPORTED, "%s: '%s' has no name in kohya's files: choose another --format",
                   path, m->path);
  for (size_t k = 0; k < m->n_tensors; k++)
    w->tensors[w->n++] = (ld_named){.name = ld_format("%s.%s", name, end_of(m->tensors[k].role)),
                                    .tensor = stored(&m->tensors[k])};
  w->alphas[i] = (float)(m->scaling * m->rank);
  w->tensors[w->n++] =
      (ld_named){.name = ld_format("%s.alpha", name), .tensor = {.data = &w->alphas[i], .dtype = LD_F32}};
  free(name);
  return 0;
}

/* The version of Stable Diffusion, by the width of the text states that the UNet reads; NULL for others. */
static const char *version_of(const writer *w) {
  if (ld_kohya_is_xl(w->names)) return "sdxl_base_v1-0";
  for (size_t i = 0; i < w->adapter->n_modules; i++) {
    const ld_adapter_module *m = &w->adapter->modules[i];
    const ld_adapter_tensor *A = ld_adapter_tensor_of(m, "lora_A");
    if (!strstr(m->path, ".attn2.to_k") || !A) continue;
    return A->shape[1] == 768 ? "sd_v1" : A->shape[1] == 1024 ? "sd_v2" : NULL;
  }
  return NULL;
}

static int write_file(const writer *w, const char *path, ld_error *err) {
  const ld_adapter *a = w->adapter;
  ld_text alpha = {0};
  char *rank = ld_format("%d", a->rank);
  ld_json_number(&alpha, ld_adapter_scaling(a->alpha, a->rank, a->rslora) * a->rank);
  const ld_note notes[] = {{LD_PEFT_BASE_DIGEST, a->base_digest},
                           {"ss_base_model_version", version_of(w)},
                           {"ss_network_alpha", alpha.bytes},
                           {"ss_network_dim", rank},
                           {"ss_network_module", "networks.lora"}};
  const int rc = ld_safetensors_write_noted(path, w->tensors, w->n, notes, sizeof notes / sizeof *notes, err);
  ld_text_free(&alpha);
  free(rank);
  return rc;
}

int ld_kohya_write(const char *path, const ld_adapter *adapter, const char *const *modules, size_t n_modules,
                   ld_error *err) {
  int rc = ld_adapter_check(adapter, path, err);
  if (rc) return rc;
  if (!n_modules)
    return ld_fail(err, LD_EUNSUPPORTED, "%s: kohya's names depend on the base: give its folder as --model",
                   path);
  ld_kohya_names *names = ld_kohya_names_new(modules, n_modules);
  writer w = {.adapter = adapter, .names = names};
  w.tensors = ld_alloc(ld_adapter_n_tensors(adapter) + adapter->n_modules, sizeof *w.tensors);
  w.alphas = ld_alloc(adapter->n_modules, sizeof *w.alphas);
  for (size_t i = 0; i < adapter->n_modules && !rc; i++) rc = add_module(&w, i, path, err);
  if (!rc && !w.n) rc = ld_fail(err, LD_EMISMATCH, "%s: the adapter is empty", path);
  if (!rc) rc = write_file(&w, path, err);
  for (size_t i = 0; i < w.n; i++) free((void *)(uintptr_t)w.tensors[i].name);
  free(w.tensors);
  free(w.alphas);
  ld_kohya_names_free(names);
  return rc;
}
