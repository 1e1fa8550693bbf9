#include "adapt/kind.h"

#include <string.h>

static const ld_adapter_kind *const kinds[] = {&ld_adapter_lora, &ld_adapter_whole};

const ld_adapter_kind *ld_adapter_kind_find(const char *name) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (!strcmp(kinds[i]->name, name)) return kinds[i];
  return NULL;
}
