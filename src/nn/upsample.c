/* Maps enlarged by repeating the nearest pixel, with the rounding of PyTorch. */
#include <math.h>
#include <string.h>

#include "base/vmath.h"
#include "linalg/rows.h"
#include "nn/ops.h"

typedef struct upsample_op {
  ld_maps x, y;
  int *column; /* (y.width): the column of x that each is taken from */
} upsample_op;

/* Output pixel `at` of `out` is input pixel floor(at * (in / out)), in float except at the sizes that PyTorch
 * computes exactly. */
static int source(int at, int in, int out) {
  if (out == in) return at;
  if (out == 2 * in) return at / 2;
  const int from = (int)floorf((float)at * ((float)in / (float)out));
  return from < in ? from : in - 1;
}

LD_VECTOR static void double_row(float *y, const float *x, int n) {
  for (int i = 0; i < n; i++) y[2 * i] = y[2 * i + 1] = x[i];
}

LD_VECTOR static void double_row_backward(float *dx, const float *dy, int n) {
  for (int i = 0; i < n; i++) dx[i] += dy[2 * i] + dy[2 * i + 1];
}

static void stretch_row(const upsample_op *op, float *y, const float *x) {
  if (op->y.width == 2 * op->x.width)
    double_row(y, x, op->x.width);
  else
    for (int i = 0; i < op->y.width; i++) y[i] = x[op->column[i]];
}

static void stretch_row_backward(const upsample_op *op, float *dx, const float *dy) {
  if (op->y.width == 2 * op->x.width)
    double_row_backward(dx, dy, op->x.width);
  else
    for (int i = 0; i < op->y.width; i++) dx[op->column[i]] += dy[i];
}

static void upsample_forward(ld_tape *tape, void *self) {
  (void)tape;
  const upsample_op *op = self;
  const size_t W = (size_t)op->y.width, n_maps = (size_t)op->x.x->rows * (size_t)op->x.n;
  const float *x = op->x.x->data;
  float *y = op->y.x->data;
  for (size_t m = 0; m < n_maps; m++, x += (ptrdiff_t)op->x.height * op->x.width)
    for (int row = 0, last = -1; row < op->y.height; row++, y += W) {
      const int from = source(row, op->x.height, op->y.height);
      if (from == last)
        memcpy(y, y - W, W * sizeof *y);
      else
        stretch_row(op, y, x + (ptrdiff_t)from * op->x.width);
      last = from;
    }
}

static void upsample_backward(ld_tape *tape, void *self) {
  (void)tape;
  const upsample_op *op = self;
  const size_t n_maps = (size_t)op->x.x->rows * (size_t)op->x.n;
  const float *dy = op->y.x->grad;
  float *dx = ld_grad(op->x.x);
  for (size_t m = 0; m < n_maps; m++, dx += (ptrdiff_t)op->x.height * op->x.width)
    for (int row = 0; row < op->y.height; row++, dy += op->y.width)
      stretch_row_backward(op, dx + (ptrdiff_t)source(row, op->x.height, op->y.height) * op->x.width, dy);
}

ld_maps ld_op_upsample(ld_tape *tape, ld_maps x, int height, int width) {
  upsample_op *op = ld_tape_record(tape, sizeof *op);
  *op = (upsample_op){.x = x, .y = {NULL, x.n, height, width}};
  op->column = ld_tape_record(tape, (size_t)width * sizeof *op->column);
  for (int i = 0; i < width; i++) op->column[i] = source(i, x.width, width);
  op->y.x = ld_tape_maps(tape, x.x->rows, x.n, height, width);
  ld_tape_push(tape, (ld_op){.name = "upsample",
                             .self = op,
                             .forward = upsample_forward,
                             .backward = upsample_backward,
                             .out = op->y.x,
                             .in = LD_TENSORS(x.x),
                             .cheap = true});
  return op->y;
}
