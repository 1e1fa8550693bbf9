#include <math.h>

#include "base/vmath.h"
#include "linalg/rows.h"
#include "nn/change.h"
#include "nn/ops.h"

typedef struct norm_op {
  ld_tensor *x, *y;
  const float *weight, *bias;
  int width;
  float eps;
  ld_change *change; /* of weight and bias; NULL: they are frozen */
  float *rstd;       /* 1 / deviation of each run of `width`; for a layer norm followed by the mean of each */
} norm_op;

/* Where run `run` starts in x, its gradient, y, or dy: runs are numbered across rows. */
static size_t run_start(const ld_tensor *tensor, int width, size_t run) {
  const size_t per_row = (size_t)(tensor->cols / width);
  return run / per_row * (size_t)tensor->stride + run % per_row * (size_t)width;
}

static size_t n_runs(const norm_op *op) {
  return (size_t)op->x->rows * (size_t)(op->x->cols / op->width);
}

LD_VECTOR static void scale_row(float *y, const float *x, const float *weight, float factor, int n) {
  for (int i = 0; i < n; i++) y[i] = x[i] * factor * weight[i];
}

static void rms_forward(ld_tape *tape, void *self) {
  (void)tape;
  norm_op *op = self;
  const int n = op->width;
  for (size_t r = 0; r < n_runs(op); r++) {
    const float *x = op->x->data + run_start(op->x, n, r);
    const float rstd = 1.0f / sqrtf(ld_row_dot(x, x, n) / (float)n + op->eps);
    op->rstd[r] = rstd;
    scale_row(op->y->data + run_start(op->y, n, r), x, op->weight, rstd, n);
  }
}

LD_VECTOR static void rms_row_backward(float *dx, const float *dy, const float *x, const float *weight,
                                       float rstd, float slope, int n) {
  for (int i = 0; i < n; i++) dx[i] += rstd * dy[i] * weight[i] - slope * x[i];
}

/* y_i = w_i x_i r with r = (mean x^2 + eps)^(-1/2):  dx_i = r w_i dy_i - x_i r^3 / n sum_j w_j dy_j x_j. */
static void rms_backward(ld_tape *tape, void *self) {
  (void)tape;
  norm_op *op = self;
  const int n = op->width;
  float *grad = ld_grad(op->x);
  for (size_t r = 0; r < n_runs(op); r++) {
    const size_t at = run_start(op->x, n, r);
    const float *x = op->x->data + at, *dy = op->y->grad + run_start(op->y, n, r);
    const float rstd = op->rstd[r];
    const float slope = ld_row_dot3(dy, op->weight, x, n) * rstd * rstd * rstd / (float)n;
    rms_row_backward(grad + at, dy, x, op->weight, rstd, slope, n);
  }
}

LD_VECTOR static void layer_row(float *y, const float *x, const float *weight, const float *bias, float mean,
                                float rstd, int n) {
  for (int i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd * weight[i] + bias[i];
}

LD_VECTOR static float centred_squares(const float *x, float mean, int n) {
  LD_SUM(sum, n, (x[i] - mean) * (x[i] - mean));
  return sum;
}

static void layer_forward(ld_tape *tape, void *self) {
  (void)tape;
  norm_op *op = self;
  const int n = op->width;
  float *mean = op->rstd + n_runs(op);
  for (size_t r = 0; r < n_runs(op); r++) {
    const float *x = op->x->data + run_start(op->x, n, r);
    mean[r] = ld_row_sum(x, n) / (float)n;
    op->rstd[r] = 1.0f / sqrtf(centred_squares(x, mean[r], n) / (float)n + op->eps);
    layer_row(op->y->data + run_start(op->y, n, r), x, op->weight, op->bias, mean[r], op->rstd[r], n);
  }
}

LD_VECTOR static void layer_row_backward(float *dx, const float *dy, const float *x, const float *w,
                                         float mean, float rstd, int n) {
  LD_SUM(sum, n, dy[i] * w[i]);
  LD_SUM(sum_x, n, dy[i] * w[i] * (x[i] - mean));
  const float shift = sum / (float)n, slope = sum_x * rstd * rstd / (float)n;
  for (int i = 0; i < n; i++) dx[i] += rstd * (dy[i] * w[i] - shift - slope * (x[i] - mean));
}

LD_VECTOR static void row_gradients(float *dw, float *db, const float *dy, const float *x, float mean,
                                    float rstd, int n) {
  for (int i = 0; i < n; i++) {
    dw[i] += dy[i] * (x[i] - mean) * rstd;
    db[i] += dy[i];
  }
}

/* With g = w dy and z = (x - mean) r:  dx = r (g - mean(g) - z mean(g z)), dw = sum dy z, db = sum dy. */
static void layer_backward(ld_tape *tape, void *self) {
  (void)tape;
  norm_op *op = self;
  float *grad = ld_grad(op->x);
  const float *mean = op->rstd + n_runs(op);
  for (size_t r = 0; r < n_runs(op); r++) {
    const size_t at = run_start(op->x, op->width, r);
    const float *dy = op->y->grad + run_start(op->y, op->width, r);
    if (op->change)
      row_gradients(op->change->params[0].grad, op->change->params[1].grad, dy, op->x->data + at, mean[r],
                    op->rstd[r], op->width);
    if (!grad) continue;
    layer_row_backward(grad + at, dy, op->x->data + at, op->weight, mean[r], op->rstd[r], op->width);
  }
}

ld_tensor *ld_op_rms_norm(ld_tape *tape, ld_tensor *x, const float *weight, int width, float eps) {
  norm_op *op = ld_tape_record(tape, sizeof *op);
  *op = (norm_op){.x = x, .weight = weight, .width = width, .eps = eps};
  op->y = ld_tape_tensor(tape, x->rows, x->cols);
  ld_tape_push(tape, (ld_op){.name = "rms_norm",
                             .self = op,
                             .forward = rms_forward,
                             .backward = rms_backward,
                             .out = op->y,
                             .in = LD_TENSORS(x),
                             .backward_reads = LD_TENSORS(x),
                             .kept = {&op->rstd, n_runs(op)},
                             .cheap = true});
  return op->y;
}

static ld_tensor *push_layer_norm(ld_tape *tape, norm_op *op, const ld_linear *norm) {
  op->width = op->x->cols;
  op->y = ld_tape_tensor(tape, op->x->rows, op->x->cols);
  ld_tape_push(tape, (ld_op){.name = "layer_norm",
                             .self = op,
                             .forward = layer_forward,
                             .backward = layer_backward,
                             .out = op->y,
                             .in = LD_TENSORS(op->x),
                             .backward_reads = LD_TENSORS(op->x),
                             .layers = LD_LAYERS(norm),
                             .kept = {&op->rstd, 2 * n_runs(op)},
                             .cheap = true});
  return op->y;
}

ld_tensor *ld_op_layer_norm(ld_tape *tape, ld_tensor *x, const float *weight, const float *bias, float eps) {
  norm_op *op = ld_tape_record(tape, sizeof *op);
  *op = (norm_op){.x = x, .weight = weight, .bias = bias, .eps = eps};
  return push_layer_norm(tape, op, NULL);
}

ld_tensor *ld_op_trained_norm(ld_tape *tape, ld_tensor *x, const ld_linear *norm, float eps) {
  norm_op *op = ld_tape_record(tape, sizeof *op);
  ld_change *change = norm->change;
  *op = (norm_op){.x = x, .eps = eps, .change = change};
  op->weight = change ? change->params[0].data : norm->weight.numbers.data;
  op->bias = change ? change->params[1].data : norm->bias;
  return push_layer_norm(tape, op, norm);
}
