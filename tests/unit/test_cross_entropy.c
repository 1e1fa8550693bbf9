/* The cross-entropy over a frozen head's outputs, and the gradient of the features, against the same in double: with outputs
 * that are computed at once or in several parts, with the largest logit in any of them. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "linalg/codecs.h"
#include "nn/ops.h"

#define CLOSE 5e-6 /* of the largest: logits up to 60 are floats */

enum { C = 24, MOST_T = 2000, MOST_V = 4700 };

/* How logits depend on the output, by the head's bias. */
enum slope { NO_BIAS, EVEN, RISING, FALLING, ABSENT_FIRST, N_SLOPES };

typedef struct problem {
  ld_dtype dtype;
  int T, V;
  enum slope slope;
  double smoothing;
  float boost;           /* of each target's logit, by the features */
  bool transposed, view; /* the weight is (C, V); the features are some columns of a tensor */
} problem;

typedef struct inputs {
  float x[MOST_T * C], weight[MOST_V * C], bias[MOST_V];
  int32_t targets[MOST_T];
  void *stored;
} inputs;

typedef struct found {
  double loss;
  float dx[MOST_T * C];
} found;

static void make(const problem *p, inputs *in) {
  const ld_stream stream = ld_rng_stream(3, LD_RNG_INIT, 1, 0);
  const size_t n = (size_t)p->V * C;
  in->stored = ld_alloc(n, sizeof(float));
  ld_rng_fill(&stream, 0, 1, in->weight, n);
  ld_dtype_from_f32(in->stored, in->weight, p->dtype, (int64_t)n);
  ld_dtype_to_f32(in->weight, in->stored, p->dtype, 0, (int64_t)n);
  for (size_t i = 0; p->transposed && i < n; i++) /* of float32 only */
    ((float *)in->stored)[i % C * (size_t)p->V + i / C] = in->weight[i];
  ld_rng_fill(&stream, 1 << 20, 1, in->x, (size_t)p->T * C);
  ld_rng_fill(&stream, 1 << 21, 1, in->bias, (size_t)p->V);
  for (int v = 0; v < p->V; v++) {
    if (p->slope == RISING) in->bias[v] += 0.01f * (float)v;
    if (p->slope == FALLING) in->bias[v] -= 0.01f * (float)v;
    if (p->slope == ABSENT_FIRST && v < p->V / 2) in->bias[v] = -INFINITY;
  }
  for (int t = 0; t < p->T; t++) {
    in->targets[t] = t % 5 == 3 ? -1 : p->V - 1 - t * 613 % (p->V - p->V / 2);
    for (int k = 0; in->targets[t] >= 0 && k < C; k++)
      in->x[t * C + k] += p->boost * in->weight[in->targets[t] * C + k];
  }
}

/* In double, row by row. */
static void expect(const problem *p, const inputs *in, found *out) {
  static double logits[MOST_V];
  *out = (found){0};
  for (int t = 0; t < p->T; t++) {
    const int target = in->targets[t];
    if (target < 0) continue;
    double max = -DBL_MAX, sum = 0, others = 0, all = 0, dx[C] = {0};
    for (int v = 0; v < p->V; v++) {
      logits[v] = p->slope == NO_BIAS ? 0 : (double)in->bias[v];
      for (int k = 0; k < C; k++) logits[v] += (double)in->x[t * C + k] * (double)in->weight[v * C + k];
      if (logits[v] > max) max = logits[v];
      all += logits[v];
    }
    for (int v = 0; v < p->V; v++) {
      sum += exp(logits[v] - max);
      if (v != target) others += exp(logits[v] - max);
    }
    out->loss += log(sum) + max - (1 - p->smoothing) * logits[target];
    if (p->smoothing > 0) out->loss -= p->smoothing * all / p->V;
    for (int v = 0; v < p->V; v++) {
      const double softmax = v == target ? -others / sum + p->smoothing : exp(logits[v] - max) / sum;
      for (int k = 0; k < C; k++) dx[k] += (softmax - p->smoothing / p->V) * (double)in->weight[v * C + k];
    }
    for (int k = 0; k < C; k++) out->dx[t * C + k] = (float)dx[k];
  }
}

static void compute(const problem *p, inputs *in, enum ld_pass pass, bool trained, found *out) {
  const ld_field targets = {
      .name = LD_TARGETS, .n_rows = p->T, .ids = in->targets, .smoothing = (float)p->smoothing};
  const ld_batch batch = {.fields = {targets}};
  const ld_linear head = {.path = "head",
                          .in = C,
                          .out = p->V,
                          .bias = p->slope == NO_BIAS ? NULL : in->bias,
                          .transposed = p->transposed,
                          .weight = {{ld_codec_of(p->dtype), in->stored, NULL, 0},
                                     p->transposed ? C : p->V,
                                     p->transposed ? p->V : C}};
  static float wide[MOST_T * 2 * C];
  for (int i = 0; i < p->T * C; i++) wide[i / C * 2 * C + C / 2 + i % C] = in->x[i];
  ld_tape *tape = ld_tape_create();
  *out = (found){.loss = -1};
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, pass, dry, false);
    ld_tensor *input = p->view ? ld_tape_input(tape, wide, p->T, 2 * C) : ld_tape_input(tape, in->x, p->T, C);
    input->trained = trained;
    ld_tensor *x = p->view ? ld_tape_columns(tape, input, C / 2, C) : input;
    ld_op_cross_entropy(tape, x, &head, &targets, &batch, &out->loss);
    if (pass == LD_PASS_TRAIN) ld_tape_backward(tape);
    if (dry) cr_assert(ld_tape_reserve(tape));
    for (int i = 0; !dry && trained && i < p->T; i++)
      memcpy(out->dx + (ptrdiff_t)i * C, ld_grad(x) + (ptrdiff_t)i * x->stride, C * sizeof(float));
  }
  ld_tape_free(tape);
}

static void check(problem p) {
  static inputs in;
  static found want, training, frozen, inference;
  make(&p, &in);
  expect(&p, &in, &want);
  compute(&p, &in, LD_PASS_TRAIN, true, &training);
  compute(&p, &in, LD_PASS_TRAIN, false, &frozen);
  compute(&p, &in, LD_PASS_INFER, false, &inference);
  char *name = ld_format("%s, T %d, V %d, slope %d, smoothing %g, boost %g", ld_dtype_name(p.dtype), p.T, p.V,
                         (int)p.slope, p.smoothing, (double)p.boost);
  const double off = fabs(training.loss - want.loss);
  cr_assert(off <= 1e-6 * fabs(want.loss) + 1e-12, "%s: loss %.9g, not %.9g", name, training.loss, want.loss);
  cr_assert(training.loss == frozen.loss && training.loss == inference.loss, "%s: %.17g, %.17g, %.17g", name,
            training.loss, frozen.loss, inference.loss);
  double most = 0;
  for (int i = 0; i < p.T * C; i++) most = fmax(most, fabs((double)want.dx[i]));
  for (int i = 0; i < p.T * C; i++)
    cr_assert(fabs((double)training.dx[i] - (double)want.dx[i]) <= CLOSE * most,
              "%s: gradient %d: %.7g, not %.7g", name, i, (double)training.dx[i], (double)want.dx[i]);
  free(in.stored);
  free(name);
}

Test(cross_entropy, of_a_frozen_head) {
  static const int sizes[][2] = {{1, 5}, {3, 1536}, {7, 1537}, {40, 4700}, {MOST_T, 1600}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (int slope = NO_BIAS; slope < N_SLOPES; slope++)
      for (int dtype = LD_F32; dtype <= LD_BF16; dtype++)
        check((problem){
            .dtype = (ld_dtype)dtype, .T = sizes[i][0], .V = sizes[i][1], .slope = (enum slope)slope});
}

Test(cross_entropy, with_smoothing) {
  static const int sizes[][2] = {{2, 7}, {40, 4700}, {MOST_T, 1600}};
  for (int i = 0; i < 3; i++)
    for (int slope = NO_BIAS; slope < ABSENT_FIRST; slope++)
      check((problem){.dtype = i ? LD_F32 : LD_BF16,
                      .T = sizes[i][0],
                      .V = sizes[i][1],
                      .slope = (enum slope)slope,
                      .smoothing = 0.1});
}

/* Where nearly everything is at the target, its own part of the gradient is not a difference of numbers close to 1. */
Test(cross_entropy, of_sure_rows) {
  for (int boost = 1; boost <= 3; boost++)
    check((problem){.dtype = LD_F32, .T = 40, .V = 4700, .boost = (float)boost});
}

/* Where a logit is not a number, or infinite, the loss is not finite either, wherever it stands. */
Test(cross_entropy, of_what_is_not_finite) {
  static inputs in;
  static found out;
  const problem p = {.dtype = LD_F32, .T = 3, .V = 4700, .slope = EVEN};
  const int at_target = 1;
  for (int kind = 0; kind < 3; kind++)
    for (int place = 0; place < 4; place++) {
      make(&p, &in);
      const int32_t output = place == at_target ? in.targets[1] : place * 1500;
      in.bias[output] = kind == 0 ? NAN : kind == 1 ? INFINITY : -INFINITY;
      compute(&p, &in, LD_PASS_TRAIN, true, &out);
      cr_assert(isfinite(out.loss) == (kind == 2 && place != at_target), "kind %d, place %d: %g", kind, place,
                out.loss);
      free(in.stored);
    }
}

Test(cross_entropy, of_views_and_transposed_heads) {
  for (int way = 1; way < 4; way++)
    check((problem){
        .dtype = LD_F32, .T = 40, .V = 4700, .slope = EVEN, .transposed = way & 1, .view = way & 2});
}

Test(cross_entropy, without_targets) {
  static inputs in;
  static found out;
  const problem p = {.dtype = LD_F32, .T = 2, .V = 30};
  make(&p, &in);
  in.targets[0] = in.targets[1] = -1;
  compute(&p, &in, LD_PASS_TRAIN, true, &out);
  cr_assert_eq(out.loss, 0);
  for (int i = 0; i < 2 * C; i++) cr_assert_eq(out.dx[i], 0);
  free(in.stored);
}
