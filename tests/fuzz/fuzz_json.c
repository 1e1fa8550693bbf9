/* Any bytes as JSON. What is accepted must mean the same after its strings and numbers were written again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_scalar(const ld_value *value) {
  ld_text text = {0};
  ld_error err = {0};
  if (value->type == LD_STRING)
    ld_json_quote(&text, value->string);
  else
    ld_json_number(&text, value->real);
  ld_value *again = ld_json_parse(text.bytes, text.length, "again", &err);
  if (!again) abort();
  if (value->type == LD_STRING ? strcmp(again->string, value->string) != 0 : again->real != value->real)
    abort();
  ld_value_free(again);
  ld_text_free(&text);
}

static void walk(const ld_value *value) {
  if (value->type == LD_STRING || value->type == LD_REAL) check_scalar(value);
  for (size_t i = 0; i < value->n_items; i++) {
    if ((value->type == LD_MAP) != (value->items[i].key != NULL)) abort();
    walk(&value->items[i]);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ld_error err = {0};
  ld_value *root = ld_json_parse((const char *)data, size, "fuzz", &err);
  if (!root && !err.code) abort();
  if (root) walk(root);
  ld_value_free(root);
  return 0;
}
