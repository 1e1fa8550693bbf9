/* Rows changed by numbers of the image that they belong to: scaled and shifted, or gated and added. */
#include "base/vmath.h"
#include "linalg/rows.h"
#include "nn/ops.h"

/* Rows whose products are summed at a time, as in ld_rows_add. */
enum { ROWS = 64 };

typedef struct modulate_op {
  ld_tensor *x, *shift, *scale, *residual, *y; /* a gate is in `scale`, without shift */
  int rows_each;
} modulate_op;

static size_t row_at(const ld_tensor *tensor, int row) {
  return (size_t)row * (size_t)tensor->stride;
}

LD_VECTOR static void modulate_row(float *y, const float *x, const float *shift, const float *scale, int n) {
  for (int i = 0; i < n; i++) y[i] = x[i] * (1.0f + scale[i]) + shift[i];
}

LD_VECTOR static void gate_row(float *y, const float *residual, const float *x, const float *gate, int n) {
  for (int i = 0; i < n; i++) y[i] = residual[i] + gate[i] * x[i];
}

static void modulate_forward(ld_tape *tape, void *self) {
  (void)tape;
  const modulate_op *op = self;
  for (int t = 0; t < op->x->rows; t++) {
    const int b = t / op->rows_each;
    const float *x = op->x->data + row_at(op->x, t), *scale = op->scale->data + row_at(op->scale, b);
    float *y = op->y->data + row_at(op->y, t);
    if (op->residual)
      gate_row(y, op->residual->data + row_at(op->residual, t), x, scale, op->y->cols);
    else
      modulate_row(y, x, op->shift->data + row_at(op->shift, b), scale, op->y->cols);
  }
}

/* dx += dy (one + scale). */
LD_VECTOR static void row_backward(float *dx, const float *dy, const float *scale, float one, int n) {
  for (int i = 0; i < n; i++) dx[i] += dy[i] * (one + scale[i]);
}

LD_VECTOR static void multiply_rows(float *product, const float *a, const float *b, int n) {
  for (int i = 0; i < n; i++) product[i] = a[i] * b[i];
}

/* dscale += the sum of dy x over rows [first, last), `products` (ROWS, C) at a time. */
static void scale_backward(const modulate_op *op, int first, int last, float *dscale, float *products) {
  const int C = op->y->cols;
  for (int row = first; row < last; row += ROWS) {
    const int n = last - row < ROWS ? last - row : ROWS;
    for (int i = 0; i < n; i++)
      multiply_rows(products + (ptrdiff_t)i * C, op->y->grad + row_at(op->y, row + i),
                    op->x->data + row_at(op->x, row + i), C);
    ld_rows_add(dscale, products, (size_t)C, n, C);
  }
}

static void modulate_backward(ld_tape *tape, void *self) {
  const modulate_op *op = self;
  const int C = op->y->cols;
  float *dx = ld_grad(op->x), *dscale = ld_grad(op->scale), *dshift = op->shift ? ld_grad(op->shift) : NULL;
  for (int first = 0, b = 0; first < op->x->rows; first += op->rows_each, b++) {
    const int last = first + op->rows_each < op->x->rows ? first + op->rows_each : op->x->rows;
    const float *scale = op->scale->data + row_at(op->scale, b);
    for (int t = first; dx && t < last; t++)
      row_backward(dx + row_at(op->x, t), op->y->grad + row_at(op->y, t), scale, op->residual ? 0 : 1, C);
    if (dshift)
      ld_rows_add(dshift + row_at(op->shift, b), op->y->grad + row_at(op->y, first), (size_t)op->y->stride,
                  last - first, C);
    if (dscale) scale_backward(op, first, last, dscale + row_at(op->scale, b), ld_tape_scratch(tape));
  }
}

static ld_tensor *push_modulate(ld_tape *tape, const char *name, modulate_op from) {
  modulate_op *op = ld_tape_record(tape, sizeof *op);
  *op = from;
  op->y = ld_tape_tensor(tape, op->x->rows, op->x->cols);
  ld_tape_push(tape, (ld_op){.name = name,
                             .self = op,
                             .forward = modulate_forward,
                             .backward = modulate_backward,
                             .out = op->y,
                             .in = LD_TENSORS(op->x, op->scale, op->shift),
                             .accumulate = op->residual,
                             .backward_reads = LD_TENSORS(op->scale, op->scale->trained ? op->x : NULL),
                             .scratch = op->scale->trained ? (size_t)ROWS * (size_t)op->y->cols : 0,
                             .cheap = true});
  return op->y;
}

ld_tensor *ld_op_modulate(ld_tape *tape, ld_tensor *x, ld_tensor *shift, ld_tensor *scale, int rows_each) {
  return push_modulate(tape, "modulate",
                       (modulate_op){.x = x, .shift = shift, .scale = scale, .rows_each = rows_each});
}

ld_tensor *ld_op_gate_accumulate(ld_tape *tape, ld_tensor *residual, ld_tensor *x, ld_tensor *gate,
                                 int rows_each) {
  return push_modulate(tape, "gate",
                       (modulate_op){.x = x, .scale = gate, .residual = residual, .rows_each = rows_each});
}
