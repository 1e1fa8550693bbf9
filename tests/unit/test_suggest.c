#include <criterion/criterion.h>
#include <string.h>

#include "base/suggest.h"

Test(suggest, distances) {
  cr_assert_eq(ld_edit_distance("", ""), 0);
  cr_assert_eq(ld_edit_distance("abc", ""), 3);
  cr_assert_eq(ld_edit_distance("", "abc"), 3);
  cr_assert_eq(ld_edit_distance("rank", "rank"), 0);
  cr_assert_eq(ld_edit_distance("rnak", "rank"), 1, "two letters swapped");
  cr_assert_eq(ld_edit_distance("q_prj", "q_proj"), 1);
  cr_assert_eq(ld_edit_distance("kitten", "sitting"), 3);
  cr_assert_eq(ld_edit_distance("batch_size", "batch-size"), 0);
  cr_assert_eq(ld_edit_distance("ca", "abc"), 3, "a swapped pair is not edited again");
}

Test(suggest, long_words) {
  char long_word[200] = {0};
  memset(long_word, 'a', sizeof long_word - 1);
  cr_assert_eq(ld_edit_distance(long_word, "a"), sizeof long_word - 1);
  const char *names[] = {long_word, "abc"};
  cr_assert_null(ld_nearest("xyz", names, 2));
  cr_assert_str_eq(ld_suggest("abd", names, 2, "--").text, " (did you mean '--abc'?)");
}

Test(suggest, only_what_is_near) {
  static const char *const names[] = {"rank", "lr", "batch-size", "micro-batch", "seed"};
  cr_assert_str_eq(ld_nearest("rnak", names, 5), "rank");
  cr_assert_str_eq(ld_nearest("ranc", names, 5), "rank");
  cr_assert_str_eq(ld_nearest("bacth_size", names, 5), "batch-size");
  cr_assert_str_eq(ld_nearest("batchsize", names, 5), "batch-size");
  cr_assert_null(ld_nearest("fish", names, 5));
  cr_assert_null(ld_nearest("x", names, 5));
  cr_assert_null(ld_nearest("", names, 5));
  cr_assert_null(ld_nearest("rank", names, 0));
  cr_assert_str_eq(ld_suggest("fish", names, 5, "").text, "");
}
