/* Single operations against PyTorch (tests/golden/make_operations.py): the output and the gradient of each input,
 * with all of them trained and with each alone, without a block, in one, and in one that is computed again. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "golden.h"
#include "linalg/codecs.h"
#include "nn/ops.h"

#define CLOSE 1e-5

enum { MAX_INPUTS = 4 };

static ld_safetensors *file;

static const ld_stored *find(const char *name, const char *part) {
  char *key = ld_format("%s.%s", name, part);
  const ld_stored *tensor = ld_safetensors_find(file, key);
  cr_assert(tensor, "%s was not recorded", key);
  free(key);
  return tensor;
}

static void open_file(void) {
  ld_error err;
  must(ld_safetensors_open(LD_TESTS_DIR "/golden/operations.safetensors", &file, &err), &err);
}

static void close_file(void) {
  ld_safetensors_close(file);
}

TestSuite(operations, .init = open_file, .fini = close_file);

/* One pass over one operation. */
typedef struct pass {
  const char *name; /* of the case */
  ld_tape *tape;
  int only; /* the input that is trained; -1: all */
  ld_tensor *inputs[MAX_INPUTS];
  const char *names[MAX_INPUTS];
  int n_inputs;
  ld_tensor *y;
  float *found; /* y */
} pass;

static ld_tensor *input(pass *p, const char *name) {
  const ld_stored *stored = find(p->name, name);
  ld_tensor *x = ld_tape_input(p->tape, stored->data, (int)stored->shape[0], (int)stored->shape[1]);
  x->trained = ld_tape_training(p->tape) && (p->only < 0 || p->only == p->n_inputs);
  p->names[p->n_inputs] = name;
  return p->inputs[p->n_inputs++] = x;
}

static ld_maps maps(pass *p, const char *name, int n, int height, int width) {
  return (ld_maps){input(p, name), n, height, width};
}

static const float *frozen(const pass *p, const char *name) {
  return find(p->name, name)->data;
}

/* Keeps y, and gives it the recorded gradient. */
static void end_forward(ld_tape *tape, void *self) {
  (void)tape;
  const pass *p = *(pass **)self;
  memcpy(p->found, p->y->data, (size_t)p->y->rows * (size_t)p->y->cols * sizeof(float));
}

static void end_backward(ld_tape *tape, void *self) {
  (void)tape;
  const pass *p = *(pass **)self;
  const float *dy = find(p->name, "dy")->data;
  for (int i = 0; i < p->y->rows * p->y->cols; i++) ld_grad(p->y)[i] += dy[i];
}

/* Adds 1 to the gradients of the inputs before the operation does, which must add too. */
static void nudge_forward(ld_tape *tape, void *self) {
  (void)tape, (void)self;
}

static void nudge_backward(ld_tape *tape, void *self) {
  (void)tape;
  const pass *p = *(pass **)self;
  for (int k = 0; k < p->n_inputs; k++)
    for (int i = 0; i < p->inputs[k]->rows * p->inputs[k]->cols; i++) p->inputs[k]->grad[i] += 1;
}

static void push_end(pass *p) {
  pass **self = ld_tape_record(p->tape, sizeof *self);
  *self = p;
  ld_tape_push(p->tape, (ld_op){.name = "end",
                                .self = self,
                                .forward = end_forward,
                                .backward = end_backward,
                                .in = LD_TENSORS(p->y)});
  if (p->only < 0)
    ld_tape_push(p->tape, (ld_op){.name = "nudge",
                                  .self = self,
                                  .forward = nudge_forward,
                                  .backward = nudge_backward,
                                  .in = p->inputs});
}

static void check_gradient(const pass *p, int k, const char *mode) {
  char *part = ld_format("d_%s", p->names[k]);
  const ld_stored *want = find(p->name, part);
  const size_t n = (size_t)p->inputs[k]->rows * (size_t)p->inputs[k]->cols;
  float *grad = p->inputs[k]->grad;
  cr_assert(grad && (size_t)ld_stored_count(want) == n);
  for (size_t i = 0; p->only < 0 && i < n; i++) grad[i] -= 1;
  const double error = relative(grad, want->data, n);
  cr_assert(error < CLOSE, "%s, %s: gradient of %s: %.2e", p->name, mode, p->names[k], error);
  free(part);
}

static void check_pass(const pass *p, const char *mode) {
  const ld_stored *y = find(p->name, "y");
  const size_t n = (size_t)p->y->rows * (size_t)p->y->cols;
  cr_assert((size_t)ld_stored_count(y) == n && y->shape[0] == p->y->rows);
  const double error = relative(p->found, y->data, n);
  cr_assert(error < CLOSE, "%s, %s: %.2e", p->name, mode, error);
  for (int k = 0; k < p->n_inputs; k++) {
    if (!p->inputs[k]->trained)
      cr_assert_null(p->inputs[k]->grad);
    else
      check_gradient(p, k, mode);
  }
}

static const char *const modes[] = {"inference", "no block", "block", "recomputed block"};

static int run(const char *name, ld_tensor *(*record)(pass *p), int mode, int only) {
  ld_tape *tape = ld_tape_create();
  pass p = {0};
  float *found = ld_alloc((size_t)ld_stored_count(find(name, "y")), sizeof *found);
  for (int dry = 1; dry >= 0; dry--) {
    p = (pass){.name = name, .tape = tape, .only = only, .found = found};
    ld_tape_begin(tape, mode ? LD_PASS_TRAIN : LD_PASS_INFER, dry, mode == 3);
    if (mode > 1) ld_tape_block_begin(tape);
    p.y = record(&p);
    if (mode > 1) ld_tape_block_end(tape, LD_TENSORS(p.y));
    push_end(&p);
    if (mode) ld_tape_backward(tape);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  check_pass(&p, modes[mode]);
  ld_tape_free(tape);
  free(found);
  return p.n_inputs;
}

static void check(const char *name, ld_tensor *(*record)(pass *p)) {
  const int n = run(name, record, 0, -1);
  for (int mode = 1; mode <= 3; mode++)
    for (int only = n > 1 ? n - 1 : -1; only >= -1; only--) run(name, record, mode, only);
}

static ld_tensor *norm(pass *p, int n_groups, int n, int height, int width, bool silu) {
  return ld_op_group_norm(p->tape, maps(p, "x", n, height, width), frozen(p, "weight"), frozen(p, "bias"),
                          n_groups, 1e-6f, silu)
      .x;
}

static ld_tensor *norm_plain(pass *p) {
  return norm(p, 4, 3, 5, 7, false);
}

static ld_tensor *norm_silu(pass *p) {
  return norm(p, 4, 3, 5, 7, true);
}

static ld_tensor *norm_large(pass *p) {
  return norm(p, 1, 1, 41, 53, true);
}

static ld_tensor *norm_pixel(pass *p) {
  return norm(p, 2, 2, 1, 1, false);
}

static ld_tensor *norm_pixel_silu(pass *p) {
  return norm(p, 2, 2, 1, 1, true);
}

Test(operations, group_norm) {
  check("group_norm", norm_plain);
  check("group_norm_silu", norm_silu);
  check("group_norm_large_silu", norm_large);
  check("group_norm_pixel", norm_pixel);
  check("group_norm_pixel_silu", norm_pixel_silu);
}

static const ld_batch no_batch;

/* A frozen layer outlives the pass on the tape. */
static ld_linear *layer_of(pass *p, ld_kernel kernel) {
  const ld_stored *weight = find(p->name, "weight");
  const int out = (int)weight->shape[0], in = (int)weight->shape[1];
  ld_linear *layer = ld_tape_record(p->tape, sizeof *layer);
  *layer = (ld_linear){.path = (char *)"",
                       .in = in,
                       .out = out,
                       .weight = {ld_coded_floats(weight->data), out, in},
                       .bias = (float *)frozen(p, "bias"),
                       .kernel = kernel};
  return layer;
}

static ld_tensor *convolve(pass *p) {
  return ld_op_convolution(p->tape, maps(p, "x", 3, 7, 6), layer_of(p, (ld_kernel){3, 3, 1, 1, 0}), &no_batch)
      .x;
}

static ld_tensor *convolve_plus(pass *p, ld_maps x, ld_kernel kernel) {
  ld_maps residual = {input(p, "residual"), 0, 0, 0};
  const ld_maps y = ld_op_convolution_accumulate(p->tape, residual, x, layer_of(p, kernel), &no_batch);
  cr_assert_eq(y.n * y.height * y.width, y.x->cols);
  return y.x;
}

static ld_tensor *convolve_same(pass *p) {
  return convolve_plus(p, maps(p, "x", 3, 7, 6), (ld_kernel){3, 3, 1, 1, 0});
}

static ld_tensor *convolve_down(pass *p) {
  return convolve_plus(p, maps(p, "x", 2, 8, 6), (ld_kernel){3, 3, 2, 0, 1});
}

static ld_tensor *convolve_down_odd(pass *p) {
  return convolve_plus(p, maps(p, "x", 2, 9, 5), (ld_kernel){3, 3, 2, 0, 1});
}

static ld_tensor *convolve_point(pass *p) {
  return convolve_plus(p, maps(p, "x", 2, 5, 7), (ld_kernel){1, 1, 1, 0, 0});
}

Test(operations, convolution) {
  check("convolution", convolve);
  check("convolution_plus", convolve_same);
  check("convolution_down_plus", convolve_down);
  check("convolution_down_odd_plus", convolve_down_odd);
  check("convolution_point_plus", convolve_point);
}

static ld_tensor *to_rows(pass *p) {
  return ld_op_rows_of_maps(p->tape, maps(p, "x", 2, 5, 7));
}

static ld_tensor *to_maps(pass *p) {
  return ld_op_maps_of_rows(p->tape, input(p, "x"), 2, 5, 7).x;
}

static ld_tensor *to_maps_plus(pass *p) {
  ld_tensor *x = input(p, "x");
  return ld_op_maps_of_rows_accumulate(p->tape, maps(p, "residual", 2, 4, 8), x).x;
}

Test(operations, rows_and_maps) {
  check("rows_of_maps", to_rows);
  check("maps_of_rows", to_maps);
  check("maps_of_rows_plus", to_maps_plus);
}

static ld_tensor *upsample(pass *p) {
  return ld_op_upsample(p->tape, maps(p, "x", 2, 5, 7), 10, 14).x;
}

static ld_tensor *upsample_odd(pass *p) {
  return ld_op_upsample(p->tape, maps(p, "x", 2, 4, 5), 7, 9).x;
}

static ld_tensor *upsample_far(pass *p) {
  return ld_op_upsample(p->tape, maps(p, "x", 2, 3, 2), 10, 7).x;
}

Test(operations, upsample) {
  check("upsample", upsample);
  check("upsample_odd", upsample_odd);
  check("upsample_far", upsample_far);
}

/* Which pixel is the nearest is a matter of rounding: for all pairs of small sizes, in both directions. */
Test(operations, upsample_takes_the_pixels_that_pytorch_takes) {
  enum { MOST = 128 };
  const ld_stored *sizes = find("nearest", "sizes");
  const int32_t *size = sizes->data, *sums = find("nearest", "sums")->data;
  float line[MOST];
  for (int i = 0; i < MOST; i++) line[i] = (float)i;
  ld_tape *tape = ld_tape_create();
  for (int k = 0; k < (int)sizes->shape[0]; k++)
    for (int turned = 0; turned < 2; turned++) {
      const int in = size[2 * k], out = size[2 * k + 1];
      ld_maps y = {0};
      for (int dry = 1; dry >= 0; dry--) {
        ld_tape_begin(tape, LD_PASS_INFER, dry, false);
        ld_maps x = {ld_tape_input(tape, line, 1, in), 1, turned ? in : 1, turned ? 1 : in};
        y = ld_op_upsample(tape, x, turned ? out : 1, turned ? 1 : out);
        if (dry) cr_assert(ld_tape_reserve(tape));
      }
      int sum = 0;
      for (int i = 0; i < out; i++) sum += (i + 1) * (int)y.x->data[i];
      cr_assert_eq(sum, sums[k], "%d to %d", in, out);
    }
  ld_tape_free(tape);
}

static ld_tensor *join(pass *p) {
  const ld_maps a = maps(p, "a", 2, 4, 5);
  return ld_op_join(p->tape, a, maps(p, "b", 2, 4, 5)).x;
}

Test(operations, join) {
  check("join", join);
}

/* It works in place, so on a copy of x. */
static ld_tensor *add_channels(pass *p) {
  const ld_maps x = ld_op_upsample(p->tape, maps(p, "x", 3, 7, 5), 7, 5);
  return ld_op_add_channels(p->tape, x, input(p, "values")).x;
}

Test(operations, add_channels) {
  check("add_channels", add_channels);
}

static ld_tensor *quick_gelu(pass *p) {
  return ld_op_activation(p->tape, input(p, "x"), LD_QUICK_GELU);
}

static ld_tensor *geglu(pass *p) {
  ld_tensor *x = input(p, "x"), *hidden = ld_tape_columns(p->tape, x, 0, 37);
  return ld_op_geglu(p->tape, hidden, ld_tape_columns(p->tape, x, 37, 37));
}

static ld_tensor *swiglu(pass *p) {
  ld_tensor *x = input(p, "x"), *gate = ld_tape_columns(p->tape, x, 0, 37);
  return ld_op_swiglu(p->tape, gate, ld_tape_columns(p->tape, x, 37, 37));
}

static ld_tensor *multiply(pass *p) {
  ld_tensor *x = input(p, "x"), *a = ld_tape_columns(p->tape, x, 0, 37);
  return ld_op_multiply(p->tape, a, ld_tape_columns(p->tape, x, 37, 37));
}

static ld_tensor *silu_view(pass *p) {
  return ld_op_activation(p->tape, ld_tape_columns(p->tape, input(p, "x"), 37, 37), LD_SILU);
}

Test(operations, number_by_number) {
  check("quick_gelu", quick_gelu);
  check("geglu", geglu);
  check("swiglu", swiglu);
  check("multiply", multiply);
  check("silu_view", silu_view);
}

enum { ROWS_EACH = 70, WIDTH = 19 };

static ld_tensor *modulate(pass *p) {
  ld_tensor *x = input(p, "x"), *table = input(p, "table");
  ld_tensor *shift = ld_tape_columns(p->tape, table, 0, WIDTH);
  ld_tensor *scale = ld_tape_columns(p->tape, table, WIDTH, WIDTH);
  return ld_op_modulate(p->tape, x, shift, scale, ROWS_EACH);
}

static ld_tensor *gate(pass *p) {
  ld_tensor *x = input(p, "x"), *table = input(p, "table");
  return ld_op_gate_accumulate(p->tape, input(p, "residual"), x,
                               ld_tape_columns(p->tape, table, 2 * WIDTH, WIDTH), ROWS_EACH);
}

Test(operations, modulate) {
  check("modulate", modulate);
  check("gate", gate);
}

/* PyTorch's exp is one unit off for one frequency in fifty, which at time 999 is 6e-5 of an angle. */
static void check_close(const char *name, const float *found, const float *want, size_t n) {
  size_t n_apart = 0;
  for (size_t i = 0; i < n; i++) {
    cr_assert(fabsf(found[i] - want[i]) < 1e-4f, "%s: %g, not %g", name, (double)found[i], (double)want[i]);
    n_apart += fabsf(found[i] - want[i]) > 2e-6f;
  }
  cr_assert(50 * n_apart < n, "%s: %zu of %zu differ", name, n_apart, n);
}

static void check_sinusoids(const char *name, bool cosines_first, float shift, float scale) {
  const ld_stored *times = find("sinusoids", "times"), *want = find("sinusoids", name);
  ld_tape *tape = ld_tape_create();
  const ld_tensor *y = NULL;
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_TRAIN, dry, false);
    y = ld_op_sinusoids(tape, times->data, (int)times->shape[0], (int)want->shape[1], cosines_first, shift,
                        scale);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  check_close(name, y->data, want->data, (size_t)ld_stored_count(want));
  cr_assert_not(y->trained);
  ld_tape_free(tape);
}

Test(operations, sinusoids) {
  check_sinusoids("unet", true, 0, 1);
  check_sinusoids("plain", false, 1, 1);
  check_sinusoids("odd", true, 0, 2);
}

static void check_error(const char *name, bool weighted) {
  ld_tape *tape = ld_tape_create();
  pass p = {0};
  double loss = 0;
  for (int dry = 1; dry >= 0; dry--) {
    p = (pass){.name = name, .tape = tape, .only = -1};
    ld_tape_begin(tape, LD_PASS_TRAIN, dry, false);
    ld_op_weighted_error(tape, maps(&p, "x", 3, 5, 7), frozen(&p, "target"),
                         weighted ? frozen(&p, "weight") : NULL, 4, &loss);
    ld_tape_backward(tape);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  const double want = *(const double *)find(name, "loss")->data;
  cr_assert_float_eq(loss, want, 1e-6 * want);
  const double error = relative(p.inputs[0]->grad, find(name, "d_x")->data, 6 * 3 * 5 * 7);
  cr_assert(error < CLOSE, "%s: %.2e", name, error);
  ld_tape_free(tape);
}

Test(operations, weighted_error) {
  check_error("weighted_error", true);
  check_error("error", false);
}
