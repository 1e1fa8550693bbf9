#include <criterion/criterion.h>
#include <string.h>

#include "metric/words.h"

static void add_text(ld_words *words, const char *text) {
  ld_words_split(words, text, strlen(text));
  ld_words_end_text(words);
}

Test(words, equal_words_and_ngrams_have_equal_numbers) {
  ld_words words = {0};
  add_text(&words, "the cat sat");
  add_text(&words, "");
  add_text(&words, "the the cat");
  ld_words_number(&words);
  cr_assert_eq(words.n_ids, 3);
  const ld_numbers a = ld_words_text(&words, 0), b = ld_words_text(&words, 2);
  cr_assert(a.n == 3 && ld_words_text(&words, 1).n == 0 && b.n == 3);
  cr_assert(a.at[0] == b.at[0] && b.at[0] == b.at[1] && a.at[1] == b.at[2] && a.at[0] != a.at[1]);
  ld_ngrams pairs = ld_ngrams_of(&words, 2), long_ones = ld_ngrams_of(&words, 4);
  cr_assert_eq(pairs.n_ids, 3, "none crosses the end of a text");
  cr_assert_eq(ld_ngrams_text(&pairs, 0).at[0], ld_ngrams_text(&pairs, 2).at[1]);
  cr_assert(long_ones.n_ids == 0 && ld_ngrams_text(&long_ones, 0).n == 0);
  ld_ngrams_free(&pairs);
  ld_ngrams_free(&long_ones);
  ld_words_free(&words);
}

Test(words, shared_ngrams_are_clipped_by_the_text_that_has_most) {
  ld_words words = {0};
  add_text(&words, "a a a a b c");
  add_text(&words, "a b b");
  add_text(&words, "a a");
  ld_words_number(&words);
  ld_ngrams ones = ld_ngrams_of(&words, 1);
  cr_assert_eq(ld_ngrams_shared(&ones, 0, 1, 2), 2);
  cr_assert_eq(ld_ngrams_shared(&ones, 0, 2, 3), 2);
  cr_assert_eq(ld_ngrams_shared(&ones, 0, 1, 3), 3, "two a by the last text, b by the one before");
  cr_assert_eq(ld_ngrams_shared(&ones, 0, 3, 3), 0);
  ld_ngrams_free(&ones);
  ld_words_free(&words);
}

Test(words, split_is_pythons) {
  static const char text[] = "a\x1c"
                             "b\u00a0\u3000c\u200bd\xc2\x85"
                             "e\u1680\xa0\x85 f";
  ld_words words = {0};
  add_text(&words, text);
  cr_assert_eq(words.n, 6, "U+200B is no space, nor is a byte that is no character");
  add_text(&words, " \t\n\v\f\r\x1c\x1d\x1e\x1f\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
                   "\u2008\u2009\u200a"
                   "\u2028\u2029\u202f\u205f\u3000");
  cr_assert_eq(words.n, 6, "white space is no word");
  ld_words_free(&words);
}
