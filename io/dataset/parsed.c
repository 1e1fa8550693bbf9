#include "io/dataset/parsed.h"

#include <stdlib.h>

#include "base/memory.h"

void ld_parsed_free(ld_parsed *parsed) {
  ld_value_free(parsed->values);
  ld_image_free(&parsed->image);
  free(parsed->place);
  *parsed = (ld_parsed){0};
}

bool ld_parsed_is_empty(const ld_parsed *parsed) {
  return !parsed->values && !parsed->image.pixels;
}

ld_value *ld_parsed_add(ld_parsed *parsed, const char *key) {
  if (!parsed->values) {
    parsed->values = ld_alloc(1, sizeof *parsed->values);
    parsed->values->type = LD_MAP;
  }
  return ld_value_add(parsed->values, ld_strdup(key), &parsed->room);
}

void ld_parsed_add_text(ld_parsed *parsed, const char *key, const char *text, size_t length) {
  ld_value *value = ld_parsed_add(parsed, key);
  value->type = LD_STRING;
  value->string = ld_strndup(text, length);
}

void ld_parsed_add_integer(ld_parsed *parsed, const char *key, int64_t number) {
  ld_value *value = ld_parsed_add(parsed, key);
  value->type = LD_INTEGER;
  value->integer = number;
  value->real = (double)number;
}
