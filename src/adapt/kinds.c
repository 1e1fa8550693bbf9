#include "adapt/kinds.h"

#include <string.h>

static const ld_adapter_kind *const kinds[] = {&ld_adapter_lora, &ld_adapter_dora, &ld_adapter_whole};

enum { N_KINDS = sizeof kinds / sizeof *kinds };

const ld_adapter_kind *ld_adapter_kind_find(const char *name) {
  for (size_t i = 0; i < N_KINDS; i++)
    if (!strcmp(kinds[i]->name, name)) return kinds[i];
  return NULL;
}

const ld_adapter_form *const *ld_adapter_forms(void) {
  static const ld_adapter_form *forms[N_KINDS + 1];
  for (size_t i = 0, n = 0; i < N_KINDS; i++)
    if (kinds[i]->form) forms[n++] = kinds[i]->form;
  return forms;
}
