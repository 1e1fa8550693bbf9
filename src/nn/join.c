#include <string.h>

#include "linalg/rows.h"
#include "nn/ops.h"

typedef struct join_op {
  ld_tensor *a, *b, *y;
} join_op;

static size_t count(const ld_tensor *tensor) {
  return (size_t)tensor->rows * (size_t)tensor->cols;
}

static void join_forward(ld_tape *tape, void *self) {
  (void)tape;
  const join_op *op = self;
  memcpy(op->y->data, op->a->data, count(op->a) * sizeof(float));
  memcpy(op->y->data + count(op->a), op->b->data, count(op->b) * sizeof(float));
}

static void join_backward(ld_tape *tape, void *self) {
  (void)tape;
  const join_op *op = self;
  float *da = ld_grad(op->a), *db = ld_grad(op->b);
  if (da) ld_row_add(da, op->y->grad, count(op->a));
  if (db) ld_row_add(db, op->y->grad + count(op->a), count(op->b));
}

ld_maps ld_op_join(ld_tape *tape, ld_maps a, ld_maps b) {
  join_op *op = ld_tape_record(tape, sizeof *op);
  *op = (join_op){a.x, b.x, ld_tape_maps(tape, a.x->rows + b.x->rows, a.n, a.height, a.width)};
  ld_tape_push(tape, (ld_op){.name = "join",
                             .self = op,
                             .forward = join_forward,
                             .backward = join_backward,
                             .out = op->y,
                             .in = LD_TENSORS(a.x, b.x),
                             .cheap = true});
  a.x = op->y;
  return a;
}
