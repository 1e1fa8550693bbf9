#include <criterion/criterion.h>
#include <string.h>
#include <time.h>

#include "nn/profile.h"
#include "nn/tape.h"

static void lap(ld_profile *profile, const char *name, const char *role, enum ld_profile_part part,
                double work) {
  double since = ld_profile_clock(profile) - 1;
  ld_profile_lap(profile, &since, name, role, part, work);
  cr_assert_float_eq(ld_profile_clock(profile), since, 0.5);
}

Test(profile, the_role_is_what_follows_the_block) {
  static const char *const roles[][2] = {
      {"transformer.h.11.attn.c_attn", "attn.c_attn"},
      {"bert.encoder.layer.0.attention.self.query", "attention.self.query"},
      {"layer4.1.downsample.0", "downsample.0"},
      {"encoder.stages.0.layers.1.layer.2.convolution", "convolution"},
      {"lm_head", "lm_head"},
      {"bert.pooler.dense", "bert.pooler.dense"},
      {"3x3", "3x3"},
      {"", ""},
      {".", "."},
      {"0", "0"},
      {"0.", ""}};
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
    ld_profile profile = {0};
    lap(&profile, "linear", roles[i][0], LD_PROFILE_FORWARD, 0);
    cr_assert_str_eq(profile.rows[0].role, roles[i][1]);
    ld_profile_free(&profile);
  }
}

Test(profile, rows_are_by_name_and_role) {
  ld_profile profile = {0};
  lap(&profile, "linear", "h.0.c_attn", LD_PROFILE_FORWARD, 3);
  lap(&profile, "linear", "h.1.c_attn", LD_PROFILE_FORWARD, 4);
  lap(&profile, "linear", "h.1.c_attn", LD_PROFILE_BACKWARD, 5);
  lap(&profile, "linear", "h.0.c_proj", LD_PROFILE_FORWARD, 6);
  lap(&profile, "linear", NULL, LD_PROFILE_OUTSIDE, 0);
  cr_assert_eq(profile.n, 3);
  const ld_profile_row *row = &profile.rows[0];
  cr_assert_eq(row->work[LD_PROFILE_FORWARD], 7);
  cr_assert_eq(row->work[LD_PROFILE_BACKWARD], 5);
  cr_assert_eq(row->calls[LD_PROFILE_FORWARD], 2);
  cr_assert_float_eq(row->seconds[LD_PROFILE_FORWARD], 2, 0.5);
  cr_assert_eq(row->seconds[LD_PROFILE_OUTSIDE], 0);
  cr_assert_str_eq(profile.rows[2].role, "");
  ld_profile_zero(&profile);
  cr_assert_eq(profile.n, 3);
  cr_assert_eq(profile.rows[0].seconds[LD_PROFILE_FORWARD], 0);
  cr_assert_eq(profile.rows[0].calls[LD_PROFILE_BACKWARD], 0);
  cr_assert_str_eq(profile.rows[0].role, "c_attn");
  ld_profile_free(&profile);
}

Test(profile, without_one_nothing_is_asked_of_the_clock) {
  double since = 5;
  ld_profile_lap(NULL, &since, "linear", NULL, LD_PROFILE_FORWARD, 1);
  cr_assert_eq(since, 5);
  cr_assert_eq(ld_profile_clock(NULL), 0);
}

/* Operations that take a known time. */
enum { FORWARD_MS = 4, BACKWARD_MS = 8 };

static void wait_ms(int ms) {
  const struct timespec t = {.tv_nsec = ms * 1000000L};
  nanosleep(&t, NULL);
}

static void slow_forward(ld_tape *tape, void *self) {
  (void)tape, (void)self;
  wait_ms(FORWARD_MS);
}

static void slow_backward(ld_tape *tape, void *self) {
  (void)tape, (void)self;
  wait_ms(BACKWARD_MS);
}

/* A block of two slow operations, then one that ends the pass as a loss does. */
static void pass(ld_tape *tape, enum ld_pass kind, bool dry, bool recompute) {
  static float zeros[6];
  ld_tape_begin(tape, kind, dry, recompute);
  ld_tensor *x = ld_tape_input(tape, zeros, 2, 3);
  x->trained = true;
  ld_tape_block_begin(tape);
  ld_tensor *y = ld_tape_tensor(tape, 2, 3), *z = ld_tape_tensor(tape, 2, 3);
  ld_op op = {.name = "slow", .forward = slow_forward, .backward = slow_backward, .module = "h.0.first"};
  op.out = y;
  op.in = LD_TENSORS(x);
  op.backward_reads = LD_TENSORS(y);
  op.work = (ld_op_work){11, 22};
  ld_tape_push(tape, op);
  op = (ld_op){.name = "slow", .forward = slow_forward, .backward = slow_backward, .out = z};
  op.in = LD_TENSORS(y);
  op.backward_reads = LD_TENSORS(y);
  ld_tape_push(tape, op);
  ld_tape_block_end(tape, LD_TENSORS(z));
  op = (ld_op){.name = "end", .forward = slow_forward, .backward = slow_backward, .in = LD_TENSORS(z)};
  ld_tape_push(tape, op);
  if (kind == LD_PASS_TRAIN) ld_tape_backward(tape);
}

static const ld_profile_row *row_of(const ld_profile *profile, const char *name, const char *role) {
  for (size_t i = 0; i < profile->n; i++)
    if (!strcmp(profile->rows[i].name, name) && !strcmp(profile->rows[i].role, role))
      return &profile->rows[i];
  cr_assert(false, "no row %s %s", name, role);
  return NULL;
}

static void check_pass(bool recompute) {
  ld_tape *tape = ld_tape_create();
  ld_profile profile = {0};
  pass(tape, LD_PASS_TRAIN, true, recompute);
  cr_assert(ld_tape_reserve(tape));
  ld_tape_profile(tape, &profile);
  pass(tape, LD_PASS_TRAIN, false, recompute);
  ld_tape_profile(tape, NULL);
  pass(tape, LD_PASS_TRAIN, false, recompute);
  const ld_profile_row *first = row_of(&profile, "slow", "first"), *second = row_of(&profile, "slow", "");
  const int again = recompute ? 1 : 0;
  cr_assert_eq(first->calls[LD_PROFILE_FORWARD], 1);
  cr_assert_eq(first->calls[LD_PROFILE_BACKWARD], 1 + again);
  cr_assert_eq(first->work[LD_PROFILE_FORWARD], 11);
  cr_assert_eq(first->work[LD_PROFILE_BACKWARD], 22 + 11 * again);
  cr_assert_eq(second->work[LD_PROFILE_BACKWARD], 0);
  cr_assert_geq(second->seconds[LD_PROFILE_FORWARD], 1e-3 * FORWARD_MS);
  cr_assert_geq(first->seconds[LD_PROFILE_BACKWARD], 1e-3 * (BACKWARD_MS + FORWARD_MS * again));
  cr_assert_eq(second->calls[LD_PROFILE_BACKWARD], 1);
  cr_assert_lt(second->seconds[LD_PROFILE_FORWARD], 0.5);
  cr_assert_eq(row_of(&profile, "end", "")->calls[LD_PROFILE_BACKWARD], 1);
  cr_assert_eq(row_of(&profile, "zero", "")->calls[LD_PROFILE_FORWARD], 0);
  cr_assert_eq(row_of(&profile, "zero", "")->calls[LD_PROFILE_BACKWARD], 3);
  ld_profile_free(&profile);
  ld_tape_free(tape);
}

Test(profile, a_pass_is_measured) {
  check_pass(false);
}

Test(profile, a_forward_run_again_is_backward_time) {
  check_pass(true);
}
