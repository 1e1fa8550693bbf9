#include "io/hub/adapter_formats.h"

#include <string.h>

/* kohya comes before diffusers, which takes every other .safetensors file. */
const ld_adapter_format *const ld_adapter_formats[] = {&ld_adapter_format_peft, &ld_adapter_format_kohya,
                                                       &ld_adapter_format_diffusers, NULL};

const ld_adapter_format *ld_adapter_format_find(const char *name) {
  for (size_t i = 0; ld_adapter_formats[i]; i++)
    if (!strcmp(ld_adapter_formats[i]->name, name)) return ld_adapter_formats[i];
  return NULL;
}

const ld_adapter_format *ld_adapter_format_at(const char *path) {
  for (size_t i = 0; ld_adapter_formats[i]; i++)
    if (ld_adapter_formats[i]->is(path)) return ld_adapter_formats[i];
  return NULL;
}

const ld_adapter_format *ld_adapter_format_for(const ld_adapter *adapter) {
  for (size_t i = 0; ld_adapter_formats[i]; i++)
    if (ld_adapter_formats[i]->suits && ld_adapter_formats[i]->suits(adapter)) return ld_adapter_formats[i];
  return &ld_adapter_format_peft;
}

bool ld_adapter_format_has(const ld_adapter_format *format, const char *file) {
  for (size_t i = 0; format->files && format->files[i]; i++)
    if (!strcmp(format->files[i], file)) return true;
  return false;
}
