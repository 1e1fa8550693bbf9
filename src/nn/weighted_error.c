#include "base/vmath.h"
#include "linalg/rows.h"
#include "nn/ops.h"

typedef struct error_op {
  ld_maps x;
  const float *target, *weight;
  int channels;
  double *loss;
} error_op;

LD_VECTOR static float squared_error(const float *x, const float *target, int n) {
  LD_SUM(sum, n, (x[i] - target[i]) * (x[i] - target[i]));
  return sum;
}

LD_VECTOR static void add_error_gradient(float *dx, const float *x, const float *target, float factor,
                                         int n) {
  for (int i = 0; i < n; i++) dx[i] += factor * (x[i] - target[i]);
}

static int size_of(const error_op *op) {
  return op->x.height * op->x.width;
}

static size_t map_at(const error_op *op, int channel, int image) {
  return ((size_t)channel * (size_t)op->x.n + (size_t)image) * (size_t)size_of(op);
}

/* What the squares of an image's errors are multiplied by. */
static double factor_of(const error_op *op, int image) {
  return (op->weight ? (double)op->weight[image] : 1) / ((double)op->channels * size_of(op));
}

static void error_forward(ld_tape *tape, void *self) {
  (void)tape;
  const error_op *op = self;
  for (int b = 0; b < op->x.n; b++) {
    double sum = 0;
    for (int c = 0; c < op->channels; c++)
      sum +=
          (double)squared_error(op->x.x->data + map_at(op, c, b), op->target + map_at(op, c, b), size_of(op));
    *op->loss += factor_of(op, b) * sum;
  }
}

static void error_backward(ld_tape *tape, void *self) {
  (void)tape;
  const error_op *op = self;
  float *dx = ld_grad(op->x.x);
  for (int c = 0; dx && c < op->channels; c++)
    for (int b = 0; b < op->x.n; b++)
      add_error_gradient(dx + map_at(op, c, b), op->x.x->data + map_at(op, c, b),
                         op->target + map_at(op, c, b), (float)(2 * factor_of(op, b)), size_of(op));
}

void ld_op_weighted_error(ld_tape *tape, ld_maps x, const float *target, const float *weight, int channels,
                          double *loss) {
  error_op *op = ld_tape_record(tape, sizeof *op);
  *op = (error_op){x, target, weight, channels, loss};
  ld_tape_push(tape, (ld_op){.name = "loss",
                             .self = op,
                             .forward = error_forward,
                             .backward = error_backward,
                             .in = LD_TENSORS(x.x),
                             .backward_reads = LD_TENSORS(x.x)});
}
