#include <math.h>
#include <string.h>

#include "nn/linear.h"
#include "nn/ops.h"
#include "nn/rows.h"

/* Logits that exist at a time, in floats: (chunk, V). */
enum { LOGITS = 1 << 24, MIN_CHUNK = 16, MAX_CHUNK = 256 };

typedef struct loss_op {
  ld_tensor *x;
  const ld_linear *head;
  const ld_batch *batch;
  double *loss;
  int chunk;
  float *dx; /* (T, C) gradient of the loss, found in the forward pass; NULL when x is not trained */
} loss_op;

/* Carved from the scratch: gathered rows and their gradient (chunk, C), logits (chunk, V), what the head's
 * product needs. */
typedef struct loss_scratch {
  float *x, *dx, *logits, *kept, *spare;
  int *rows;
} loss_scratch;

static size_t carve(const loss_op *op, float *memory, loss_scratch *s) {
  const size_t n = (size_t)op->chunk, C = (size_t)op->head->in, V = (size_t)op->head->out;
  const size_t kept = (size_t)ld_linear_kept(op->head), spare = (size_t)ld_linear_spare(op->head);
  const size_t sizes[] = {n * C, n * C, n * V, n * kept, n * spare, n};
  float *places[6];
  size_t total = 0;
  for (int i = 0; i < 6; i++) {
    places[i] = memory ? memory + total : NULL;
    total += sizes[i];
  }
  if (memory) *s = (loss_scratch){places[0], places[1], places[2], places[3], places[4], (int *)places[5]};
  return total;
}

/* The loss of one row; leaves softmax - onehot, the gradient, in its place. */
static double row_loss(float *logits, int target, int V) {
  const float max = ld_row_max(logits, V);
  const double at_target = (double)logits[target];
  const double sum = ld_row_exp(logits, max, V);
  ld_row_scale(logits, (float)(1.0 / sum), V);
  logits[target] -= 1.0f;
  return log(sum) + (double)max - at_target;
}

/* Next rows that have targets, from *row on; moves *row behind them. */
static int gather(const loss_op *op, int *row, const loss_scratch *s) {
  const size_t C = (size_t)op->head->in;
  int n = 0;
  for (; *row < op->x->rows && n < op->chunk; ++*row) {
    if (op->batch->targets[*row] < 0) continue;
    memcpy(s->x + (size_t)n * C, op->x->data + (size_t)*row * (size_t)op->x->stride, C * sizeof(float));
    s->rows[n++] = *row;
  }
  return n;
}

/* The head's product of n gathered rows. */
static ld_product product_of(const loss_op *op, const loss_scratch *s, int n) {
  const ld_linear *head = op->head;
  return (ld_product){.layer = head,
                      .T = n,
                      .x = {s->x, head->in},
                      .y = {s->logits, head->out},
                      .kept = {s->kept, ld_linear_kept(head)},
                      .scratch = s->spare};
}

static void chunk_gradient(const loss_op *op, const loss_scratch *s, ld_product p) {
  const size_t C = (size_t)op->head->in;
  ld_linear_gradients(&p);
  if (!op->dx) return;
  p.x.data = s->dx;
  ld_linear_input(&p, LD_THROUGH_ALL);
  for (int i = 0; i < p.T; i++) memcpy(op->dx + (size_t)s->rows[i] * C, s->dx + (size_t)i * C, C * sizeof(float));
}

static void loss_forward(ld_tape *tape, void *self) {
  loss_op *op = self;
  const int C = op->head->in, V = op->head->out;
  loss_scratch s;
  carve(op, ld_tape_scratch(tape), &s);
  if (op->dx) memset(op->dx, 0, (size_t)op->x->rows * (size_t)C * sizeof(float));
  double loss = 0;
  for (int row = 0, n; (n = gather(op, &row, &s)) > 0;) {
    const ld_product p = product_of(op, &s, n);
    ld_linear_read(&p);
    ld_linear_forward(&p);
    for (int i = 0; i < n; i++)
      loss += row_loss(s.logits + (size_t)i * (size_t)V, op->batch->targets[s.rows[i]], V);
    if (ld_tape_training(tape)) chunk_gradient(op, &s, p);
  }
  *op->loss = loss;
}

static void loss_backward(ld_tape *tape, void *self) {
  (void)tape;
  loss_op *op = self;
  float *grad = ld_grad(op->x);
  if (!grad) return;
  ld_row_add(grad, op->dx, (size_t)op->x->rows * (size_t)op->x->cols);
}

static int count_targets(const ld_batch *batch) {
  int n = 0;
  for (int t = 0; t < batch->n_tokens; t++) n += batch->targets[t] >= 0;
  return n;
}

static int chunk_rows(const ld_batch *batch, int V) {
  int n = LOGITS / V, targets = batch->n_tokens;
  if (n < MIN_CHUNK) n = MIN_CHUNK;
  if (n > MAX_CHUNK) n = MAX_CHUNK;
  return n < targets ? n : targets;
}

void ld_op_cross_entropy(ld_tape *tape, ld_tensor *features, const ld_linear *head, const ld_batch *batch,
                         double *loss) {
  loss_op *op = ld_tape_record(tape, sizeof *op);
  *op = (loss_op){.x = features, .head = head, .batch = batch, .loss = loss};
  op->chunk = chunk_rows(batch, head->out);
  if (features->trained) op->dx = ld_tape_floats(tape, (size_t)features->rows * (size_t)features->cols);
  ld_tape_need_scratch(tape, carve(op, NULL, NULL));
  ld_linear_count(tape, head, count_targets(batch), features->trained);
  ld_tape_push(tape, (ld_op){"loss", loss_forward, loss_backward, op, NULL, {features}});
}

/* Losses of few outputs, which are there as a tensor. */
typedef struct output_loss {
  ld_tensor *outputs;
  const ld_batch *batch;
  double *loss;
  float *gradient; /* (B, V), found in the forward pass */
} output_loss;

static void class_forward(ld_tape *tape, void *self) {
  (void)tape;
  output_loss *op = self;
  const int V = op->outputs->cols;
  *op->loss = 0;
  for (int i = 0; i < op->outputs->rows; i++) {
    float *row = op->gradient + (size_t)i * (size_t)V;
    memset(row, 0, (size_t)V * sizeof *row);
    if (op->batch->targets[i] < 0) continue;
    memcpy(row, op->outputs->data + (size_t)i * (size_t)V, (size_t)V * sizeof *row);
    *op->loss += row_loss(row, op->batch->targets[i], V);
  }
}

static void value_forward(ld_tape *tape, void *self) {
  (void)tape;
  output_loss *op = self;
  *op->loss = 0;
  for (int i = 0; i < op->outputs->rows; i++) {
    const float value = op->batch->values[i], error = isnan(value) ? 0 : op->outputs->data[i] - value;
    *op->loss += (double)error * (double)error;
    op->gradient[i] = 2 * error;
  }
}

static void output_backward(ld_tape *tape, void *self) {
  (void)tape;
  output_loss *op = self;
  ld_row_add(ld_grad(op->outputs), op->gradient, (size_t)op->outputs->rows * (size_t)op->outputs->cols);
}

static void push_output_loss(ld_tape *tape, ld_tensor *outputs, const ld_batch *batch, double *loss,
                             void (*forward)(ld_tape *tape, void *self)) {
  output_loss *op = ld_tape_record(tape, sizeof *op);
  *op = (output_loss){outputs, batch, loss, NULL};
  op->gradient = ld_tape_floats(tape, (size_t)outputs->rows * (size_t)outputs->cols);
  ld_tape_push(tape, (ld_op){"loss", forward, output_backward, op, NULL, {outputs}});
}

void ld_op_class_loss(ld_tape *tape, ld_tensor *logits, const ld_batch *batch, double *loss) {
  push_output_loss(tape, logits, batch, loss, class_forward);
}

void ld_op_value_loss(ld_tape *tape, ld_tensor *outputs, const ld_batch *batch, double *loss) {
  push_output_loss(tape, outputs, batch, loss, value_forward);
}
