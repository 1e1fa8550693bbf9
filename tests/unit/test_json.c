#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/json.h"

static ld_value *parse(const char *text, ld_error *err) {
  return ld_json_parse(text, strlen(text), "t.json", err);
}

static void refused(const char *text, const char *why) {
  ld_error err = {0};
  cr_assert_null(parse(text, &err), "%s", text);
  cr_assert_eq(err.code, LD_EFORMAT);
  cr_assert(strstr(err.text, "t.json") && strstr(err.text, why), "%s: %s", text, err.text);
}

Test(json, keeps_order_and_types) {
  ld_error err = {0};
  ld_value *root = parse(" {\"z\": [1, -2.5, \"a\\u00e9\"], \"a\": {}, \"m\": false} ", &err);
  cr_assert(root, "%s", err.text);
  cr_assert_eq(root->n_items, 3);
  cr_assert_str_eq(root->items[0].key, "z");
  cr_assert_str_eq(root->items[1].key, "a");
  const ld_value *list = ld_value_get(root, "z");
  cr_assert(list->type == LD_LIST && list->n_items == 3);
  cr_assert(list->items[0].type == LD_INTEGER && list->items[0].integer == 1);
  cr_assert(list->items[1].type == LD_REAL && list->items[1].real == -2.5);
  cr_assert_str_eq(list->items[2].string, "a\xc3\xa9");
  ld_value_free(root);
}

Test(json, refuses_what_is_no_json) {
  refused("", "line 1");
  refused("{\"a\": 1,}", "line 1");
  refused("{\"a\": 1,\n \"a\": 2}", "line 2");
  refused("{\"a\": NaN}", "line 1");
  refused("\"\xff\"", "line 1");
  refused("\"\\u0000\"", "line 1");
  refused("{} {}", "line 1");
  refused("[1e999]", "overflow");
}

Test(json, refuses_deep_nesting) {
  char text[2 * 300 + 1] = "";
  for (int i = 0; i < 300; i++) text[i] = '[', text[300 + i] = ']';
  refused(text, "nests deeper than 256");
}

/* A document that would take far more memory than its length suggests is refused before it is read. */
Test(json, refuses_more_values_than_its_length_allows) {
  static const char *const units[] = {"0,", "[],", "{},", "\"\","};
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    const size_t n = 4000000, unit = strlen(units[i]), length = n * unit + 2;
    char *text = ld_alloc(length + 1, 1);
    ld_error err = {0};
    text[0] = '[';
    for (size_t k = 0; k < n; k++) memcpy(text + 1 + k * unit, units[i], unit);
    memcpy(text + n * unit, "]", 1);
    cr_assert_null(ld_json_parse(text, length - 1, "t.json", &err));
    cr_assert_eq(err.code, LD_EFORMAT);
    cr_assert(strstr(err.text, "t.json: too many values for a document of"), "%s", err.text);
    free(text);
  }
}

/* For strings only the length counts. */
Test(json, takes_a_long_text) {
  const size_t length = 40 << 20;
  char *text = ld_alloc(length, 1);
  ld_error err = {0};
  memset(text, ',', length);
  text[0] = text[length - 1] = '"';
  ld_value *value = ld_json_parse(text, length, "t.json", &err);
  cr_assert(value && strlen(value->string) == length - 2, "%s", err.text);
  ld_value_free(value);
  free(text);
}

Test(json, huge_integers_become_reals_beside_integers) {
  ld_error err = {0};
  ld_value *root =
      parse("{\"model_max_length\": 1000000000000000019884624838656, \"n\": 12, \"f\": 0.5}", &err);
  cr_assert(root, "%s", err.text);
  cr_assert_eq(ld_value_get(root, "model_max_length")->type, LD_REAL);
  cr_assert_eq(ld_value_get(root, "n")->type, LD_INTEGER);
  cr_assert_eq(ld_value_get(root, "n")->integer, 12);
  cr_assert_eq(ld_value_get(root, "f")->real, 0.5);
  ld_value_free(root);
}

Test(json, strings_survive_quoting) {
  static const char *const cases[] = {
      "", "plain", "a\"b\\c", "tab\tnl\nbell\x07", "h\xc3\xa9 \xf0\x9f\x98\x80", "/"};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ld_text out = {0};
    ld_error err = {0};
    ld_json_quote(&out, cases[i]);
    ld_value *back = ld_json_parse(out.bytes, out.length, "quoted", &err);
    cr_assert(back, "%s: %s", out.bytes, err.text);
    cr_assert_str_eq(back->string, cases[i]);
    ld_value_free(back);
    ld_text_free(&out);
  }
}

Test(json, broken_utf8_is_replaced) {
  ld_text out = {0};
  ld_json_quote(&out, "a\xff\xc3");
  cr_assert_str_eq(out.bytes, "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
  ld_text_free(&out);
}

Test(json, numbers_survive_printing) {
  static const double cases[] = {
      0, 1, -1, 0.1, 2e-4, 1.0 / 3, 5e-324, 1.7976931348623157e308, 1234567890123456.5};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ld_text out = {0};
    ld_json_number(&out, cases[i]);
    cr_assert_eq(strtod(out.bytes, NULL), cases[i], "%s", out.bytes);
    ld_text_free(&out);
  }
  ld_text out = {0};
  ld_json_number(&out, 0.1);
  ld_json_number(&out, NAN);
  ld_json_number(&out, -INFINITY);
  cr_assert_str_eq(out.bytes, "0.1nullnull");
  ld_text_free(&out);
}
