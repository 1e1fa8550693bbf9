#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "train/exact.h"

enum { N = 257 };

/* Gradients of one microbatch, of very different sizes. */
static void fill(float *grad, int microbatch) {
  const ld_stream s = ld_rng_stream(9, LD_RNG_INIT, (uint64_t)microbatch, 0);
  for (int i = 0; i < N; i++) grad[i] = (ld_rng_uniform(&s, (uint64_t)i) - 0.5f) * ldexpf(1, -(i % 20));
}

static void add_all(ld_exact *exact, float *grad, const int *order, int n) {
  ld_exact_reset(exact);
  for (int i = 0; i < n; i++) {
    fill(grad, order[i]);
    ld_exact_add(exact, 0);
  }
}

Test(exact, order_and_grouping_do_not_matter) {
  float data[N], grad[N];
  ld_param param = {.role = "p", .count = N, .data = data, .grad = grad};
  ld_exact one, two, three;
  ld_exact_create(&one, &param, 1);
  ld_exact_create(&two, &param, 1);
  ld_exact_create(&three, &param, 1);
  add_all(&one, grad, (int[]){0, 1, 2, 3, 4}, 5);
  add_all(&two, grad, (int[]){4, 2}, 2);
  add_all(&three, grad, (int[]){3, 0, 1}, 3);
  for (int i = 0; i < LD_EXACT_COUNTERS + N; i++) cr_assert(one.sums[i] == two.sums[i] + three.sums[i]);
  ld_exact_free(&one);
  ld_exact_free(&two);
  ld_exact_free(&three);
}

Test(exact, mean_is_that_of_doubles) {
  float data[N], grad[N];
  double sum[N] = {0};
  ld_param param = {.role = "p", .count = N, .data = data, .grad = grad};
  ld_exact exact;
  ld_exact_create(&exact, &param, 1);
  for (int round = 0; round < 2; round++) {
    memset(sum, 0, sizeof sum);
    ld_exact_reset(&exact);
    for (int m = 0; m < 6; m++) {
      fill(grad, m);
      for (int i = 0; i < N; i++) sum[i] += (double)grad[i];
      ld_exact_add(&exact, 0);
    }
    ld_exact_fit(&exact, 6);
  }
  ld_exact_mean(&exact, 10);
  for (int i = 0; i < N; i++)
    cr_assert(grad[i] == (float)(sum[i] / 10), "element %d: %.9g, not %.9g", i, (double)grad[i], sum[i] / 10);
  ld_exact_free(&exact);
}

/* Squared errors of house prices, beside losses near 0: neither order nor grouping changes the sum. */
Test(exact, losses_of_any_size_sum_exactly) {
  const double losses[] = {9e10, 0.6931, 9.1e10, 3e-7, 0x1p100, 12.5, 0x1p40, 7e20, -1e-8};
  enum { N_LOSSES = sizeof losses / sizeof *losses, ROUNDS = 1000 };
  int64_t forward[LD_LOSS_WORDS] = {0}, even[LD_LOSS_WORDS] = {0}, odd[LD_LOSS_WORDS] = {0};
  for (int i = 0; i < ROUNDS * N_LOSSES; i++) {
    cr_assert(ld_exact_add_loss(forward, losses[i % N_LOSSES]));
    cr_assert(ld_exact_add_loss(i % 2 ? odd : even, losses[N_LOSSES - 1 - i % N_LOSSES]));
  }
  for (int i = 0; i < LD_LOSS_WORDS; i++) even[i] += odd[i];
  cr_assert(ld_exact_loss(forward) == ld_exact_loss(even));
  cr_assert(fabs(ld_exact_loss(forward) / (0x1p100 * ROUNDS) - 1) < 1e-9);
}

Test(exact, small_and_large_losses_come_back) {
  const double losses[] = {0, 1, 0.5 + 0x1p-30, -0x1p-30, 9e10, 0x1p33, 0x1p48, 0x1p66, 0x1p100, -0x1p70};
  for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
    int64_t words[LD_LOSS_WORDS] = {0};
    cr_assert(ld_exact_add_loss(words, losses[i]));
    cr_assert(ld_exact_loss(words) == losses[i], "%g, not %g", ld_exact_loss(words), losses[i]);
  }
}

Test(exact, a_loss_that_is_no_number_is_refused) {
  const double bad[] = {NAN, INFINITY, -INFINITY, 0x1p101};
  int64_t words[LD_LOSS_WORDS] = {0};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) cr_assert(!ld_exact_add_loss(words, bad[i]));
  cr_assert(ld_exact_loss(words) == 0);
}

/* Whatever the size of the gradients, the second try fits and keeps 24 bits. */
Test(exact, exponents_follow_the_gradients) {
  float data[1], grad[1];
  ld_param param = {.role = "p", .count = 1, .data = data, .grad = grad};
  for (int e = -120; e <= 120; e += 8) {
    ld_exact exact;
    ld_exact_create(&exact, &param, 1);
    bool fit = false;
    for (int tries = 0; tries < 2 && !fit; tries++) {
      ld_exact_reset(&exact);
      grad[0] = ldexpf(1.2345678f, e);
      ld_exact_add(&exact, 0);
      ld_exact_add(&exact, 0);
      fit = ld_exact_fit(&exact, 2);
    }
    cr_assert(fit, "2^%d", e);
    ld_exact_mean(&exact, 2);
    cr_assert(grad[0] == ldexpf(1.2345678f, e), "2^%d: %g", e, (double)grad[0]);
    ld_exact_free(&exact);
  }
}

Test(exact, what_is_no_number_is_told) {
  float data[2], grad[2] = {1, NAN};
  ld_param param = {.role = "p", .count = 2, .data = data, .grad = grad};
  ld_exact exact;
  ld_exact_create(&exact, &param, 1);
  ld_exact_reset(&exact);
  ld_exact_add(&exact, 0);
  cr_assert(ld_exact_not_finite(&exact) == &param);
  grad[1] = INFINITY;
  ld_exact_reset(&exact);
  ld_exact_add(&exact, 0);
  cr_assert(ld_exact_not_finite(&exact) == &param);
  grad[1] = 2;
  ld_exact_reset(&exact);
  ld_exact_add(&exact, 0);
  cr_assert(ld_exact_not_finite(&exact) == NULL);
  ld_exact_free(&exact);
}
