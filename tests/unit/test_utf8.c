#include <criterion/criterion.h>
#include <string.h>

#include "base/utf8.h"

Test(utf8, every_code_point_there_and_back) {
  for (uint32_t code = 0; code < 0x110000; code++) {
    char bytes[4];
    const size_t n = ld_utf8_encode(code, bytes);
    const bool surrogate = code >= 0xd800 && code < 0xe000;
    cr_assert_eq(ld_utf8_valid(bytes, n), !surrogate, "%x", code);
    if (surrogate) continue;
    uint32_t read;
    size_t next = 0, start;
    cr_assert(ld_utf8_read(bytes, n, &next, &read) && read == code && next == n, "%x", code);
    cr_assert(ld_utf8_before(bytes, n, &start) == code && start == 0, "%x", code);
    cr_assert_not(ld_utf8_valid(bytes, n - (n > 1)) && n > 1, "%x", code);
  }
  char bytes[4];
  cr_assert_eq(ld_utf8_encode(0x110000, bytes), 0);
}

Test(utf8, bytes_that_are_no_character) {
  static const char *const bad[] = {
      "\x80",         "\xc0\xaf",         "\xc1\xbf",         "\xe0\x9f\xbf",
      "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
      "\xff",         "\xe2\x82",         "\xe2(\xa1"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    uint32_t code;
    size_t next = 0;
    cr_assert_eq(ld_utf8_good(bad[i], strlen(bad[i])), 0, "%zu", i);
    cr_assert_not(ld_utf8_read(bad[i], strlen(bad[i]), &next, &code), "%zu", i);
    cr_assert(next == 1 && code == (unsigned char)*bad[i], "%zu", i);
  }
}

Test(utf8, good_to_a_whole_character) {
  cr_assert_eq(ld_utf8_good("a\xc3\xa4\xe2\x82", 5), 3);
  size_t bad;
  bool cut;
  cr_assert_eq(ld_utf8_check("\xe2\x82", 2, &bad, &cut), 0);
  cr_assert(bad == 2 && cut);
  cr_assert_eq(ld_utf8_check("\xe2(", 2, &bad, &cut), 0);
  cr_assert(bad == 1 && !cut);
}
