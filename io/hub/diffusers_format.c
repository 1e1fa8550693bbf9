/* diffusers' file as a format of adapters. */
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/hub/adapter_format.h"
#include "io/hub/component.h"
#include "io/hub/diffusers_lora.h"

static bool is(const char *path) {
  if (!ld_is_folder(path)) {
    const char *dot = strrchr(path, '.');
    return dot && !strcmp(dot, ".safetensors") && ld_file_exists(path);
  }
  char *file = ld_path_join(path, LD_DIFFUSERS_LORA_NAME);
  const bool there = ld_file_exists(file);
  free(file);
  return there;
}

static int read(const char *path, const ld_adapter_context *context, ld_adapter **out, ld_error *err) {
  return ld_diffusers_lora_read(path, context->forms, out, err);
}

static int check(const ld_adapter *adapter, const ld_adapter_context *context, const char *name,
                 ld_error *err) {
  (void)context;
  return ld_diffusers_lora_check(adapter, name, err);
}

static int write(const char *path, const ld_adapter *adapter, const ld_adapter_context *context,
                 ld_error *err) {
  return ld_diffusers_lora_write(path, adapter, context->forms, err);
}

static const char *const files[] = {LD_DIFFUSERS_LORA_NAME, NULL};

const ld_adapter_format ld_adapter_format_diffusers = {
    .name = "diffusers",
    .title = "diffusers",
    .folder = "diffusers",
    .files = files,
    .is = is,
    .suits = ld_component_all,
    .read = read,
    .check = check,
    .write = write,
};
