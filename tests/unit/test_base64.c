#include "base/base64.h"

#include <criterion/criterion.h>
#include <string.h>

/* RFC 4648, section 10. */
static const struct {
  const char *bytes, *encoded;
} cases[] = {{"", ""},
             {"f", "Zg=="},
             {"fo", "Zm8="},
             {"foo", "Zm9v"},
             {"foob", "Zm9vYg=="},
             {"fooba", "Zm9vYmE="},
             {"foobar", "Zm9vYmFy"},
             {"\xff\xef\xbe", "/+++"}};

Test(base64, both_ways) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    ld_text encoded = {0}, bytes = {0};
    ld_text_puts(&encoded, "");
    ld_text_puts(&bytes, "");
    ld_base64_append(&encoded, cases[i].bytes, strlen(cases[i].bytes));
    cr_assert_str_eq(encoded.bytes, cases[i].encoded);
    cr_assert(ld_base64_decode(&bytes, cases[i].encoded, strlen(cases[i].encoded)));
    cr_assert_str_eq(bytes.bytes, cases[i].bytes);
    ld_text_free(&encoded);
    ld_text_free(&bytes);
  }
}

Test(base64, refuses_what_is_malformed) {
  static const char *const wrong[] = {
      "A", "AA", "AAA", "AA=A", "A===", "AAAA====", "*AAA", "AAAA\n", "AAA\n"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    ld_text bytes = {0};
    cr_assert_not(ld_base64_decode(&bytes, wrong[i], strlen(wrong[i])), "%s", wrong[i]);
    ld_text_free(&bytes);
  }
}
