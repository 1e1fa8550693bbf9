#include "nn/ops.h"

typedef struct unpatch_op {
  ld_tensor *x;
  ld_maps y;
  int size;
} unpatch_op;

/* Calls for each pixel line of a patch in one channel: `size` floats of y, which are `channels` apart in x. */
static void move(const unpatch_op *op, float *x, size_t stride, float *y,
                 void (*line)(float *x, int apart, float *y, int n)) {
  const int s = op->size, C = op->y.x->rows, width = op->y.width / s, height = op->y.height / s;
  for (int c = 0; c < C; c++)
    for (int b = 0; b < op->y.n; b++)
      for (int row = 0; row < op->y.height; row++) {
        const size_t first = ((size_t)b * (size_t)height + (size_t)(row / s)) * (size_t)width;
        for (int k = 0; k < width; k++, y += s)
          line(x + (first + (size_t)k) * stride + (ptrdiff_t)(row % s) * s * C + c, C, y, s);
      }
}

static void take(float *x, int apart, float *y, int n) {
  for (int i = 0; i < n; i++) y[i] = x[(ptrdiff_t)i * apart];
}

static void add(float *dx, int apart, float *dy, int n) {
  for (int i = 0; i < n; i++) dx[(ptrdiff_t)i * apart] += dy[i];
}

static void unpatch_forward(ld_tape *tape, void *self) {
  (void)tape;
  const unpatch_op *op = self;
  move(op, op->x->data, (size_t)op->x->stride, op->y.x->data, take);
}

static void unpatch_backward(ld_tape *tape, void *self) {
  (void)tape;
  const unpatch_op *op = self;
  move(op, ld_grad(op->x), (size_t)op->x->stride, op->y.x->grad, add);
}

ld_maps ld_op_unpatch(ld_tape *tape, ld_tensor *x, int n, int height, int width, int size) {
  unpatch_op *op = ld_tape_record(tape, sizeof *op);
  *op = (unpatch_op){x, {NULL, n, height * size, width * size}, size};
  op->y.x = ld_tape_maps(tape, x->cols / (size * size), n, op->y.height, op->y.width);
  ld_tape_push(tape, (ld_op){.name = "unpatch",
                             .self = op,
                             .forward = unpatch_forward,
                             .backward = unpatch_backward,
                             .out = op->y.x,
                             .in = LD_TENSORS(x),
                             .cheap = true});
  return op->y;
}
