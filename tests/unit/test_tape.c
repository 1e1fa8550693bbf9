/* The tape: blocks with several outputs, operations with many inputs, and what the planner frees. Gradients
 * are compared with differences of the loss, and their bits with those of a tape without blocks, which keeps
 * everything. */
#include "random.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "adapt/kinds.h"
#include "base/memory.h"
#include "linalg/codecs.h"
#include "nn/ops.h"

enum { T = 6, C = 5, RANK = 2, N_LAYERS = 8 };

typedef struct layer {
  ld_linear linear;
  ld_change change;
  ld_param params[LD_ADAPTER_ROLES];
} layer;

typedef struct net net;
struct net {
  layer layers[N_LAYERS];
  float x[T * C], scale[C];
  int32_t targets[T], segment[3];
  ld_batch batch;
  ld_tape *tape;
  bool blocks, recompute;
  ld_tensor *(*record)(net *n, ld_tensor *x); /* logits (T, C) */
};

static void make_layer(layer *l, uint32_t id) {
  float *weight = ld_alloc(C * C, sizeof *weight);
  fill_random(weight, C * C, 10 * id);
  for (int i = 0; i < C * C; i++) weight[i] /= sqrtf(C);
  l->linear = (ld_linear){.path = "", .in = C, .out = C, .weight = {ld_coded_floats(weight), C, C}};
  l->change = (ld_change){.functions = &ld_adapter_lora.functions,
                          .layer = &l->linear,
                          .params = l->params,
                          .rank = RANK,
                          .scaling = 0.7f,
                          .id = id};
  ld_adapter_lora.lay_out(&l->change);
  for (int i = 0; i < l->change.n_params; i++) {
    ld_param *param = &l->params[i];
    param->data = ld_alloc(param->count, sizeof(float));
    param->grad = ld_alloc(param->count, sizeof(float));
    fill_random(param->data, param->count, 10 * id + 1 + (uint64_t)i);
  }
  l->linear.change = &l->change;
}

static net *make_net(ld_tensor *(*record)(net *n, ld_tensor *x)) {
  net *n = ld_alloc(1, sizeof *n);
  n->record = record;
  for (int i = 0; i < N_LAYERS; i++) make_layer(&n->layers[i], (uint32_t)i + 1);
  fill_random(n->x, T * C, 1000);
  fill_random(n->scale, C, 1001);
  for (int i = 0; i < T; i++) n->targets[i] = i % C;
  n->segment[1] = T / 2;
  n->segment[2] = T;
  n->batch = (ld_batch){.fields = {{.name = LD_TEXT, .n_rows = T, .n_segments = 2, .segment = n->segment},
                                   {.name = LD_TARGETS, .n_rows = T, .ids = n->targets}}};
  n->tape = ld_tape_create();
  return n;
}

static void free_net(net *n) {
  for (int i = 0; i < N_LAYERS; i++) {
    for (int k = 0; k < n->layers[i].change.n_params; k++) {
      free(n->layers[i].params[k].data);
      free(n->layers[i].params[k].grad);
    }
    free((void *)n->layers[i].linear.weight.numbers.data);
  }
  ld_tape_free(n->tape);
  free(n);
}

static void begin(net *n) {
  if (n->blocks) ld_tape_block_begin(n->tape);
}

static void end(net *n, ld_tensor *const *outputs) {
  if (n->blocks) ld_tape_block_end(n->tape, outputs);
}

static ld_tensor *linear(net *n, ld_tensor *x, int which) {
  return ld_op_linear(n->tape, x, &n->layers[which].linear, &n->batch);
}

static double run(net *n, bool backward) {
  double loss = 0;
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(n->tape, LD_PASS_TRAIN, dry, n->recompute);
    ld_op_class_loss(n->tape, n->record(n, ld_tape_input(n->tape, n->x, T, C)), &n->batch.fields[1], &loss);
    if (backward) ld_tape_backward(n->tape);
    if (dry) cr_assert(ld_tape_reserve(n->tape));
  }
  return loss;
}

static void check_slopes(net *n, ld_param *param) {
  const float step = 1e-3f;
  for (size_t i = 0; i < param->count; i++) {
    const float was = param->data[i];
    param->data[i] = was + step;
    const double up = run(n, false);
    param->data[i] = was - step;
    const double down = run(n, false);
    param->data[i] = was;
    const double slope = (up - down) / (2 * (double)step);
    cr_assert_float_eq(slope, (double)param->grad[i], 2e-3 + 1e-2 * fabs(slope),
                       "%s of %d, [%zu]: %g, not %g", param->role, (int)(param - n->layers[0].params), i,
                       (double)param->grad[i], slope);
  }
}

/* Gradients without blocks, then that they have the same bits with blocks, kept or recomputed. */
static void check_net(ld_tensor *(*record)(net *n, ld_tensor *x), int n_layers) {
  net *n = make_net(record);
  float want[N_LAYERS][LD_ADAPTER_ROLES][RANK * C];
  const double loss = run(n, true);
  for (int l = 0; l < n_layers; l++)
    for (int k = 0; k < n->layers[l].change.n_params; k++) {
      ld_param *param = &n->layers[l].params[k];
      check_slopes(n, param);
      memcpy(want[l][k], param->grad, param->count * sizeof(float));
    }
  n->blocks = true;
  for (int mode = 0; mode < 2; mode++) {
    n->recompute = mode;
    for (int l = 0; l < n_layers; l++)
      for (int k = 0; k < n->layers[l].change.n_params; k++)
        memset(n->layers[l].params[k].grad, 0, n->layers[l].params[k].count * sizeof(float));
    cr_assert_eq(run(n, true), loss);
    for (int l = 0; l < n_layers; l++)
      for (int k = 0; k < n->layers[l].change.n_params; k++)
        cr_assert_arr_eq(n->layers[l].params[k].grad, want[l][k],
                         n->layers[l].params[k].count * sizeof(float), "layer %d, mode %d", l, mode);
  }
  free_net(n);
}

/* Rows that move, and that get what belongs to their position. */
static ld_tensor *record_rows(net *n, ld_tensor *x) {
  static const int32_t rows[T] = {2, 0, 1, 5, 3, 4};
  static const ld_field field = {.positions = rows};
  begin(n);
  ld_tensor *h = linear(n, x, 0);
  ld_tensor *y = ld_op_pick_rows(n->tape, h, rows, T);
  y = ld_op_add_positions(n->tape, y, &field, n->x, T - 2);
  y = ld_op_swiglu(n->tape, h, y);
  end(n, LD_TENSORS(y));
  return linear(n, y, 1);
}

Test(tape, rows_move_and_get_positions) {
  check_net(record_rows, 2);
}

/* The gradients of a product with a gate, longer than a strip that is zeroed at a time; in the second real pass their memory
 * holds those of the first. */
enum { WIDE = 1700, TALL = 3 };

static void check_gates(bool one) {
  static float values[2][TALL * WIDE];
  static const int32_t classes[TALL] = {5, 0, WIDE - 1};
  const ld_field targets = {.n_rows = TALL, .ids = classes};
  for (int i = 0; i < TALL * WIDE; i++) values[0][i] = sinf((float)i), values[1][i] = cosf(3 * (float)i);
  ld_tape *tape = ld_tape_create();
  ld_tensor *gate = NULL, *x = NULL, *y = NULL;
  double loss;
  for (int pass = 0; pass < 3; pass++) {
    ld_tape_begin(tape, LD_PASS_TRAIN, !pass, false);
    gate = ld_tape_input(tape, values[0], TALL, WIDE);
    x = one ? gate : ld_tape_input(tape, values[1], TALL, WIDE);
    gate->trained = x->trained = true;
    y = ld_op_swiglu(tape, gate, x);
    ld_op_class_loss(tape, y, &targets, &loss);
    ld_tape_backward(tape);
    if (!pass) cr_assert(ld_tape_reserve(tape));
  }
  for (int t = 0; t < TALL; t++) {
    double sum = 0;
    for (int i = 0; i < WIDE; i++) sum += exp((double)y->data[t * WIDE + i]);
    for (int i = 0; i < WIDE; i++) {
      const int at = t * WIDE + i;
      const double g = (double)gate->data[at], s = 1 / (1 + exp(-g));
      const double dy = exp((double)y->data[at]) / sum - (i == classes[t]);
      const double dgate = dy * (double)x->data[at] * s * (1 + g * (1 - s)), dx = dy * g * s;
      cr_assert_float_eq(gate->grad[at], one ? dgate + dx : dgate, 1e-6, "gate %d", at);
      cr_assert_float_eq(x->grad[at], one ? dgate + dx : dx, 1e-6, "x %d", at);
    }
  }
  ld_tape_free(tape);
}

Test(tape, gradients_of_gates_are_written_whole) {
  check_gates(false);
  check_gates(true);
}

/* An operation with five inputs: y = a b + b c + c d + d e. */
enum { N_IN = 5 };
typedef struct chain_op {
  ld_tensor *x[N_IN], *y;
} chain_op;

static void chain_forward(ld_tape *tape, void *self) {
  (void)tape;
  const chain_op *op = self;
  for (int i = 0; i < T * C; i++) {
    op->y->data[i] = 0;
    for (int k = 1; k < N_IN; k++) op->y->data[i] += op->x[k - 1]->data[i] * op->x[k]->data[i];
  }
}

static void chain_backward(ld_tape *tape, void *self) {
  (void)tape;
  const chain_op *op = self;
  for (int k = 1; k < N_IN; k++)
    for (int i = 0; i < T * C; i++) {
      float *left = ld_grad(op->x[k - 1]), *right = ld_grad(op->x[k]);
      if (left) left[i] += op->x[k]->data[i] * op->y->grad[i];
      if (right) right[i] += op->x[k - 1]->data[i] * op->y->grad[i];
    }
}

static ld_tensor *chain(ld_tape *tape, ld_tensor *const *x) {
  chain_op *op = ld_tape_record(tape, sizeof *op);
  memcpy(op->x, x, sizeof op->x);
  op->y = ld_tape_tensor(tape, T, C);
  ld_tape_push(tape, (ld_op){.name = "chain",
                             .self = op,
                             .forward = chain_forward,
                             .backward = chain_backward,
                             .out = op->y,
                             .in = x,
                             .backward_reads = x});
  return op->y;
}

/* A small U-Net: the first block has two outputs, of which the last block reads one; the second block has an
 * output that nothing reads. */
static ld_tensor *record_unet(net *n, ld_tensor *x) {
  begin(n);
  ld_tensor *skip = ld_op_activation(n->tape, linear(n, x, 0), LD_GELU_TANH);
  ld_tensor *down = linear(n, ld_op_rms_norm(n->tape, skip, n->scale, C, 1e-5f), 1);
  end(n, LD_TENSORS(skip, down));

  begin(n);
  ld_tensor *h = ld_op_rms_norm(n->tape, down, n->scale, C, 1e-5f);
  ld_tensor *unread = ld_op_activation(n->tape, linear(n, h, 2), LD_SILU);
  ld_tensor *middle = ld_op_linear_accumulate(n->tape, down, unread, &n->layers[3].linear, &n->batch);
  unread = linear(n, unread, 4);
  end(n, LD_TENSORS(unread, middle));

  begin(n);
  h = ld_op_linear_accumulate(n->tape, skip, middle, &n->layers[5].linear, &n->batch);
  ld_tensor *up = ld_op_activation(n->tape, linear(n, h, 6), LD_TANH);
  h = chain(n->tape, LD_TENSORS(skip, up, middle, x, h));
  end(n, LD_TENSORS(h));
  return linear(n, h, 7);
}

Test(tape, a_block_may_have_several_outputs) {
  check_net(record_unet, 8);
}

/* An encoder whose states both decoder blocks read. */
static ld_tensor *record_decoder(net *n, ld_tensor *x) {
  const ld_attention shape = {.n_heads = 1, .n_kv_heads = 1, .head_dim = C, .scale = 0.5f};
  begin(n);
  ld_tensor *states = ld_op_activation(n->tape, linear(n, x, 0), LD_GELU_ERF);
  end(n, LD_TENSORS(states));
  for (int k = 1; k < 7; k += 3) {
    begin(n);
    ld_tensor *h = ld_op_rms_norm(n->tape, x, n->scale, C, 1e-5f);
    ld_tensor *q = linear(n, h, k), *key = linear(n, states, k + 1);
    h = ld_op_attention(n->tape, q, key, states, &shape, &n->batch.fields[0], &n->batch.fields[0]);
    x = ld_op_linear_accumulate(n->tape, x, h, &n->layers[k + 2].linear, &n->batch);
    end(n, LD_TENSORS(x));
  }
  return linear(n, x, 7);
}

Test(tape, later_blocks_may_read_one_output) {
  check_net(record_decoder, 8);
}

/* Operations that count their runs and read the given tensors. */
enum { SIZE = 64 / sizeof(float) }; /* of a tensor: what the arena rounds to */

static void count_run(ld_tape *tape, void *self) {
  (void)tape;
  ++*(int *)self;
}

static void no_gradient(ld_tape *tape, void *self) {
  (void)tape, (void)self;
}

/* `own`: backward reads the operation's output, not its input. */
static ld_tensor *step(ld_tape *tape, ld_tensor *x, bool cheap, bool reads, bool own, int *runs) {
  ld_tensor *y = ld_tape_tensor(tape, 1, SIZE);
  ld_tape_push(tape, (ld_op){.name = "step",
                             .self = runs,
                             .forward = count_run,
                             .backward = no_gradient,
                             .out = y,
                             .in = LD_TENSORS(x),
                             .backward_reads = LD_TENSORS(!reads ? NULL
                                                          : own  ? y
                                                                 : x),
                             .cheap = cheap});
  return y;
}

/* What two blocks keep and run again. */
enum { NORM, LAYER, UNREAD, SCALED, LAST, N_STEPS };

static ld_tensor *record_steps(ld_tape *tape, ld_tensor *x, int runs[N_STEPS]) {
  ld_tape_block_begin(tape);
  ld_tensor *h =
      step(tape, x, true, true, false, &runs[NORM]);     /* cheap, and its input exists: computed again */
  h = step(tape, h, false, true, false, &runs[LAYER]);   /* not read in the backward pass: transient */
  h = step(tape, h, false, false, false, &runs[UNREAD]); /* the same */
  h = step(tape, h, true, true, true, &runs[SCALED]);    /* cheap, but its input does not exist: stays */
  x = step(tape, h, false, false, false, &runs[LAST]);
  ld_tape_block_end(tape, LD_TENSORS(x));
  return x;
}

static size_t run_steps(enum ld_pass pass, bool recompute, int runs[N_STEPS]) {
  ld_tape *tape = ld_tape_create();
  float input[SIZE] = {0};
  size_t bytes = 0;
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, pass, dry, recompute);
    ld_tensor *x = ld_tape_input(tape, input, 1, SIZE);
    x->trained = pass == LD_PASS_TRAIN;
    for (int i = 0; i < 2; i++) x = record_steps(tape, x, runs);
    int last = 0;
    ld_tape_push(tape, (ld_op){.name = "end",
                               .self = &last,
                               .forward = count_run,
                               .backward = no_gradient,
                               .in = LD_TENSORS(x)});
    bytes = ld_tape_bytes(tape); /* without gradients */
    if (pass == LD_PASS_TRAIN) ld_tape_backward(tape);
    if (dry) cr_assert(ld_tape_reserve(tape));
    if (dry) cr_assert_eq(runs[NORM], 0);
  }
  ld_tape_free(tape);
  return bytes;
}

static void check_steps(enum ld_pass pass, bool recompute, size_t n_tensors, const int *want) {
  int runs[N_STEPS] = {0};
  cr_assert_eq(run_steps(pass, recompute, runs), 64 * n_tensors);
  cr_assert_arr_eq(runs, want, sizeof runs);
}

Test(tape, what_stays_and_what_is_made_again) {
  /* Two of each block stay; three are transient. */
  check_steps(LD_PASS_TRAIN, false, 2 * 2 + 3, (int[]){4, 2, 2, 2, 2});
  /* The outputs stay; what the backward pass reads is computed again with everything that it depends on; the
   * last one is not. */
  check_steps(LD_PASS_TRAIN, true, 2 + 4, (int[]){4, 4, 4, 4, 2});
  check_steps(LD_PASS_INFER, false, 2 + 4, (int[]){2, 2, 2, 2, 2});
}
