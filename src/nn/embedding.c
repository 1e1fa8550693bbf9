#include "linalg/rows.h"
#include "nn/ops.h"

typedef struct embedding_op {
  const ld_field *text;
  ld_embedding tables;
  ld_tensor *y;
} embedding_op;

static void read_row(const ld_weight *table, int32_t row, float *out) {
  ld_coded_widen(out, &table->numbers, (int64_t)row * table->cols, table->cols);
}

static void add_row(ld_tape *tape, const ld_weight *table, int32_t row, float *out) {
  if (!table) return;
  read_row(table, row, ld_tape_scratch(tape));
  ld_row_add(out, ld_tape_scratch(tape), (size_t)table->cols);
}

/* The row of a position table without end. `n_counted` is the number of earlier tokens of the sequence that
 * count. */
static int32_t endless_row(const embedding_op *op, int t, int32_t *n_counted) {
  const ld_field *text = op->text;
  const int32_t padding = op->tables.padding;
  if (padding < 0) return text->positions[t] + op->tables.first;
  if (text->positions[t] == 0) *n_counted = 0;
  return text->ids[t] == padding ? padding : padding + ++*n_counted;
}

static int32_t position_row(const embedding_op *op, int t, int32_t *n_counted) {
  const int32_t row = endless_row(op, t, n_counted);
  return op->tables.stretched && row >= op->tables.positions->rows ? op->tables.positions->rows - 1 : row;
}

/* Sums in PyTorch's order for BERT, (word + type) + position, on which the last bits depend. */
static void embedding_forward(ld_tape *tape, void *self) {
  embedding_op *op = self;
  const ld_field *text = op->text;
  const float scale = op->tables.scale;
  int32_t n_counted = 0;
  for (int t = 0; t < op->y->rows; t++) {
    float *row = op->y->data + (size_t)t * (size_t)op->y->stride;
    read_row(op->tables.words, text->ids[t], row);
    if (scale != 0) ld_row_scale(row, scale, op->y->cols);
    add_row(tape, op->tables.types, text->types ? text->types[t] : 0, row);
    if (op->tables.positions) add_row(tape, op->tables.positions, position_row(op, t, &n_counted), row);
  }
}

ld_tensor *ld_op_embedding(ld_tape *tape, const ld_field *text, const ld_embedding *tables) {
  embedding_op *op = ld_tape_record(tape, sizeof *op);
  *op = (embedding_op){text, *tables, NULL};
  op->y = ld_tape_tensor(tape, text->n_rows, tables->words->cols);
  op->y->rows_of = text;
  ld_tape_push(tape, (ld_op){.name = "embedding",
                             .self = op,
                             .forward = embedding_forward,
                             .out = op->y,
                             .scratch = (size_t)tables->words->cols});
  return op->y;
}
