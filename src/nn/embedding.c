#include "nn/ops.h"

typedef struct embedding_op {
  const ld_batch *batch;
  const ld_weight *table, *position_table;
  ld_tensor *y;
} embedding_op;

static void embedding_forward(ld_tape *tape, void *self) {
  embedding_op *op = self;
  const int C = op->table->cols;
  for (int t = 0; t < op->y->rows; t++) {
    float *row = op->y->data + (size_t)t * (size_t)C;
    ld_dtype_to_f32(row, op->table->data, op->table->dtype, (int64_t)op->batch->ids[t] * C, C);
    if (!op->position_table) continue;
    float *place = ld_tape_scratch(tape);
    ld_dtype_to_f32(place, op->position_table->data, op->position_table->dtype,
                    (int64_t)op->batch->positions[t] * C, C);
    for (int c = 0; c < C; c++) row[c] += place[c];
  }
}

ld_tensor *ld_op_embedding(ld_tape *tape, const ld_batch *batch, const ld_weight *table,
                           const ld_weight *position_table) {
  embedding_op *op = ld_tape_record(tape, sizeof *op);
  *op = (embedding_op){.batch = batch, .table = table, .position_table = position_table};
  op->y = ld_tape_tensor(tape, batch->n_tokens, table->cols, false);
  ld_tape_need_scratch(tape, (size_t)table->cols);
  ld_tape_push(tape, (ld_op){"embedding", embedding_forward, NULL, op, op->y, {NULL}});
  return op->y;
}
