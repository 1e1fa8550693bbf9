#include <criterion/criterion.h>

#include "train/assign.h"

enum { MOST = 8 };

/* Assigns the work, and returns the largest load. */
static int64_t assign(const int64_t *amounts, int n, int n_ranks, int *owner) {
  ld_work work[MOST];
  int64_t load[MOST], again[MOST] = {0}, most = 0;
  for (int i = 0; i < n; i++) work[i] = (ld_work){amounts[i], i};
  ld_assign_work(work, n, load, n_ranks, owner);
  for (int i = 0; i < n; i++) {
    cr_assert(owner[i] >= 0 && owner[i] < n_ranks);
    again[owner[i]] += amounts[i];
  }
  for (int r = 0; r < n_ranks; r++) {
    cr_assert(load[r] == again[r]);
    most = load[r] > most ? load[r] : most;
  }
  return most;
}

Test(assign, equal_work_goes_around) {
  const int64_t amounts[7] = {5, 5, 5, 5, 5, 5, 5};
  int owner[7];
  assign(amounts, 7, 3, owner);
  for (int i = 0; i < 7; i++) cr_assert(owner[i] == i % 3);
}

Test(assign, a_long_one_is_left_alone) {
  const int64_t amounts[5] = {1, 1, 1, 9, 1};
  int owner[5];
  assign(amounts, 5, 2, owner);
  for (int i = 0; i < 5; i++) cr_assert((owner[i] == owner[3]) == (i == 3));
}

Test(assign, loads_come_out_even) {
  const int64_t amounts[8] = {8, 7, 6, 5, 4, 3, 2, 1};
  int owner[8];
  cr_assert(assign(amounts, 8, 2, owner) == 18);
  cr_assert(assign(amounts, 8, 4, owner) == 9);
  cr_assert(assign(amounts, 8, 1, owner) == 36);
}

Test(assign, more_ranks_than_work) {
  const int64_t amounts[2] = {3, 4};
  int owner[2];
  cr_assert(assign(amounts, 2, 8, owner) == 4);
  cr_assert(owner[0] != owner[1]);
}
