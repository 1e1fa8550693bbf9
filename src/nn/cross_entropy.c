/* Cross-entropy over the outputs of a head, of which there may be a quarter of a million: a matrix (T, V) of all logits
 * would be the largest of a pass. There are two ways to do without it, each with its loop:
 *
 *   by_outputs    for a frozen head: some outputs of many rows at a time. Each row has the maximum of its logits so far, and
 *                 the sum of exp(logit - maximum); the gradient of its features is a sum with the same factors. When the
 *                 maximum grows, both are scaled. So the weight is read twice for many rows, for logits and gradient.
 *   by_rows       for a changed one: all outputs of some rows at a time, since the gradients of a change's parameters take
 *                 the softmax of whole rows. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/vmath.h"
#include "linalg/rows.h"
#include "nn/linear.h"
#include "nn/loss.h"
#include "nn/ops.h"

/* By outputs: how many at a time. Of so few rows that the scratch is about 32 MiB, but at least 256; with at most 1,500, and
 * one more for smoothing, they are one block of a product (linalg/gemm.c). */
enum { OUTPUTS = 1536, MOST_ROWS = 1500, LEAST_ROWS = 256, SCRATCH = 1 << 23 };

/* By rows: the number of logits that exist at a time, (chunk, V). */
enum { LOGITS = 1 << 24, LEAST_CHUNK = 16, MOST_CHUNK = 256 };

typedef struct loss_op {
  ld_tensor *x;
  const ld_linear *head;
  const ld_field *targets;
  const ld_batch *batch;
  double *loss;
  int chunk; /* the most rows at a time */
  float *dx; /* (T, C) gradient of the loss, computed in the forward pass; NULL when x is not trained */
} loss_op;

/* Lists the next rows that have targets, at most `most`, from *row on. Moves *row past them and returns their number. */
static int next_rows(const loss_op *op, int most, int *row, int *rows) {
  int n = 0;
  for (; *row < op->x->rows && n < most; ++*row)
    if (op->targets->ids[*row] >= 0) rows[n++] = *row;
  return n;
}

/* Copies n rows (C) of `from`, `stride` apart, to consecutive rows. */
static void gather(const float *from, size_t stride, const int *rows, int n, size_t C, float *to) {
  for (int i = 0; i < n; i++) memcpy(to + (size_t)i * C, from + (size_t)rows[i] * stride, C * sizeof(float));
}

static void scatter(const float *from, const int *rows, int n, size_t C, float *to) {
  for (int i = 0; i < n; i++) memcpy(to + (size_t)rows[i] * C, from + (size_t)i * C, C * sizeof(float));
}

/* Sizes, in floats, become places one after the other in the memory; NULL for a size of 0. */
static void place(float *memory, const size_t *sizes, int n, float **places) {
  for (int i = 0; i < n; memory += sizes[i++]) places[i] = sizes[i] ? memory : NULL;
}

static size_t sum_of(const size_t *sizes, int n) {
  size_t sum = 0;
  for (int i = 0; i < n; i++) sum += sizes[i];
  return sum;
}

static int count_targets(const ld_field *targets) {
  int n = 0;
  for (int t = 0; t < targets->n_rows; t++) n += targets->ids[t] >= 0;
  return n;
}

/* A row's logits so far. */
typedef struct row_state {
  double others;     /* the sum of exp(logit - max), without the target's */
  double logits;     /* their sum, for smoothing */
  float max, wanted; /* the largest, and the target's */
} row_state;

/* Carved from the scratch: a state for each row and its number; their x, gathered, and the gradient of that (chunk, C);
 * logits (chunk, OUTPUTS); a row of the weight (C). With smoothing gradient and logits have one more row. */
typedef struct outputs_scratch {
  row_state *states;
  int *rows;
  float *x, *dx, *logits, *weight;
} outputs_scratch;

static size_t carve_outputs(const loss_op *op, float *memory, outputs_scratch *s) {
  const size_t n = (size_t)op->chunk, C = (size_t)op->head->in, V = (size_t)op->head->out;
  const size_t more = n + (op->targets->smoothing > 0), back = op->x->trained ? C : 0;
  const size_t sizes[] = {n * sizeof(row_state) / sizeof(float), n,   n * C, more * back,
                          more * (V < OUTPUTS ? V : OUTPUTS),    back};
  enum { N = sizeof sizes / sizeof *sizes };
  float *places[N];
  if (s) {
    place(memory, sizes, N, places);
    *s = (outputs_scratch){
        (row_state *)places[0], (int *)places[1], places[2], places[3], places[4], places[5]};
  }
  return sum_of(sizes, N);
}

/* Outputs [from, from + n) of a frozen head. */
static ld_linear some_outputs(const ld_linear *head, int from, int n) {
  ld_linear some = *head;
  some.out = some.weight.rows = n;
  some.weight.numbers.first += (int64_t)from * head->in;
  if (some.bias) some.bias += from;
  return some;
}

/* Adds n logits to a row's state; `target` is the place of the target's, if it is one of them. They become
 * exp(logit - max), the target's 0. dx (C), which was summed with a smaller maximum, is scaled. */
static void add_logits(row_state *state, float *logits, int n, int target, float smoothing, float *dx,
                       int C) {
  const float max = ld_row_max(logits, n);
  if (max > state->max) {
    const float factor = ld_expf(state->max - max);
    state->others *= (double)factor;
    if (dx) ld_row_scale(dx, factor, C);
    state->max = max;
  }
  if (smoothing > 0) state->logits += (double)ld_row_sum(logits, n);
  if (target >= 0 && target < n) {
    state->wanted = logits[target];
    logits[target] = -INFINITY;
  }
  state->others += ld_row_exp(logits, state->max, n);
}

/* Adds outputs [from, from + n) to the states of n_rows rows and, in training, to the gradient of x. */
static void add_outputs(const loss_op *op, const outputs_scratch *s, int n_rows, int from, int n,
                        bool train) {
  const ld_linear some = some_outputs(op->head, from, n);
  const int C = op->head->in;
  const float smoothing = op->targets->smoothing;
  ld_product p = {.layer = &some, .T = n_rows, .x = ld_side_at(s->x, C), .y = ld_side_at(s->logits, n)};
  ld_linear_forward(&p);
  for (int i = 0; i < n_rows; i++)
    add_logits(&s->states[i], s->logits + (size_t)i * (size_t)n, n, op->targets->ids[s->rows[i]] - from,
               smoothing, train && from ? s->dx + (size_t)i * (size_t)C : NULL, C);
  if (!train) return;
  if (smoothing > 0) { /* one more row: the sum of the outputs' weights */
    for (int k = 0; k < n; k++) s->logits[(size_t)n_rows * (size_t)n + (size_t)k] = 1;
    p.T++;
  }
  p.x = ld_side_at(s->dx, C);
  if (from) p.start = p.x;
  ld_linear_input(&p, LD_THROUGH_ALL);
}

/* The gradient of a row's features, (C), from the row's sums. That of the target's logit, softmax - 1, is apart: as a
 * difference it would be lost where the softmax is close to 1. */
static void put_gradient(const loss_op *op, const outputs_scratch *s, int n_rows, int i, double sum) {
  const ld_linear *head = op->head;
  const int C = head->in, row = s->rows[i];
  const double smoothing = (double)op->targets->smoothing;
  const float whole = (float)(1 / sum), at_target = (float)(s->states[i].others / sum - smoothing);
  const float *dx = s->dx + (size_t)i * (size_t)C;
  float *to = op->dx + (size_t)row * (size_t)C;
  ld_coded_widen(s->weight, &head->weight.numbers, (int64_t)op->targets->ids[row] * C, C);
  for (int k = 0; k < C; k++) to[k] = whole * dx[k] - at_target * s->weight[k];
  if (smoothing == 0) return;
  const float *weights = s->dx + (size_t)n_rows * (size_t)C, at_each = (float)(smoothing / head->out);
  for (int k = 0; k < C; k++) to[k] -= at_each * weights[k];
}

/* The loss of n rows, and in training the gradients of their features. */
static double some_rows(const loss_op *op, const outputs_scratch *s, int n, bool train) {
  const int V = op->head->out, C = op->head->in;
  const double smoothing = (double)op->targets->smoothing;
  gather(op->x->data, (size_t)op->x->stride, s->rows, n, (size_t)C, s->x);
  for (int i = 0; i < n; i++) s->states[i] = (row_state){.max = -FLT_MAX};
  for (int from = 0; from < V; from += OUTPUTS)
    add_outputs(op, s, n, from, V - from < OUTPUTS ? V - from : OUTPUTS, train);
  double loss = 0;
  for (int i = 0; i < n; i++) {
    const row_state *state = &s->states[i];
    const double wanted = (double)state->wanted, max = (double)state->max;
    const double sum = state->others + (double)ld_expf(state->wanted - state->max);
    loss += log(sum) + max - wanted;
    if (smoothing > 0) loss += smoothing * (wanted - state->logits / V);
    if (train) put_gradient(op, s, n, i, sum);
  }
  return loss;
}

static void by_outputs(ld_tape *tape, void *self) {
  const loss_op *op = self;
  const bool train = ld_tape_training(tape) && op->dx;
  const int n_targets = count_targets(op->targets);
  outputs_scratch s;
  carve_outputs(op, ld_tape_scratch(tape), &s);
  if (train) memset(op->dx, 0, (size_t)op->x->rows * (size_t)op->head->in * sizeof(float));
  *op->loss = 0;
  if (!n_targets) return;
  const int n_chunks = (n_targets + op->chunk - 1) / op->chunk, most = (n_targets + n_chunks - 1) / n_chunks;
  for (int row = 0, n; (n = next_rows(op, most, &row, s.rows)) > 0;) *op->loss += some_rows(op, &s, n, train);
}

/* Carved from the scratch: gathered rows and their gradient (chunk, C), logits (chunk, V), and what the
 * head's product needs. With dropout between features and the head's change, also the features after dropout,
 * their gradient (T, C), and its gathered rows. */
typedef struct rows_scratch {
  float *x, *dx, *logits, *kept, *spare, *dropped, *dropped_grad, *seen;
  int *rows;
} rows_scratch;

static size_t carve_rows(const ld_tape *tape, const loss_op *op, float *memory, rows_scratch *s) {
  const ld_linear *head = op->head;
  const size_t n = (size_t)op->chunk, C = (size_t)head->in, drops = ld_linear_drops(tape, head);
  const size_t all = drops * (size_t)op->x->rows * C;
  const size_t sizes[] = {n * C,
                          n * C,
                          n * (size_t)head->out,
                          n * (size_t)ld_linear_kept(head),
                          n * (size_t)ld_linear_spare(head),
                          all,
                          all,
                          drops * n * C,
                          n};
  enum { N = sizeof sizes / sizeof *sizes };
  float *places[N];
  if (s) {
    place(memory, sizes, N, places);
    *s = (rows_scratch){places[0], places[1], places[2], places[3],       places[4],
                        places[5], places[6], places[7], (int *)places[8]};
  }
  return sum_of(sizes, N);
}

/* The head's product with n gathered rows. */
static ld_product product_of(const loss_op *op, const rows_scratch *s, int n, float *x) {
  const ld_linear *head = op->head;
  return (ld_product){.layer = head,
                      .T = n,
                      .dropped = s->seen != NULL,
                      .x = ld_side_at(x, head->in),
                      .y = ld_side_at(s->logits, head->out),
                      .kept = ld_side_at(s->kept, ld_linear_kept(head)),
                      .spare = ld_side_at(s->spare, ld_linear_spare(head))};
}

static void input_gradient(const loss_op *op, const rows_scratch *s, int n, enum ld_through through,
                           float *to) {
  const ld_product p = product_of(op, s, n, s->dx);
  ld_linear_input(&p, through);
  scatter(s->dx, s->rows, n, (size_t)op->head->in, to);
}

static void chunk_gradient(const loss_op *op, const rows_scratch *s, int n) {
  const ld_product p = product_of(op, s, n, s->seen ? s->seen : s->x);
  ld_linear_gradients(&p);
  if (!op->dx) return;
  input_gradient(op, s, n, s->seen ? LD_THROUGH_BASE : LD_THROUGH_ALL, op->dx);
  if (s->seen) input_gradient(op, s, n, LD_THROUGH_CHANGE, s->dropped_grad);
}

/* The logits of n rows. */
static void chunk_forward(const loss_op *op, const rows_scratch *s, int n) {
  const size_t C = (size_t)op->head->in;
  gather(op->x->data, (size_t)op->x->stride, s->rows, n, C, s->x);
  if (s->seen) gather(s->dropped, C, s->rows, n, C, s->seen);
  const ld_product seen = product_of(op, s, n, s->seen ? s->seen : s->x), p = product_of(op, s, n, s->x);
  ld_linear_read(&seen);
  ld_linear_forward(&p);
}

static void by_rows(ld_tape *tape, void *self) {
  loss_op *op = self;
  const ld_tensor *x = op->x;
  const int C = op->head->in, V = op->head->out;
  const size_t all = (size_t)x->rows * (size_t)C * sizeof(float);
  rows_scratch s;
  carve_rows(tape, op, ld_tape_scratch(tape), &s);
  if (op->dx) memset(op->dx, 0, all);
  if (s.seen) {
    ld_linear_dropout(op->head, op->batch, x->rows, C, ld_side_at(x->data, x->stride),
                      ld_side_at(s.dropped, C), false);
    memset(s.dropped_grad, 0, all);
  }
  double loss = 0;
  for (int row = 0, n; (n = next_rows(op, op->chunk, &row, s.rows)) > 0;) {
    chunk_forward(op, &s, n);
    for (int i = 0; i < n; i++)
      loss += ld_row_loss(s.logits + (size_t)i * (size_t)V, op->targets->ids[s.rows[i]], V,
                          op->targets->smoothing);
    if (ld_tape_training(tape)) chunk_gradient(op, &s, n);
  }
  if (s.seen && op->dx)
    ld_linear_dropout(op->head, op->batch, x->rows, C, ld_side_at(s.dropped_grad, C), ld_side_at(op->dx, C),
                      true);
  *op->loss = loss;
}

static void loss_backward(ld_tape *tape, void *self) {
  (void)tape;
  const loss_op *op = self;
  const ld_tensor *x = op->x;
  float *grad = ld_grad(x);
  for (int i = 0; grad && i < x->rows; i++)
    ld_row_add(grad + (ptrdiff_t)i * x->stride, op->dx + (ptrdiff_t)i * x->cols, (size_t)x->cols);
}

/* Whether some outputs can be taken at a time, which are rows of the weight. */
static bool goes_by_outputs(const ld_linear *head) {
  return !ld_linear_trains(head) && !head->transposed;
}

static int chunk_rows(const ld_linear *head, int n_rows) {
  const bool outputs = goes_by_outputs(head);
  const int least = outputs ? LEAST_ROWS : LEAST_CHUNK, most = outputs ? MOST_ROWS : MOST_CHUNK;
  int n = outputs ? SCRATCH / (2 * head->in + OUTPUTS) : LOGITS / head->out;
  if (n < least) n = least;
  if (n > most) n = most;
  return n < n_rows ? n : n_rows;
}

void ld_op_cross_entropy(ld_tape *tape, ld_tensor *features, const ld_linear *head, const ld_field *targets,
                         const ld_batch *batch, double *loss) {
  loss_op *op = ld_tape_record(tape, sizeof *op);
  *op = (loss_op){.x = features, .head = head, .targets = targets, .batch = batch, .loss = loss};
  op->chunk = chunk_rows(head, targets->n_rows);
  const size_t n = (size_t)features->rows * (size_t)features->cols;
  const bool outputs = goes_by_outputs(head);
  ld_tape_push(tape,
               (ld_op){.name = "loss",
                       .self = op,
                       .forward = outputs ? by_outputs : by_rows,
                       .backward = loss_backward,
                       .in = LD_TENSORS(features),
                       .layers = LD_LAYERS(head),
                       .kept = {&op->dx, features->trained ? n : 0},
                       .scratch = outputs ? carve_outputs(op, NULL, NULL) : carve_rows(tape, op, NULL, NULL),
                       .work = ld_linear_work(head, count_targets(targets), features->trained)});
}
