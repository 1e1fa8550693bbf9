#include <string.h>

#include "linalg/rows.h"
#include "nn/ops.h"

typedef struct join_op {
  ld_tensor *a, *b, *y;
  int wide; /* columns of y that come from b */
} join_op;

static void join_forward(ld_tape *tape, void *self) {
  (void)tape;
  const join_op *op = self;
  for (int i = 0; i < op->y->rows; i++) {
    float *y = op->y->data + (size_t)i * (size_t)op->y->cols;
    memcpy(y, op->a->data + (size_t)i * (size_t)op->a->stride, (size_t)op->a->cols * sizeof *y);
    memcpy(y + op->a->cols, op->b->data + (size_t)i * (size_t)op->wide, (size_t)op->wide * sizeof *y);
  }
}

static void join_backward(ld_tape *tape, void *self) {
  (void)tape;
  const join_op *op = self;
  float *da = ld_grad(op->a), *db = ld_grad(op->b);
  for (int i = 0; i < op->y->rows; i++) {
    const float *dy = op->y->grad + (size_t)i * (size_t)op->y->cols;
    if (da) ld_row_add(da + (size_t)i * (size_t)op->a->stride, dy, (size_t)op->a->cols);
    if (db) ld_row_add(db + (size_t)i * (size_t)op->wide, dy + op->a->cols, (size_t)op->wide);
  }
}

ld_tensor *ld_op_join_columns(ld_tape *tape, ld_tensor *a, ld_tensor *b) {
  join_op *op = ld_tape_record(tape, sizeof *op);
  const int wide = b->rows / a->rows * b->cols;
  *op = (join_op){a, b, ld_tape_tensor(tape, a->rows, a->cols + wide), wide};
  ld_tape_push(tape, (ld_op){.name = "join",
                             .self = op,
                             .forward = join_forward,
                             .backward = join_backward,
                             .out = op->y,
                             .in = LD_TENSORS(a, b),
                             .cheap = true});
  return op->y;
}
