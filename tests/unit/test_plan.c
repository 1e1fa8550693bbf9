#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/memory.h"
#include "data/plan.h"
#include "io/dataset/record.h"

/* Every target is planned once, no row is too long, rows are as described. */
static void check(const ld_plan *plan, const ld_length *lengths, int n, int seq_len) {
  int *seen = ld_alloc((size_t)n, sizeof *seen);
  for (int64_t r = 0; r < plan->n_rows; r++) {
    const ld_row *row = &plan->rows[r];
    int tokens = plan->bos;
    for (int p = 0; p < row->n_pieces; p++) {
      const ld_row_piece *piece = &plan->pieces[row->first_piece + (size_t)p];
      cr_assert(piece->first == seen[piece->record]);
      seen[piece->record] += piece->count;
      tokens += piece->count;
    }
    cr_assert(tokens == row->n_tokens && tokens <= seq_len && tokens > 0);
  }
  for (int i = 0; i < n; i++) {
    const int whole = lengths[i].n_tokens;
    cr_assert(seen[i] == (lengths[i].n_targets ? whole : 0), "record %d: %d of %d", i, seen[i], whole);
  }
  free(seen);
}

static const ld_length some[] = {
    {10, 9, 0, 0, 0}, {3, 2, 0, 0, 0}, {50, 49, LD_CUT_INPUT, 0, 0}, {50, 49, 0, 0, 0},
    {1, 0, 0, 0, 0},  {7, 1, 0, 0, 0}, {40, 5, LD_CUT_TARGET, 0, 0}, {43, 42, 0, 0, 0},
    {10, 3, 0, 0, 0}};
enum { N_SOME = sizeof some / sizeof *some };

Test(plan, one_record_a_row) {
  ld_plan *plan = ld_plan_records(some, N_SOME, 50, false);
  check(plan, some, N_SOME, 50);
  cr_assert(plan->n_rows == N_SOME - 1);
  cr_assert(plan->n_cut == 1 && plan->n_target_cut == 1 && plan->n_idle == 1);
  cr_assert(plan->longest == 50 && plan->most_targets == 49 && plan->longest_input == 35);
  for (int r = 1; r < plan->n_rows; r++)
    cr_assert(plan->pieces[plan->rows[r].first_piece].record >
              plan->pieces[plan->rows[r - 1].first_piece].record);
  ld_plan_free(plan);
}

Test(plan, packing_fills_rows) {
  ld_plan *plan = ld_plan_records(some, N_SOME, 50, true);
  check(plan, some, N_SOME, 50);
  cr_assert(plan->n_rows == 5); /* 50, 50, 43 + 7, 40 + 10, 10 + 3 */
  ld_plan_free(plan);
}

Test(plan, stream_cuts_windows) {
  const ld_length lengths[] = {
      {10, 10, 0, 0, 0}, {3, 3, 0, 0, 0}, {0, 0, 0, 0, 0}, {100, 100, 0, 0, 0}, {5, 5, 0, 0, 0}};
  for (int bos = 0; bos < 2; bos++) {
    ld_plan *plan = ld_plan_stream(lengths, 5, 16, bos);
    check(plan, lengths, 5, 16);
    cr_assert(plan->n_rows == (118 + 15 - bos) / (16 - bos));
    cr_assert(plan->rows[0].n_tokens == 16 && plan->rows[0].n_targets == 15);
    ld_plan_free(plan);
  }
}

Test(plan, order_depends_on_seed_and_epoch) {
  ld_plan *plan = ld_plan_records(some, N_SOME, 50, false);
  int64_t a[8], b[8], c[8], still[8];
  ld_plan_order(plan, 1, 0, true, a);
  ld_plan_order(plan, 1, 0, true, b);
  ld_plan_order(plan, 1, 1, true, c);
  ld_plan_order(plan, 1, 1, false, still);
  int differs = 0;
  for (int i = 0; i < 8; i++) {
    cr_assert(a[i] == b[i] && still[i] == i);
    differs += a[i] != c[i];
  }
  cr_assert(differs > 0);
  cr_assert(ld_plan_steps(plan, 3) == 3 && ld_plan_steps(plan, 8) == 1);
  ld_plan_free(plan);
}

/* Rows of 2 .. 19 tokens in microbatches of 4: each gets its part, whatever the order. */
Test(plan, microbatches_hold_equally_many_tokens) {
  enum { N = 18, MICRO = 4 };
  ld_length lengths[N];
  int64_t rows[N], scratch[2 * N];
  bool seen[N] = {false};
  for (int i = 0; i < N; i++) lengths[i] = (ld_length){i * 7 % N + 2, 1, 0, 0, 0};
  ld_plan *plan = ld_plan_records(lengths, N, 50, false);
  ld_plan_order(plan, 3, 0, true, rows);
  ld_plan_balance(plan, MICRO, rows, N, scratch);
  for (int m = 0; m < N; m += MICRO) {
    int tokens = 0, n = m + MICRO < N ? MICRO : N - m;
    for (int i = m; i < m + n; i++) {
      cr_assert(!seen[rows[i]], "row %lld twice", (long long)rows[i]);
      seen[rows[i]] = true;
      tokens += plan->rows[rows[i]].n_tokens;
    }
    if (n == MICRO) cr_assert(tokens >= 36 && tokens <= 48, "%d tokens in a microbatch", tokens);
  }
  /* Equal rows keep their order. */
  for (int i = 0; i < N; i++) plan->rows[i].n_tokens = 5;
  for (int i = 0; i < N; i++) rows[i] = i;
  ld_plan_balance(plan, MICRO, rows, N, scratch);
  for (int i = 0; i < N; i++) cr_assert(rows[i] == i);
  ld_plan_free(plan);
}

/* Rows of three sizes: together in the plan, and in each step; a microbatch has one size. */
Test(plan, sizes_do_not_mix) {
  enum { N_ROWS = 40, STEP = 10, PER_MICRO = 3 };
  ld_length lengths[N_ROWS];
  for (int i = 0; i < N_ROWS; i++) lengths[i] = (ld_length){5, 1, 0, 0, (uint16_t)(i * 7 % 3)};
  ld_plan *plan = ld_plan_records(lengths, N_ROWS, 100, false);
  cr_assert(plan->sizes && plan->n_rows == N_ROWS);
  int64_t order[N_ROWS], scratch[2 * STEP], n_seen = 0;
  for (int64_t r = 0; r < N_ROWS; r++) {
    cr_assert(!r || plan->sizes[r] >= plan->sizes[r - 1]);
    cr_assert_eq(plan->sizes[r], lengths[plan->pieces[plan->rows[r].first_piece].record].size);
  }
  ld_plan_order(plan, 3, 0, true, order);
  for (int64_t first = 0; first < N_ROWS; first += STEP) {
    ld_plan_balance(plan, PER_MICRO, order + first, STEP, scratch);
    int64_t count = 0;
    for (int64_t i = 0, n; i < STEP; i += n, count++) {
      n = ld_plan_take(plan, order + first, i, STEP - i, PER_MICRO);
      cr_assert(n >= 1 && n <= PER_MICRO);
      for (int64_t k = i; k < i + n; k++)
        cr_assert_eq(plan->sizes[order[first + k]], plan->sizes[order[first + i]]);
      n_seen += n;
    }
    cr_assert_eq(count, ld_plan_microbatches(plan, order + first, STEP, PER_MICRO));
    cr_assert_leq(count, ld_plan_most_microbatches(plan, STEP, PER_MICRO));
    cr_assert_leq(count, STEP / PER_MICRO + 3);
  }
  cr_assert_eq(n_seen, N_ROWS);
  ld_plan_free(plan);
}

/* 7 records, of which 2 are prior: five pairs, which stay together in each order. */
Test(plan, pairs_have_one_of_each_kind) {
  enum { N = 7, N_ROWS = 10 };
  ld_length lengths[N];
  int64_t order[N_ROWS];
  int n_used[N] = {0};
  for (int i = 0; i < N; i++) lengths[i] = (ld_length){3 + i, 1, 0, i >= 5, (uint16_t)(i % 2)};
  ld_plan *plan = ld_plan_pairs(lengths, N);
  cr_assert(plan->paired && plan->n_rows == N_ROWS && plan->n_targets == N_ROWS / 2);
  ld_plan_order(plan, 3, 1, true, order);
  bool moved = false;
  for (int i = 0; i < N_ROWS; i++) {
    const ld_row *row = &plan->rows[order[i]];
    const ld_row_piece *piece = &plan->pieces[row->first_piece];
    cr_assert(order[i] % 2 == i % 2 && (i % 2 == 0 || order[i] == order[i - 1] + 1));
    cr_assert(lengths[piece->record].prior == (i % 2 == 1) && row->n_targets == (i % 2 == 0));
    cr_assert(row->n_pieces == 1 && piece->count == row->n_tokens && piece->count == 3 + piece->record);
    cr_assert_eq(plan->sizes[order[i]], lengths[piece->record].size);
    n_used[piece->record]++;
    moved = moved || order[i] != i;
  }
  cr_assert(moved);
  for (int i = 0; i < 5; i++) cr_assert_eq(n_used[i], 1);
  cr_assert(n_used[5] == 3 && n_used[6] == 2);
  ld_plan_free(plan);
}
