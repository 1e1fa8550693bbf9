/* Precompiled: what of a text is rewritten, and charsmaps that are damaged. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "base/utf8.h"
#include "base/base64.h"
#include "io/tokenizer/kinds.h"
#include "io/tokenizer/normal.h"
#include "io/tokenizer/normalizer.h"

/* The normalizer of the style "t5". */
static void load_t5(ld_component *out) {
  json_t *root = json_load_file(LD_TESTS_DIR "/golden/tokenizers/t5/tokenizer.json", 0, NULL);
  ld_error err = {0};
  const ld_load load = {
      .name = "t5", .where = "normalizer", .kinds = ld_normalizer_kinds, .type = "", .err = &err};
  cr_assert(!ld_component_load(out, json_object_get(root, "normalizer"), &load), "%s", err.text);
  json_decref(root);
}

/* `head`: bytes of the result that come from the first character, as the library aligns them. */
static const struct {
  const char *text, *normal;
  size_t head;
} cases[] = {
    {"a", "a", 1},
    {"ab\tc", "ab c", 1},
    {"\xef\xac\x81x", "fix", 2}, /* a ligature */
    {"\xc2\xbd"
     "a",
     "1\xe2\x81\x84"
     "2a",
     5}, /* a half */
    {"\x01"
     "ab",
     "ab", 1}, /* what is dropped first does not count */
    {"\x01\x07\xef\xac\x81x", "fix", 2},
    {"\xef\xac\x81\x01x", "fix", 1},     /* what made it longer counts as dropped after it */
    {"\r\nx", " x", 1},                  /* a cluster as a whole */
    {"\xef\xac\x81\xcc\x81x", "fix", 1}, /* a cluster becomes what its shortest prefix does */
    {"e\xcc\x81x", "\xc3\xa9x", 2},
    {"e\xcc\x81\xcc\x81x", "\xc3\xa9x", 2}, /* the shortest prefix stands for the cluster */
    {"e\xcc\x81\xcc\x81\xcc\x81x", "e\xcc\x81\xcc\x81\xcc\x81x", 1}, /* seven bytes: by character */
};

Test(precompiled, rewrites) {
  ld_component part = {0};
  load_t5(&part);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ld_normal normal = {0};
    ld_error err = {0};
    ld_text_puts(&normal.text, cases[i].text);
    normal.head = 1;
    while (ld_utf8_goes_on(cases[i].text[normal.head])) normal.head++;
    cr_assert(!ld_normalize(&part, &normal, &err), "%s", err.text);
    cr_assert_str_eq(normal.text.bytes, cases[i].normal, "%s: %s", cases[i].text, normal.text.bytes);
    cr_assert_eq(normal.head, cases[i].head, "%s: head %zu", cases[i].text, normal.head);
    ld_text_free(&normal.text);
    ld_text_free(&normal.scratch);
  }
  ld_component_free(&part);
}

typedef struct map {
  uint32_t units[128];
  const char *replacements;
  size_t length, size; /* size: of the trie, as the file says */
} map;

/* "A" becomes "x": the root's child for 'A' is unit 0x41, whose value is in unit 0x40. */
static map small_map(void) {
  map m = {.replacements = "x", .length = 2, .size = sizeof m.units};
  m.units['A'] = 1u << 10 | 1u << 8 | 'A';
  m.units['A' ^ 1] = 1u << 31;
  return m;
}

static char *encode(const map *m) {
  ld_text bytes = {0}, out = {0};
  for (size_t i = 0; i < 4; i++) ld_text_append(&bytes, &(char){(char)(m->size >> 8 * i)}, 1);
  for (size_t i = 0; i < sizeof m->units; i++)
    ld_text_append(&bytes, &(char){(char)(m->units[i / 4] >> 8 * (i % 4))}, 1);
  ld_text_append(&bytes, m->replacements, m->length);
  ld_base64_append(&out, bytes.bytes, bytes.length);
  ld_text_free(&bytes);
  return out.bytes;
}

/* Loads the map and rewrites "AB"; the first error. */
static int rewrite(const char *encoded, ld_normal *normal, ld_error *err) {
  ld_component part = {0};
  json_t *json = json_pack("{s:s, s:s}", "type", "Precompiled", "precompiled_charsmap", encoded);
  const ld_load load = {
      .name = "some.json", .where = "normalizer", .kinds = ld_normalizer_kinds, .type = "", .err = err};
  int rc = ld_component_load(&part, json, &load);
  ld_text_clear(&normal->text);
  ld_text_puts(&normal->text, "AB");
  if (!rc) rc = ld_normalize(&part, normal, err);
  ld_component_free(&part);
  json_decref(json);
  return rc;
}

static void expect(map m, const char *wanted) {
  ld_normal normal = {0};
  ld_error err = {0};
  char *encoded = encode(&m);
  const int rc = rewrite(encoded, &normal, &err);
  if (wanted) {
    cr_assert(!rc, "%s", err.text);
    cr_assert_str_eq(normal.text.bytes, wanted);
  } else {
    cr_assert(rc == LD_EFORMAT && strstr(err.text, "precompiled_charsmap") && strstr(err.text, "damaged"),
              "%s", err.text);
  }
  free(encoded);
  ld_text_free(&normal.text);
  ld_text_free(&normal.scratch);
}

Test(precompiled, damaged_maps) {
  expect(small_map(), "xB");
  map m = small_map();
  m.units['A' ^ 1] = 2; /* the end of the replacements: empty */
  expect(m, "B");
  m.units['A' ^ 1] = 3;
  expect(m, NULL);
  m = small_map();
  m.units[0] = 1u << 30;
  expect(m, NULL);
  m = small_map();
  m.units['A'] |= 1u << 30;
  expect(m, NULL);
  m = small_map();
  m.replacements = "\xc3\xa9";
  m.length = 3;
  m.units['A' ^ 1] = 1; /* within a character */
  expect(m, NULL);
  m = small_map();
  m.replacements = "\xff";
  expect(m, NULL);
  m = small_map();
  m.size = 0;
  expect(m, NULL);
  m.size = sizeof m.units + 5;
  expect(m, NULL);
  m.size = UINT32_MAX;
  expect(m, NULL);
  m = small_map();
  m.length = 1; /* the last replacement may lack its NUL */
  expect(m, "xB");
}

Test(precompiled, no_map) {
  static const char *const wrong[] = {"", "A", "AAAA", "AAAAAA=="};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    ld_normal normal = {0};
    ld_error err = {0};
    cr_assert_eq(rewrite(wrong[i], &normal, &err), LD_EFORMAT, "%s", wrong[i]);
    cr_assert(strstr(err.text, "some.json") && strstr(err.text, "precompiled_charsmap"), "%s", err.text);
    ld_text_free(&normal.text);
  }
}
