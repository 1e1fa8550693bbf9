#include <criterion/criterion.h>
#include <stdio.h>

#include "base/tally.h"

static void expect_list(const ld_tally *tally, const char *quote, const char *want) {
  ld_text text = {0};
  ld_tally_list(tally, quote, &text);
  cr_assert_str_eq(text.bytes, want);
  ld_text_free(&text);
}

Test(tally, counts_by_name_in_the_order_of_their_coming) {
  ld_tally tally = {0}, joined = {0};
  ld_text bytes = {0};
  ld_tally_add(&tally, "b", 1);
  ld_tally_add(&tally, "a", 5);
  ld_tally_add(&tally, "b", 1);
  expect_list(&tally, "\"", "\"b\" (2), \"a\" (5)");
  ld_tally_put(&tally, &bytes);
  ld_tally_put(&tally, &bytes);
  const char *at = bytes.bytes, *end = at + bytes.length;
  cr_assert(ld_tally_take(&at, end, &joined) && ld_tally_take(&at, end, &joined) && at == end);
  expect_list(&joined, "", "b (4), a (10)");
  for (size_t cut = 0; cut < bytes.length / 2; cut++) {
    at = bytes.bytes;
    cr_assert_not(ld_tally_take(&at, at + cut, &joined), "%zu bytes", cut);
  }
  ld_tally_free(&tally);
  ld_tally_free(&joined);
  ld_text_free(&bytes);
}

Test(tally, many_names_are_counted_together) {
  ld_tally tally = {0};
  char name[16];
  for (int i = 0; i < LD_MOST_TALLIED + 7; i++) {
    snprintf(name, sizeof name, "%d", i);
    ld_tally_add(&tally, name, 2);
  }
  cr_assert(tally.n == LD_MOST_TALLIED && tally.others == 14);
  ld_tally_free(&tally);
}
