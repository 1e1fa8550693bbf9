#include <criterion/criterion.h>
#include <string.h>

#include "base/error.h"

/* A path of 5,000 characters of two bytes each, which `shift` moves relative to the cut. */
static void fill_path(char *path, size_t room, int shift) {
  size_t n = 0;
  while (shift-- > 0) path[n++] = '/';
  for (; n + 3 < room; n += 2) memcpy(path + n, "\u00e9", 2);
  path[n] = 0;
}

static void is_cut(const ld_error *err, const char *end) {
  const size_t length = strlen(err->text), tail = strlen(end);
  cr_assert(length > sizeof err->text - 10 && !strncmp(err->text, "model", 5));
  cr_assert_str_eq(err->text + length - tail, end);
  const char *gap = strstr(err->text, " ... ");
  cr_assert(gap);
  const unsigned char before = (unsigned char)gap[-1], after = (unsigned char)gap[5];
  cr_assert((before == ' ' || (before & 0xc0) == 0x80) && after == 0xc3, "a character is cut");
}

Test(error, a_long_path_keeps_the_cause) {
  static char path[10000];
  for (int shift = 0; shift < 2; shift++) {
    ld_error err = {0};
    fill_path(path, sizeof path, shift);
    cr_assert_eq(ld_fail(&err, LD_EFILE, "model%s/config.json: File name too long", path), LD_EFILE);
    is_cut(&err, "/config.json: File name too long");
    ld_fail(&err, LD_EFORMAT, "dtype: expected a string");
    cr_assert_eq(ld_fail_prefix(&err, LD_EFILE, "model%s/config.json", path), LD_EFORMAT);
    is_cut(&err, "/config.json: dtype: expected a string");
  }
}

Test(error, what_just_fits_stays_whole) {
  ld_error err;
  char text[sizeof err.text];
  memset(text, 'x', sizeof text - 1);
  text[sizeof text - 1] = 0;
  ld_fail(&err, LD_EFILE, "%s", text);
  cr_assert_str_eq(err.text, text);
}

Test(error, text_from_a_file_stays_on_one_line) {
  ld_error err;
  ld_fail(&err, LD_EFORMAT, "data.jsonl: no key \"%s\"", "to\nken\t\x1b[2J\xff\u202e");
  cr_assert_str_eq(err.text, "data.jsonl: no key \"to\\nken\\t\\x1b[2J\\xff\\u202e\"");
  ld_fail_prefix(&err, LD_EFORMAT, "a\rb");
  cr_assert_str_eq(err.text, "a\\x0db: data.jsonl: no key \"to\\nken\\t\\x1b[2J\\xff\\u202e\"");
}
