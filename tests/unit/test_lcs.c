#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "metric/lcs.h"

enum { MOST = 300 };

/* As rouge_score does it: the whole table, then a walk back. Returns the length. */
static size_t mark_by_table(ld_numbers a, ld_numbers b, bool *marks) {
  static size_t t[MOST + 1][MOST + 1];
  for (size_t i = 1; i <= a.n; i++)
    for (size_t j = 1; j <= b.n; j++)
      t[i][j] = a.at[i - 1] == b.at[j - 1]  ? t[i - 1][j - 1] + 1
                : t[i - 1][j] > t[i][j - 1] ? t[i - 1][j]
                                            : t[i][j - 1];
  for (size_t i = a.n, j = b.n; i && j;) {
    if (a.at[i - 1] == b.at[j - 1])
      marks[--i] = true, j--;
    else if (t[i][j - 1] > t[i - 1][j])
      j--;
    else
      i--;
  }
  return t[a.n][b.n];
}

Test(lcs, is_what_the_table_gives) {
  for (uint32_t trial = 0; trial < 400; trial++) {
    uint32_t at[2 * MOST], draw = trial * 2654435761u;
    for (size_t i = 0; i < 2 * MOST; i++) {
      draw = draw * 1664525u + 1013904223u;
      at[i] = (draw >> 16) % (trial % 20 + 1);
    }
    const size_t border[] = {0, 1, 63, 64, 65, 127, 128, 129, MOST};
    const ld_numbers a = {at, border[trial % 9]},
                     b = {at + MOST, trial % 2 ? border[trial / 9 % 9] : trial % MOST};
    bool want[MOST] = {0}, marks[MOST] = {0};
    const size_t length = mark_by_table(a, b, want);
    ld_lcs_mark(a, b, marks);
    cr_assert_eq(ld_lcs_length(a, b), length);
    cr_assert_eq(memcmp(marks, want, sizeof want), 0, "%zu words and %zu", a.n, b.n);
  }
}

Test(lcs, marks_are_added) {
  const uint32_t at[] = {1, 2, 3};
  bool marks[3] = {false, true, false};
  ld_lcs_mark((ld_numbers){at, 3}, (ld_numbers){at, 1}, marks);
  cr_assert(marks[0] && marks[1] && !marks[2]);
}

Test(lcs, long_texts_need_little_memory) {
  const size_t n = 30000;
  uint32_t *at = ld_alloc(n, sizeof *at);
  bool *marks = ld_alloc(n, sizeof *marks);
  for (size_t i = 0; i < n; i++) at[i] = (uint32_t)(i % 700);
  ld_lcs_mark((ld_numbers){at, n}, (ld_numbers){at, 700}, marks);
  size_t marked = 0;
  for (size_t i = 0; i < n; i++) marked += marks[i];
  cr_assert_eq(marked, 700);
  free(at);
  free(marks);
}
