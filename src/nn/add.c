#include "base/vmath.h"
#include "nn/ops.h"
#include "nn/rows.h"

typedef struct add_op {
  ld_tensor *a, *b, *y;
} add_op;

LD_VECTOR static void sum(float *y, const float *a, const float *b, size_t n) {
  for (size_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

static void add_forward(ld_tape *tape, void *self) {
  (void)tape;
  add_op *op = self;
  sum(op->y->data, op->a->data, op->b->data, (size_t)op->y->rows * (size_t)op->y->cols);
}

static void add_backward(ld_tape *tape, void *self) {
  (void)tape;
  add_op *op = self;
  const size_t n = (size_t)op->y->rows * (size_t)op->y->cols;
  float *da = ld_grad(op->a), *db = ld_grad(op->b);
  if (da) ld_row_add(da, op->y->grad, n);
  if (db) ld_row_add(db, op->y->grad, n);
}

ld_tensor *ld_op_add(ld_tape *tape, ld_tensor *a, ld_tensor *b) {
  add_op *op = ld_tape_record(tape, sizeof *op);
  *op = (add_op){a, b, ld_tape_tensor(tape, a->rows, a->cols, a->trained || b->trained)};
  ld_tape_push(tape, (ld_op){"add", add_forward, add_backward, op, op->y, {a, b}});
  return op->y;
}
