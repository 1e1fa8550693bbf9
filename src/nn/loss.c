#include "nn/loss.h"

#include <math.h>
#include <string.h>

#include "base/vmath.h"
#include "linalg/rows.h"
#include "nn/ops.h"

double ld_row_loss(float *logits, int target, int V, float smoothing) {
  const float max = ld_row_max(logits, V);
  double wanted = (double)logits[target];
  if (smoothing > 0) wanted += (double)smoothing * ((double)ld_row_sum(logits, V) / V - wanted);
  const double sum = ld_row_exp(logits, max, V);
  ld_row_scale(logits, (float)(1.0 / sum), V);
  for (int i = 0; smoothing > 0 && i < V; i++) logits[i] -= smoothing / (float)V;
  logits[target] -= 1.0f - smoothing;
  return log(sum) + (double)max - wanted;
}

/* A loss of few outputs, which exist as a tensor. */
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
    *op->loss += ld_row_loss(row, op->targets->ids[i], V, op->targets->smoothing);
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
