#include "nn/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const ld_field *ld_batch_field(const ld_batch *batch, const char *name) {
  for (const ld_field *field = batch->fields; field->name; field++)
    if (!strcmp(field->name, name)) return field;
  fprintf(stderr, "lora_dist: a batch without the field '%s'\n", name);
  abort();
}
