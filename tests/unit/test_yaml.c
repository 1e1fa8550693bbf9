#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "io/yaml.h"

static ld_value *parse(const char *text) {
  ld_error err = {0};
  ld_value *root = ld_yaml_parse(text, strlen(text), "t.yaml", &err);
  cr_assert(root, "%s: %s", text, err.text);
  return root;
}

static void refused(const char *text, const char *why) {
  ld_error err = {0};
  cr_assert_null(ld_yaml_parse(text, strlen(text), "t.yaml", &err), "%s", text);
  cr_assert_eq(err.code, LD_EFORMAT);
  cr_assert(strstr(err.text, "t.yaml: line ") && strstr(err.text, why), "%s: %s", text, err.text);
}

typedef struct scalar_case {
  const char *text;
  ld_value_type type;
  double number;
} scalar_case;

Test(yaml, plain_scalars_have_the_types_of_the_core_schema) {
  static const scalar_case cases[] = {{"null", LD_NULL, 0},        {"~", LD_NULL, 0},
                                      {"true", LD_BOOLEAN, 1},     {"False", LD_BOOLEAN, 0},
                                      {"yes", LD_STRING, 0},       {"12", LD_INTEGER, 12},
                                      {"-3", LD_INTEGER, -3},      {"+4", LD_INTEGER, 4},
                                      {"0o17", LD_INTEGER, 15},    {"0xfF", LD_INTEGER, 255},
                                      {"0", LD_INTEGER, 0},        {"2e-4", LD_REAL, 2e-4},
                                      {"1.", LD_REAL, 1},          {".5", LD_REAL, .5},
                                      {"-1.5E+3", LD_REAL, -1500}, {".", LD_STRING, 0},
                                      {"1e", LD_STRING, 0},        {"-", LD_LIST, 0},
                                      {"0x", LD_STRING, 0},        {"0o8", LD_STRING, 0},
                                      {"1_000", LD_STRING, 0},     {"-.inf", LD_REAL, -INFINITY},
                                      {".Inf", LD_REAL, INFINITY}, {"inf", LD_STRING, 0},
                                      {"'12'", LD_STRING, 0},      {"\"true\"", LD_STRING, 0},
                                      {"''", LD_STRING, 0},        {"q_proj", LD_STRING, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ld_value *root = parse(cases[i].text);
    cr_assert_eq(root->type, cases[i].type, "%s is %s", cases[i].text, ld_value_type_name(root->type));
    if (root->type == LD_INTEGER || root->type == LD_REAL)
      cr_assert_eq(root->real, cases[i].number, "%s", cases[i].text);
    if (root->type == LD_BOOLEAN) cr_assert_eq(root->boolean, cases[i].number != 0);
    ld_value_free(root);
  }
}

Test(yaml, leading_zeros_are_errors_that_say_why) {
  static const char *const texts[] = {"007", "-010", "00"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    ld_error err = {0};
    cr_assert_null(ld_yaml_parse(texts[i], strlen(texts[i]), "t.yaml", &err), "%s", texts[i]);
    cr_assert_not_null(strstr(err.text, "leading zero"), "%s", err.text);
  }
}

Test(yaml, nan_is_a_real) {
  ld_value *root = parse(".nan");
  cr_assert(root->type == LD_REAL && isnan(root->real));
  ld_value_free(root);
}

Test(yaml, maps_and_lists_in_order) {
  ld_value *root = parse(
      "lr: 2e-4 # a comment\ntarget: [q_proj, v_proj]\nnested:\n  - a: 1\n  - |\n    block\nlast: ''\n");
  cr_assert_eq(root->n_items, 4);
  cr_assert_str_eq(root->items[1].key, "target");
  cr_assert_str_eq(root->items[1].items[1].string, "v_proj");
  const ld_value *nested = ld_value_get(root, "nested");
  cr_assert_eq(ld_value_get(&nested->items[0], "a")->integer, 1);
  cr_assert_str_eq(nested->items[1].string, "block\n");
  cr_assert_str_eq(ld_value_get(root, "last")->string, "");
  ld_value_free(root);
}

Test(yaml, an_empty_document_is_null) {
  static const char *const cases[] = {"", "# only a comment\n", "---\n...\n"};
  for (size_t i = 0; i < 3; i++) {
    ld_value *root = parse(cases[i]);
    cr_assert_eq(root->type, LD_NULL);
    ld_value_free(root);
  }
}

Test(yaml, refuses_with_the_line) {
  refused("a: 1\nb: &x 2\n", "line 2: anchors");
  refused("a: *x\n", "line 1: aliases");
  refused("a: !!str 1\n", "tags");
  refused("a: 1\nb: 2\na: 3\n", "line 3: duplicate key: a");
  refused("? [1]\n: 2\n", "a key must be a word");
  refused("a: 1\n---\nb: 2\n", "second document");
  refused("a: 99999999999999999999\n", "does not fit 64 bits");
  refused("a: \"x\\0y\"\n", "NUL");
  refused("a: [1\nb: 2\n", "line 2");
  refused("a: \xff\n", "line 1");
  refused("\tb: 1\n", "line 1");
}

/* The time for many keys grows linearly. */
Test(yaml, many_keys) {
  ld_text text = {0};
  ld_error err = {0};
  for (int i = 0; i < 100000; i++) ld_text_printf(&text, "%x: 1\n", i);
  ld_value *root = ld_yaml_parse(text.bytes, text.length, "t.yaml", &err);
  cr_assert(root && root->n_items == 100000, "%s", err.text);
  ld_value_free(root);
  ld_text_puts(&text, "ff: 2\n");
  cr_assert_null(ld_yaml_parse(text.bytes, text.length, "t.yaml", &err));
  cr_assert(strstr(err.text, "t.yaml: line 100001: "), "%s", err.text);
  while (text.length <= 1 << 20) ld_text_puts(&text, "# a comment\n");
  cr_assert_null(ld_yaml_parse(text.bytes, text.length, "t.yaml", &err));
  cr_assert(strstr(err.text, "t.yaml: larger than 1 MiB"), "%s", err.text);
  ld_text_free(&text);
}

Test(yaml, refuses_deep_nesting) {
  char text[301] = "";
  memset(text, '[', 300);
  refused(text, "nested too deeply");
}

Test(yaml, values_know_their_line) {
  static const char text[] = "a: 1\n# a comment\nb:\n  c: [1,\n    2]\n  d: x\n";
  ld_value *root = ld_yaml_parse(text, strlen(text), "t.yaml", NULL);
  cr_assert(root);
  cr_assert_eq(root->items[0].line, 1);
  cr_assert_eq(root->items[1].line, 3);
  cr_assert_eq(root->items[1].items[0].line, 4);
  cr_assert_eq(root->items[1].items[1].line, 6);
  ld_value_free(root);
}
