/* PEFT folders as a format of adapters. An image generator's adapter is a folder with a PEFT folder for each
 * of its parts: unet/, text_encoder/, ..., as get_peft_model(pipe.unet, ...).save_pretrained("DIR/unet")
 * makes them. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/value.h"
#include "io/file.h"
#include "io/hub/adapter_format.h"
#include "io/hub/component.h"
#include "io/hub/peft_read.h"
#include "io/hub/peft_write.h"

static bool has_config(const char *folder) {
  char *path = ld_path_join(folder, "adapter_config.json");
  const bool there = ld_file_exists(path);
  free(path);
  return there;
}

static bool has_part(const char *folder, const char *component) {
  char *path = ld_path_join(folder, component);
  const bool there = has_config(path);
  free(path);
  return there;
}

static bool has_parts(const char *folder) {
  for (size_t i = 0; ld_component_names[i]; i++)
    if (has_part(folder, ld_component_names[i])) return true;
  return false;
}

static bool is(const char *path) {
  return ld_is_folder(path) && (has_config(path) || has_parts(path));
}

static bool suits(const ld_adapter *adapter) {
  return !ld_component_all(adapter);
}

static void prefix_paths(ld_adapter *adapter, const char *component) {
  for (size_t i = 0; i < adapter->n_modules; i++) {
    char *path = ld_component_long(component, adapter->modules[i].path);
    free(adapter->modules[i].path);
    adapter->modules[i].path = path;
  }
}

/* Moves the modules of a part to those that were read before. */
static int join(ld_adapter *whole, ld_adapter *part, const char *folder, ld_error *err) {
  if (part->rslora != whole->rslora)
    return ld_fail(err, LD_EUNSUPPORTED,
                   "%s: adapter_config.json: use_rslora differs from that of another part", folder);
  for (size_t i = 0; i < part->n_modules; i++) {
    whole->modules = ld_grow(whole->modules, whole->n_modules, &whole->room_modules, sizeof *whole->modules);
    whole->modules[whole->n_modules++] = part->modules[i];
  }
  part->n_modules = 0;
  return 0;
}

static int refuse_copies(const ld_adapter *part, const char *folder, ld_error *err) {
  if (!part->n_copies) return 0;
  return ld_fail(err, LD_EUNSUPPORTED,
                 "%s: adapter_model.safetensors holds a copy of the base's '%s', which an image generator's "
                 "adapter cannot have",
                 folder, part->copies[0].path);
}

/* The settings of single parts are not those of the whole, which is checked without them. */
static void forget_settings(ld_adapter *adapter) {
  ld_value_free(adapter->config);
  adapter->config = NULL;
  for (size_t i = 0; i < adapter->n_saved; i++) free(adapter->saved[i]);
  adapter->n_saved = 0;
}

static int read_part(const char *path, const char *component, const ld_adapter_form *const *forms,
                     ld_adapter **whole, ld_error *err) {
  char *folder = ld_path_join(path, component);
  ld_adapter *part;
  int rc = ld_peft_read(folder, forms, &part, err);
  if (!rc) rc = refuse_copies(part, folder, err);
  if (!rc) prefix_paths(part, component);
  if (!rc && *whole) rc = join(*whole, part, folder, err);
  if (!rc && !*whole) {
    forget_settings(part);
    *whole = part;
    part = NULL;
  }
  ld_adapter_free(part);
  free(folder);
  return rc;
}

static int read(const char *path, const ld_adapter_context *context, ld_adapter **out, ld_error *err) {
  int rc = 0;
  *out = NULL;
  if (has_config(path) || !has_parts(path)) return ld_peft_read(path, context->forms, out, err);
  for (size_t i = 0; ld_component_names[i] && !rc; i++)
    if (has_part(path, ld_component_names[i]))
      rc = read_part(path, ld_component_names[i], context->forms, out, err);
  if (!rc) ld_adapter_sort(*out);
  if (!rc) return 0;
  ld_adapter_free(*out);
  *out = NULL;
  return rc;
}

static int check(const ld_adapter *adapter, const ld_adapter_context *context, const char *name,
                 ld_error *err) {
  return ld_peft_check(adapter, context->modules, context->n_modules, name, err);
}

/* A module's name in the network that a pipeline has for a part: the first text encoder is a CLIPTextModel of
 * transformers 5, the others have a projection. */
static const char *name_in(const char *component, const char *path) {
  return strcmp(component, "text_encoder") ? path : ld_component_short(path);
}

/* The base's modules in a part, with their paths there; the caller frees the array. */
static const char **modules_of(const ld_adapter_context *context, const char *component, size_t *n) {
  const char **modules = ld_alloc(context->n_modules, sizeof *modules);
  *n = 0;
  for (size_t i = 0; i < context->n_modules; i++) {
    const char *of = ld_component_of(context->modules[i]);
    if (of && !strcmp(of, component))
      modules[(*n)++] = name_in(component, context->modules[i] + strlen(component) + 1);
  }
  return modules;
}

static int write_part(const char *path, const char *component, const ld_adapter *adapter,
                      const ld_adapter_context *context, ld_error *err) {
  size_t n;
  ld_adapter part = ld_component_view(adapter, component);
  const char **modules = modules_of(context, component, &n);
  for (size_t i = 0; i < part.n_modules; i++)
    part.modules[i].path = (char *)(uintptr_t)name_in(component, part.modules[i].path);
  char *folder = ld_path_join(path, component);
  const int rc = part.n_modules ? ld_peft_write(folder, &part, context->forms, modules, n, err) : 0;
  free(folder);
  free(modules);
  free(part.modules);
  return rc;
}

static int write(const char *path, const ld_adapter *adapter, const ld_adapter_context *context,
                 ld_error *err) {
  if (!ld_component_all(adapter))
    return ld_peft_write(path, adapter, context->forms, context->modules, context->n_modules, err);
  int rc = ld_make_folders(path, err);
  for (size_t i = 0; ld_component_names[i] && !rc; i++)
    rc = write_part(path, ld_component_names[i], adapter, context, err);
  return rc;
}

static const char *const files[] = {"adapter_config.json", "adapter_model.safetensors", "labels.json", NULL};

const ld_adapter_format ld_adapter_format_peft = {
    .name = "peft",
    .title = "PEFT",
    .folder = "peft",
    .files = files,
    .is = is,
    .suits = suits,
    .read = read,
    .check = check,
    .write = write,
};
