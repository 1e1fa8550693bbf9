#include "base/value.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

const char *ld_value_type_name(ld_value_type type) {
  static const char *const names[] = {"null",     "true or false", "an integer", "a number",
                                      "a string", "a list",        "a map"};
  return (size_t)type < sizeof names / sizeof *names ? names[type] : "an unknown value";
}

const ld_value *ld_value_member(const ld_value *map, const char *key) {
  if (!map || map->type != LD_MAP) return NULL;
  for (size_t i = 0; i < map->n_items; i++)
    if (strcmp(map->items[i].key, key) == 0) return &map->items[i];
  return NULL;
}

const ld_value *ld_value_get(const ld_value *map, const char *key) {
  const ld_value *member = ld_value_member(map, key);
  return member && member->type != LD_NULL ? member : NULL;
}

static int wrong_type(const ld_value *found, const char *key, ld_value_type expected, ld_error *err) {
  return ld_fail(err, LD_EFORMAT, "%s: expected %s, found %s", key, ld_value_type_name(expected),
                 ld_value_type_name(found->type));
}

int ld_value_int(const ld_value *map, const char *key, int64_t fallback, int64_t *out, ld_error *err) {
  const ld_value *found = ld_value_get(map, key);
  *out = fallback;
  if (!found) return 0;
  if (found->type == LD_INTEGER) {
    *out = found->integer;
    return 0;
  }
  /* 2^53: beyond it a double no longer identifies one integer. */
  if (found->type != LD_REAL || !(found->real >= -0x1p53 && found->real <= 0x1p53))
    return wrong_type(found, key, LD_INTEGER, err);
  if ((double)(int64_t)found->real != found->real) return wrong_type(found, key, LD_INTEGER, err);
  *out = (int64_t)found->real;
  return 0;
}

int ld_value_real(const ld_value *map, const char *key, double fallback, double *out, ld_error *err) {
  const ld_value *found = ld_value_get(map, key);
  *out = fallback;
  if (!found) return 0;
  if (found->type != LD_REAL && found->type != LD_INTEGER) return wrong_type(found, key, LD_REAL, err);
  *out = found->real;
  return 0;
}

int ld_value_bool(const ld_value *map, const char *key, bool fallback, bool *out, ld_error *err) {
  const ld_value *found = ld_value_get(map, key);
  *out = fallback;
  if (!found) return 0;
  if (found->type != LD_BOOLEAN) return wrong_type(found, key, LD_BOOLEAN, err);
  *out = found->boolean;
  return 0;
}

int ld_value_string(const ld_value *map, const char *key, const char *fallback, const char **out,
                    ld_error *err) {
  const ld_value *found = ld_value_get(map, key);
  *out = fallback;
  if (!found) return 0;
  if (found->type != LD_STRING) return wrong_type(found, key, LD_STRING, err);
  *out = found->string;
  return 0;
}

ld_value *ld_value_add(ld_value *parent, char *key, size_t *room) {
  parent->items = ld_grow(parent->items, parent->n_items, room, sizeof *parent->items);
  ld_value *item = &parent->items[parent->n_items++];
  memset(item, 0, sizeof *item);
  item->key = key;
  return item;
}

void ld_value_clear(ld_value *value) {
  for (size_t i = 0; i < value->n_items; i++) {
    ld_value_clear(&value->items[i]);
    free(value->items[i].key);
  }
  free(value->items);
  free(value->string);
  value->items = NULL;
  value->n_items = 0;
  value->string = NULL;
  value->type = LD_NULL;
}

void ld_value_free(ld_value *value) {
  if (!value) return;
  ld_value_clear(value);
  free(value->key);
  free(value);
}
