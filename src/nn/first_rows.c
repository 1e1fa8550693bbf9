#include <string.h>

#include "linalg/rows.h"
#include "nn/ops.h"

typedef struct first_rows_op {
  const ld_field *text;
  ld_tensor *x, *y;
} first_rows_op;

static void first_rows_forward(ld_tape *tape, void *self) {
  (void)tape;
  first_rows_op *op = self;
  const size_t C = (size_t)op->x->cols;
  for (int s = 0; s < op->y->rows; s++)
    memcpy(op->y->data + (size_t)s * C, op->x->data + (size_t)op->text->segment[s] * (size_t)op->x->stride,
           C * sizeof(float));
}

static void first_rows_backward(ld_tape *tape, void *self) {
  (void)tape;
  first_rows_op *op = self;
  const size_t C = (size_t)op->x->cols;
  float *dx = ld_grad(op->x);
  for (int s = 0; s < op->y->rows; s++)
    ld_row_add(dx + (size_t)op->text->segment[s] * (size_t)op->x->stride, op->y->grad + (size_t)s * C, C);
}

ld_tensor *ld_op_first_rows(ld_tape *tape, ld_tensor *x, const ld_field *text) {
  first_rows_op *op = ld_tape_record(tape, sizeof *op);
  *op = (first_rows_op){text, x, ld_tape_tensor(tape, text->n_segments, x->cols)};
  ld_tape_push(tape, (ld_op){.name = "first_rows",
                             .self = op,
                             .forward = first_rows_forward,
                             .backward = first_rows_backward,
                             .out = op->y,
                             .in = LD_TENSORS(x),
                             .cheap = true});
  return op->y;
}
