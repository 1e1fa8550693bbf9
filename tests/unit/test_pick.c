/* Which sentences a summary is made of. */
#include "metric/pick.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static void check(const char *const *sentences, const float *scores, size_t n, size_t most,
                  const char *wanted) {
  size_t picked[8];
  const size_t n_picked = ld_pick_sentences(sentences, scores, n, most, picked);
  cr_assert_eq(n_picked, strlen(wanted));
  for (size_t i = 0; i < n_picked; i++) cr_assert_eq(picked[i], (size_t)(wanted[i] - '0'), "%zu", i);
}

Test(pick, the_best_in_the_documents_order) {
  static const char *const s[] = {"a b", "c d", "e f", "g h"};
  check(s, (float[]){0.1f, 0.4f, 0.2f, 0.3f}, 4, 2, "13");
  check(s, (float[]){0.1f, 0.4f, 0.2f, 0.3f}, 4, 8, "0123");
  check(s, (float[]){1, 1, 1, 1}, 4, 3, "012");
  check(s, (float[]){NAN, -INFINITY, 1, NAN}, 4, 2, "02");
  check(s, NULL, 0, 3, "");
}

Test(pick, none_with_a_trigram_of_a_better_one) {
  static const char *const s[] = {"the old red lamp", "it is THE  Old Red clock", "the old lamp",
                                  "old red stone", ""};
  check(s, (float[]){4, 3, 2, 1, 9}, 5, 3, "023");
  check(s, (float[]){3, 4, 2, 1, 9}, 5, 3, "123");
}
