#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "io/file.h"
#include "io/hub/component.h"
#include "io/hub/diffusers_lora.h"
#include "io/hub/peft_saved.h"
#include "io/hub/peft_write.h"
#include "io/hub/safetensors.h"

#define TEXT_ENCODER "text_encoder"
#define MAGNITUDE "lora_magnitude_vector"

static bool begins(const char *text, const char *with) {
  return !strncmp(text, with, strlen(with));
}

int ld_diffusers_lora_check(const ld_adapter *adapter, const char *name, ld_error *err) {
  for (size_t i = 0; i < adapter->n_modules; i++) {
    const ld_adapter_module *m = &adapter->modules[i];
    if (ld_adapter_is_whole(m))
      return ld_fail(err, LD_EUNSUPPORTED,
                     "%s: '%s' is trained in full, for which diffusers' adapter files have no place", name,
                     m->path);
    if (!ld_component_of(m->path))
      return ld_fail(err, LD_EUNSUPPORTED,
                     "%s: '%s' is in no part of an image generator (unet, text_encoder, ...), which "
                     "diffusers' adapter files are for",
                     name, m->path);
  }
  if (!adapter->n_modules) return ld_fail(err, LD_EMISMATCH, "%s: the adapter is empty", name);
  return ld_adapter_check(adapter, name, err);
}

/* transformers 5 finds a text encoder's magnitudes by the name of their own module's weight. */
static const char *key_end(const char *role, bool is_text) {
  if (!strcmp(role, MAGNITUDE)) return is_text ? MAGNITUDE ".weight" : MAGNITUDE;
  if (!strcmp(role, "lora_A")) return is_text ? "lora_linear_layer.down.weight" : "lora_A.weight";
  if (!strcmp(role, "lora_B")) return is_text ? "lora_linear_layer.up.weight" : "lora_B.weight";
  return role;
}

static size_t name_tensors(const ld_adapter *adapter, ld_named *tensors) {
  size_t n = 0;
  for (size_t i = 0; i < adapter->n_modules; i++) {
    const ld_adapter_module *m = &adapter->modules[i];
    for (size_t k = 0; k < m->n_tensors; k++, n++) {
      const ld_adapter_tensor *t = &m->tensors[k];
      const char *end = key_end(t->role, begins(m->path, TEXT_ENCODER));
      tensors[n] = (ld_named){.name = ld_format("%s.%s", m->path, end),
                              .tensor = {.data = t->data, .dtype = LD_F32, .ndim = t->ndim}};
      memcpy(tensors[n].tensor.shape, t->shape, sizeof t->shape);
    }
  }
  return n;
}

/* Every part with tensors has settings: diffusers would take PEFT's defaults for one without. */
static int put_metadata(ld_text *out, const ld_adapter *adapter, const ld_adapter_form *const *forms,
                        const char *name, ld_error *err) {
  int rc = 0;
  ld_text_puts(out, "{\n");
  for (size_t i = 0; ld_component_names[i] && !rc; i++) {
    ld_adapter view = ld_component_view(adapter, ld_component_names[i]);
    view.base_name = view.task_type = NULL;
    for (size_t k = 0; k < view.n_modules; k++) /* PEFT compares the ends of paths: short ones fit all */
      view.modules[k].path = (char *)(uintptr_t)ld_component_short(view.modules[k].path);
    char *prefix = ld_format("%s.", ld_component_names[i]);
    if (view.n_modules) rc = ld_peft_put_config(out, prefix, &view, forms, name, err);
    free(prefix);
    free(view.modules);
  }
  ld_text_puts(out, "\n}");
  return rc;
}

static int write_file(const char *path, const ld_adapter *adapter, const ld_adapter_form *const *forms,
                      const char *name, ld_error *err) {
  ld_text metadata = {0};
  int rc = put_metadata(&metadata, adapter, forms, name, err);
  ld_named *tensors = ld_alloc(ld_adapter_n_tensors(adapter), sizeof *tensors);
  const size_t n = name_tensors(adapter, tensors);
  const ld_note notes[] = {{LD_PEFT_BASE_DIGEST, adapter->base_digest},
                           {LD_DIFFUSERS_METADATA, metadata.bytes}};
  if (!rc) rc = ld_safetensors_write_noted(path, tensors, n, notes, 2, err);
  for (size_t i = 0; i < n; i++) free((void *)(uintptr_t)tensors[i].name);
  free(tensors);
  ld_text_free(&metadata);
  return rc;
}

int ld_diffusers_lora_write(const char *folder, const ld_adapter *adapter,
                            const ld_adapter_form *const *forms, ld_error *err) {
  int rc = ld_diffusers_lora_check(adapter, folder, err);
  char *fresh = rc ? NULL : ld_folder_begin(folder, err);
  if (rc || !fresh) return rc ? rc : err ? err->code : LD_EFILE;
  char *file = ld_path_join(fresh, LD_DIFFUSERS_LORA_NAME);
  rc = write_file(file, adapter, forms, folder, err);
  free(file);
  return ld_folder_end(fresh, folder, rc, err);
}
