#include <math.h>
#include <string.h>

#include "base/vmath.h"
#include "linalg/rows.h"
#include "nn/linear.h"
#include "nn/ops.h"

/* The number of logits that exist at a time, (chunk, V). */
enum { LOGITS = 1 << 24, MIN_CHUNK = 16, MAX_CHUNK = 256 };

typedef struct loss_op {
  ld_tensor *x;
  const ld_linear *head;
  const ld_field *targets;
  const ld_batch *batch;
  double *loss;
  int chunk;
  float *dx; /* (T, C) gradient of the loss, computed in the forward pass; NULL when x is not trained */
} loss_op;

/* Carved from the scratch: gathered rows and their gradient (chunk, C), logits (chunk, V), and what the
 * head's product needs. With dropout between features and the head's change, also the features after dropout,
 * their gradient (T, C), and its gathered rows. */
typedef struct loss_scratch {
  float *x, *dx, *logits, *kept, *spare, *dropped, *dropped_grad, *seen;
  int *rows;
} loss_scratch;

static size_t carve(const ld_tape *tape, const loss_op *op, float *memory, loss_scratch *s) {
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
  size_t total = 0;
  for (int i = 0; i < N; i++) {
    places[i] = memory && sizes[i] ? memory + total : NULL;
    total += sizes[i];
  }
  if (memory)
    *s = (loss_scratch){places[0], places[1], places[2], places[3],       places[4],
                        places[5], places[6], places[7], (int *)places[8]};
  return total;
}

/* The loss of one row, which is replaced by its gradient, softmax - target. The target is 1 - smoothing at its
 * class, and smoothing / V more at every class (Szegedy et al., "Rethinking the Inception Architecture for
 * Computer Vision", 2015, section 7). */
static double row_loss(float *logits, int target, int V, float smoothing) {
  const float max = ld_row_max(logits, V);
  double wanted = (double)logits[target];
  if (smoothing > 0) wanted += (double)smoothing * ((double)ld_row_sum(logits, V) / V - wanted);
  const double sum = ld_row_exp(logits, max, V);
  ld_row_scale(logits, (float)(1.0 / sum), V);
  for (int i = 0; smoothing > 0 && i < V; i++) logits[i] -= smoothing / (float)V;
  logits[target] -= 1.0f - smoothing;
  return log(sum) + (double)max - wanted;
}

/* Lists the rows of the next chunk: those with targets from *row on. Moves *row past them and returns their
 * number. */
static int next_rows(const loss_op *op, int *row, int *rows) {
  int n = 0;
  for (; *row < op->x->rows && n < op->chunk; ++*row)
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

/* The head's product with n gathered rows. */
static ld_product product_of(const loss_op *op, const loss_scratch *s, int n, float *x) {
  const ld_linear *head = op->head;
  return (ld_product){.layer = head,
                      .T = n,
                      .dropped = s->seen != NULL,
                      .x = ld_side_at(x, head->in),
                      .y = ld_side_at(s->logits, head->out),
                      .kept = ld_side_at(s->kept, ld_linear_kept(head)),
                      .scratch = s->spare};
}

static void input_gradient(const loss_op *op, const loss_scratch *s, int n, enum ld_through through,
                           float *to) {
  const ld_product p = product_of(op, s, n, s->dx);
  ld_linear_input(&p, through);
  scatter(s->dx, s->rows, n, (size_t)op->head->in, to);
}

static void chunk_gradient(const loss_op *op, const loss_scratch *s, int n) {
  const ld_product p = product_of(op, s, n, s->seen ? s->seen : s->x);
  ld_linear_gradients(&p);
  if (!op->dx) return;
  input_gradient(op, s, n, s->seen ? LD_THROUGH_BASE : LD_THROUGH_ALL, op->dx);
  if (s->seen) input_gradient(op, s, n, LD_THROUGH_CHANGE, s->dropped_grad);
}

/* The logits of n rows. */
static void chunk_forward(const loss_op *op, const loss_scratch *s, int n) {
  const size_t C = (size_t)op->head->in;
  gather(op->x->data, (size_t)op->x->stride, s->rows, n, C, s->x);
  if (s->seen) gather(s->dropped, C, s->rows, n, C, s->seen);
  const ld_product seen = product_of(op, s, n, s->seen ? s->seen : s->x), p = product_of(op, s, n, s->x);
  ld_linear_read(&seen);
  ld_linear_forward(&p);
}

static void loss_forward(ld_tape *tape, void *self) {
  loss_op *op = self;
  const ld_tensor *x = op->x;
  const int C = op->head->in, V = op->head->out;
  const size_t all = (size_t)x->rows * (size_t)C * sizeof(float);
  loss_scratch s;
  carve(tape, op, ld_tape_scratch(tape), &s);
  if (op->dx) memset(op->dx, 0, all);
  if (s.seen) {
    ld_linear_dropout(op->head, op->batch, x->rows, C, ld_side_at(x->data, x->stride),
                      ld_side_at(s.dropped, C), false);
    memset(s.dropped_grad, 0, all);
  }
  double loss = 0;
  for (int row = 0, n; (n = next_rows(op, &row, s.rows)) > 0;) {
    chunk_forward(op, &s, n);
    for (int i = 0; i < n; i++)
      loss +=
          row_loss(s.logits + (size_t)i * (size_t)V, op->targets->ids[s.rows[i]], V, op->targets->smoothing);
    if (ld_tape_training(tape)) chunk_gradient(op, &s, n);
  }
  if (s.seen && op->dx)
    ld_linear_dropout(op->head, op->batch, x->rows, C, ld_side_at(s.dropped_grad, C), ld_side_at(op->dx, C),
                      true);
  *op->loss = loss;
}

static void loss_backward(ld_tape *tape, void *self) {
  (void)tape;
  loss_op *op = self;
  float *grad = ld_grad(op->x);
  if (!grad) return;
  ld_row_add(grad, op->dx, (size_t)op->x->rows * (size_t)op->x->cols);
}

static int count_targets(const ld_field *targets) {
  int n = 0;
  for (int t = 0; t < targets->n_rows; t++) n += targets->ids[t] >= 0;
  return n;
}

static int chunk_rows(int n_rows, int V) {
  int n = LOGITS / V;
  if (n < MIN_CHUNK) n = MIN_CHUNK;
  if (n > MAX_CHUNK) n = MAX_CHUNK;
  return n < n_rows ? n : n_rows;
}

void ld_op_cross_entropy(ld_tape *tape, ld_tensor *features, const ld_linear *head, const ld_field *targets,
                         const ld_batch *batch, double *loss) {
  loss_op *op = ld_tape_record(tape, sizeof *op);
  *op = (loss_op){.x = features, .head = head, .targets = targets, .batch = batch, .loss = loss};
  op->chunk = chunk_rows(targets->n_rows, head->out);
  const size_t n = (size_t)features->rows * (size_t)features->cols;
  ld_tape_push(tape, (ld_op){.name = "loss",
                             .self = op,
                             .forward = loss_forward,
                             .backward = loss_backward,
                             .in = LD_TENSORS(features),
                             .layers = LD_LAYERS(head),
                             .kept = {&op->dx, features->trained ? n : 0},
                             .scratch = carve(tape, op, NULL, NULL),
                             .work = ld_linear_work(head, count_targets(targets), features->trained)});
}

/* Losses of few outputs, which exist as a tensor. */
typedef struct output_loss {
  ld_tensor *outputs;
  const ld_field *targets;
  double *loss;
  float *gradient; /* (B, V), computed in the forward pass */
} output_loss;

static void class_forward(ld_tape *tape, void *self) {
  (void)tape;
  output_loss *op = self;
  const int V = op->outputs->cols;
  *op->loss = 0;
  for (int i = 0; i < op->outputs->rows; i++) {
    float *row = op->gradient + (size_t)i * (size_t)V;
    memset(row, 0, (size_t)V * sizeof *row);
    if (op->targets->ids[i] < 0) continue;
    memcpy(row, op->outputs->data + (size_t)i * (size_t)V, (size_t)V * sizeof *row);
    *op->loss += row_loss(row, op->targets->ids[i], V, op->targets->smoothing);
  }
}

/* Each logit by itself: log(1 + e^-|x|) does not overflow. */
static void binary_forward(ld_tape *tape, void *self) {
  (void)tape;
  output_loss *op = self;
  const size_t n = (size_t)op->outputs->rows * (size_t)op->outputs->cols;
  *op->loss = 0;
  for (size_t i = 0; i < n; i++) {
    const float x = op->outputs->data[i], target = (float)op->targets->ids[i];
    op->gradient[i] = 0;
    if (op->targets->ids[i] < 0) continue;
    const float small = ld_expf(x > 0 ? -x : x); /* e^-|x| */
    op->gradient[i] = (x > 0 ? 1 : small) / (1 + small) - target;
    *op->loss += log(1 + (double)small) + (double)(x > 0 ? x : 0) - (double)(x * target);
  }
}

static void value_forward(ld_tape *tape, void *self) {
  (void)tape;
  output_loss *op = self;
  *op->loss = 0;
  for (int i = 0; i < op->outputs->rows; i++) {
    const float value = op->targets->numbers[i], error = isnan(value) ? 0 : op->outputs->data[i] - value;
    *op->loss += (double)error * (double)error;
    op->gradient[i] = 2 * error;
  }
}

static void output_backward(ld_tape *tape, void *self) {
  (void)tape;
  output_loss *op = self;
  ld_row_add(ld_grad(op->outputs), op->gradient, (size_t)op->outputs->rows * (size_t)op->outputs->cols);
}

static void push_output_loss(ld_tape *tape, ld_tensor *outputs, const ld_field *targets, double *loss,
                             void (*forward)(ld_tape *tape, void *self)) {
  output_loss *op = ld_tape_record(tape, sizeof *op);
  *op = (output_loss){outputs, targets, loss, NULL};
  ld_tape_push(tape, (ld_op){.name = "loss",
                             .self = op,
                             .forward = forward,
                             .backward = output_backward,
                             .in = LD_TENSORS(outputs),
                             .kept = {&op->gradient, (size_t)outputs->rows * (size_t)outputs->cols}});
}

void ld_op_class_loss(ld_tape *tape, ld_tensor *logits, const ld_field *targets, double *loss) {
  push_output_loss(tape, logits, targets, loss, class_forward);
}

void ld_op_binary_loss(ld_tape *tape, ld_tensor *logits, const ld_field *targets, double *loss) {
  push_output_loss(tape, logits, targets, loss, binary_forward);
}

void ld_op_value_loss(ld_tape *tape, ld_tensor *outputs, const ld_field *targets, double *loss) {
  push_output_loss(tape, outputs, targets, loss, value_forward);
}
