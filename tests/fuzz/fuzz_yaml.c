/* Any bytes as YAML: a tree or an error with a text. */
#include <stdint.h>
#include <stdlib.h>

#include "io/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const ld_value *value) {
  if (value->type == LD_STRING && !value->string) abort();
  for (size_t i = 0; i < value->n_items; i++) {
    if ((value->type == LD_MAP) != (value->items[i].key != NULL)) abort();
    walk(&value->items[i]);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ld_error err = {0};
  ld_value *root = ld_yaml_parse((const char *)data, size, "fuzz", &err);
  if (!root && !err.code) abort();
  if (root) walk(root);
  ld_value_free(root);
  return 0;
}
