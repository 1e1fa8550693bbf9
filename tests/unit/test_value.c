#include <criterion/criterion.h>
#include <string.h>

#include "base/value.h"
#include "io/json.h"

static ld_value *tree(const char *text) {
  ld_error err = {0};
  ld_value *value = ld_json_parse(text, strlen(text), "test", &err);
  cr_assert(value, "%s", err.text);
  return value;
}

Test(value, getters_read_what_is_there) {
  ld_value *map = tree("{\"i\": 3, \"whole\": 8.0, \"r\": 0.5, \"b\": true, \"s\": \"text\", \"n\": null}");
  int64_t i;
  double r;
  bool b;
  const char *s;
  cr_assert(!ld_value_int(map, "i", 0, &i, NULL) && i == 3);
  cr_assert(!ld_value_int(map, "whole", 0, &i, NULL) && i == 8);
  cr_assert(!ld_value_real(map, "r", 0, &r, NULL) && r == 0.5);
  cr_assert(!ld_value_real(map, "i", 0, &r, NULL) && r == 3);
  cr_assert(!ld_value_bool(map, "b", false, &b, NULL) && b);
  cr_assert(!ld_value_string(map, "s", "", &s, NULL) && strcmp(s, "text") == 0);
  ld_value_free(map);
}

Test(value, missing_and_null_give_the_default) {
  ld_value *map = tree("{\"n\": null}");
  int64_t i;
  const char *s;
  cr_assert(!ld_value_int(map, "n", 7, &i, NULL) && i == 7);
  cr_assert(!ld_value_int(map, "absent", 7, &i, NULL) && i == 7);
  cr_assert(!ld_value_int(NULL, "absent", 7, &i, NULL) && i == 7);
  cr_assert(!ld_value_string(map, "n", NULL, &s, NULL) && !s);
  cr_assert_null(ld_value_get(map, "n"));
  ld_value_free(map);
}

Test(value, a_wrong_type_names_the_key) {
  ld_value *map = tree("{\"hidden_size\": \"64\", \"half\": 1.5, \"big\": 1e300}");
  ld_error err = {0};
  int64_t i;
  bool b;
  cr_assert_eq(ld_value_int(map, "hidden_size", 0, &i, &err), LD_EFORMAT);
  cr_assert_str_eq(err.text, "hidden_size: expected an integer, found a string");
  cr_assert_eq(ld_value_int(map, "half", 0, &i, &err), LD_EFORMAT);
  cr_assert_eq(ld_value_int(map, "big", 0, &i, &err), LD_EFORMAT);
  cr_assert_eq(ld_value_bool(map, "half", false, &b, &err), LD_EFORMAT);
  ld_value_free(map);
}
