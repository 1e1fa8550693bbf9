/* kohya's file as a format of adapters. */
#include <string.h>

#include "io/hub/adapter_format.h"
#include "io/hub/kohya.h"

static int read(const char *path, const ld_adapter_context *context, ld_adapter **out, ld_error *err) {
  return ld_kohya_read(path, context->forms, context->modules, context->n_modules, out, err);
}

static int check(const ld_adapter *adapter, const ld_adapter_context *context, const char *name,
                 ld_error *err) {
  (void)context;
  return ld_adapter_check(adapter, name, err);
}

/* A1111 and ComfyUI list files by their names and find them by the ending. */
static int write(const char *path, const ld_adapter *adapter, const ld_adapter_context *context,
                 ld_error *err) {
  const char *dot = strrchr(path, '.');
  if (!dot || strcmp(dot, ".safetensors") != 0)
    return ld_fail(err, LD_EUSAGE,
                   "--out %s: kohya's form is a single file: give a name that ends in .safetensors", path);
  return ld_kohya_write(path, adapter, context->modules, context->n_modules, err);
}

const ld_adapter_format ld_adapter_format_kohya = {
    .name = "kohya",
    .title = "A1111 and ComfyUI",
    .is = ld_kohya_is,
    .read = read,
    .check = check,
    .write = write,
};
