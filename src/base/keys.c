#include "base/keys.h"

#include <string.h>

#include "base/text.h"

static bool holds_numbers(const ld_value *list) {
  for (size_t i = 0; i < list->n_items; i++)
    if (list->items[i].type != LD_INTEGER && list->items[i].type != LD_REAL) return false;
  return true;
}

static bool holds_only(const ld_value *list, ld_value_type type) {
  for (size_t i = 0; i < list->n_items; i++)
    if (list->items[i].type != type) return false;
  return true;
}

static bool is_taken(unsigned takes, const ld_value *value) {
  switch (value->type) {
  case LD_NULL:
    return takes & LD_TAKES_NULL;
  case LD_BOOLEAN:
    return takes & LD_TAKES_FLAG;
  case LD_INTEGER:
  case LD_REAL:
    if (!(takes & (value->type == LD_INTEGER ? LD_TAKES_INTEGER : LD_TAKES_REAL))) return false;
    return !(takes & LD_TAKES_UP_TO_1) || (value->real >= 0 && value->real <= 1);
  case LD_STRING:
    return takes & LD_TAKES_STRING;
  case LD_LIST:
    return (takes & LD_TAKES_INTEGERS && holds_only(value, LD_INTEGER)) ||
           (takes & LD_TAKES_STRINGS && holds_only(value, LD_STRING)) ||
           (takes & LD_TAKES_LISTS && holds_only(value, LD_LIST)) ||
           (takes & LD_TAKES_NUMBERS && holds_numbers(value));
  case LD_MAP:
    return takes & LD_TAKES_MAP;
  }
  return false;
}

/* "an integer or null" */
static void describe(unsigned takes, ld_text *out) {
  static const struct {
    unsigned bits;
    const char *name;
  } names[] = {{LD_TAKES_SHARE, "a number from 0 to 1"},
               {LD_TAKES_NUMBER, "a number"},
               {LD_TAKES_INTEGER, "an integer"},
               {LD_TAKES_REAL, "a number with a decimal point"},
               {LD_TAKES_FLAG, "true or false"},
               {LD_TAKES_STRING, "a string"},
               {LD_TAKES_INTEGERS, "a list of integers"},
               {LD_TAKES_STRINGS, "a list of strings"},
               {LD_TAKES_NUMBERS, "a list of numbers"},
               {LD_TAKES_LISTS, "a list of lists"},
               {LD_TAKES_MAP, "a map"},
               {LD_TAKES_NULL, "null"}};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if ((takes & names[i].bits) != names[i].bits) continue;
    ld_text_printf(out, "%s%s", out->length ? " or " : "", names[i].name);
    takes &= ~names[i].bits;
  }
}

static int check_value(const ld_value *map, const char *name, unsigned takes, ld_error *err) {
  const ld_value *value = name ? ld_value_member(map, name) : NULL;
  if (!value || is_taken(takes, value)) return 0;
  ld_text expected = {0};
  describe(takes, &expected);
  const bool number = value->type == LD_INTEGER || value->type == LD_REAL;
  const int rc =
      number ? ld_fail(err, LD_EFORMAT, "%s: expected %s, found %.9g", name, expected.bytes, value->real)
             : ld_fail(err, LD_EFORMAT, "%s: expected %s, found %s", name, expected.bytes,
                       ld_value_type_name(value->type));
  ld_text_free(&expected);
  return rc;
}

int ld_keys_check(const ld_value *map, const ld_key *keys, ld_error *err) {
  int rc = 0;
  for (; keys->name && !rc; keys++) {
    rc = check_value(map, keys->name, keys->takes, err);
    if (!rc) rc = check_value(map, keys->alias, keys->takes, err);
  }
  return rc;
}

bool ld_keys_have(const ld_key *keys, const char *name) {
  for (; keys->name; keys++)
    if (!strcmp(keys->name, name)) return true;
  return false;
}
