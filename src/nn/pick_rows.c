#include <string.h>

#include "linalg/rows.h"
#include "nn/ops.h"

typedef struct pick_rows_op {
  const int32_t *rows;
  ld_tensor *x, *y;
} pick_rows_op;

static void pick_rows_forward(ld_tape *tape, void *self) {
  (void)tape;
  pick_rows_op *op = self;
  const size_t C = (size_t)op->x->cols;
  for (int i = 0; i < op->y->rows; i++)
    memcpy(op->y->data + (size_t)i * C, op->x->data + (size_t)op->rows[i] * (size_t)op->x->stride,
           C * sizeof(float));
}

static void pick_rows_backward(ld_tape *tape, void *self) {
  (void)tape;
  pick_rows_op *op = self;
  const size_t C = (size_t)op->x->cols;
  float *dx = ld_grad(op->x);
  for (int i = 0; i < op->y->rows; i++)
    ld_row_add(dx + (size_t)op->rows[i] * (size_t)op->x->stride, op->y->grad + (size_t)i * C, C);
}

ld_tensor *ld_op_pick_rows(ld_tape *tape, ld_tensor *x, const int32_t *rows, int n) {
  pick_rows_op *op = ld_tape_record(tape, sizeof *op);
  *op = (pick_rows_op){rows, x, ld_tape_tensor(tape, n, x->cols)};
  ld_tape_push(tape, (ld_op){.name = "pick_rows",
                             .self = op,
                             .forward = pick_rows_forward,
                             .backward = pick_rows_backward,
                             .out = op->y,
                             .in = LD_TENSORS(x),
                             .cheap = true});
  return op->y;
}
