/* Between feature maps (C, B H W) and rows (B H W, C): transposes in tiles, of which every cache line is read
 * and written as a whole. */
#include "base/vmath.h"
#include "nn/ops.h"

enum { TILE = 16 };

/* A matrix whose rows are `ld` apart. */
typedef struct matrix {
  float *data;
  size_t ld;
} matrix;

static float *at(matrix m, int row, int column) {
  return m.data + (size_t)row * m.ld + (size_t)column;
}

/* tile (TILE, TILE), by columns of x = rows of x, n_rows by n_columns of them. */
LD_VECTOR static void load_whole(float *tile, const float *x, size_t ld) {
  for (int i = 0; i < TILE; i++)
    for (int k = 0; k < TILE; k++) tile[i * TILE + k] = x[(size_t)i * ld + (size_t)k];
}

static void load_part(float *tile, const float *x, size_t ld, int n_rows, int n_columns) {
  for (int i = 0; i < n_rows; i++)
    for (int k = 0; k < n_columns; k++) tile[i * TILE + k] = x[(size_t)i * ld + (size_t)k];
}

/* y (TILE, TILE) = start + the transposed tile; start may be y, or NULL. */
LD_VECTOR static void store_whole(const float *tile, float *y, size_t ld, const float *start,
                                  size_t ld_start) {
  for (int k = 0; k < TILE; k++) {
    float *to = y + (size_t)k * ld;
    if (start)
      for (int i = 0; i < TILE; i++) to[i] = start[(size_t)k * ld_start + (size_t)i] + tile[i * TILE + k];
    else
      for (int i = 0; i < TILE; i++) to[i] = tile[i * TILE + k];
  }
}

static void store_part(const float *tile, float *y, size_t ld, const float *start, size_t ld_start,
                       int n_rows, int n_columns) {
  for (int k = 0; k < n_columns; k++)
    for (int i = 0; i < n_rows; i++)
      y[(size_t)k * ld + (size_t)i] =
          (start ? start[(size_t)k * ld_start + (size_t)i] : 0) + tile[i * TILE + k];
}

/* y (columns, rows) = start + the transpose of x (rows, columns); start may be y, or have no data. */
static void transpose(matrix x, int rows, int columns, matrix y, matrix start) {
  _Alignas(64) float tile[TILE * TILE];
  for (int i = 0; i < rows; i += TILE)
    for (int k = 0; k < columns; k += TILE) {
      const int n_rows = rows - i < TILE ? rows - i : TILE, n = columns - k < TILE ? columns - k : TILE;
      const float *from = start.data ? at(start, k, i) : NULL;
      if (n_rows == TILE && n == TILE) {
        load_whole(tile, at(x, i, k), x.ld);
        store_whole(tile, at(y, k, i), y.ld, from, start.ld);
      } else {
        load_part(tile, at(x, i, k), x.ld, n_rows, n);
        store_part(tile, at(y, k, i), y.ld, from, start.ld, n_rows, n);
      }
    }
}

typedef struct transpose_op {
  ld_tensor *x, *residual, *y; /* residual: NULL for none */
} transpose_op;

static matrix numbers(const ld_tensor *tensor) {
  return (matrix){tensor ? tensor->data : NULL, tensor ? (size_t)tensor->stride : 0};
}

static void transpose_forward(ld_tape *tape, void *self) {
  (void)tape;
  const transpose_op *op = self;
  transpose(numbers(op->x), op->x->rows, op->x->cols, numbers(op->y), numbers(op->residual));
}

static void transpose_backward(ld_tape *tape, void *self) {
  (void)tape;
  const transpose_op *op = self;
  const matrix dx = {ld_grad(op->x), (size_t)op->x->stride};
  if (dx.data) transpose((matrix){op->y->grad, (size_t)op->y->stride}, op->y->rows, op->y->cols, dx, dx);
}

static ld_tensor *push_transpose(ld_tape *tape, const char *name, ld_tensor *x, int maps,
                                 ld_tensor *residual) {
  transpose_op *op = ld_tape_record(tape, sizeof *op);
  *op = (transpose_op){x, residual, ld_tape_tensor(tape, x->cols, x->rows)};
  op->y->maps = maps;
  ld_tape_push(tape, (ld_op){.name = name,
                             .self = op,
                             .forward = transpose_forward,
                             .backward = transpose_backward,
                             .out = op->y,
                             .in = LD_TENSORS(x),
                             .accumulate = residual,
                             .cheap = true});
  return op->y;
}

ld_tensor *ld_op_rows_of_maps(ld_tape *tape, ld_maps x) {
  return push_transpose(tape, "rows_of_maps", x.x, 0, NULL);
}

ld_maps ld_op_maps_of_rows(ld_tape *tape, ld_tensor *x, int n, int height, int width) {
  return (ld_maps){push_transpose(tape, "maps_of_rows", x, n, NULL), n, height, width};
}

ld_maps ld_op_maps_of_rows_accumulate(ld_tape *tape, ld_maps residual, ld_tensor *x) {
  residual.x = push_transpose(tape, "maps_of_rows", x, residual.n, residual.x);
  return residual;
}
