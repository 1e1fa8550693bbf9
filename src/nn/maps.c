/* Operations on feature maps other than convolution: one row of the tensor is one channel of all images. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/vmath.h"
#include "linalg/rows.h"
#include "nn/ops.h"
#include "nn/patches.h"

ld_maps ld_op_images(ld_tape *tape, const ld_field *images) {
  const int n = images->n_rows, size = images->height * images->width;
  ld_tensor *x = ld_tape_input(tape, images->numbers, images->channels, n * size);
  x->maps = n;
  return (ld_maps){x, n, images->height, images->width};
}

typedef struct pool_op {
  ld_maps x, y;
  int size, stride, padding;
} pool_op;

/* The index in the map of the (first) largest value under the window at (row, column) of the output. */
static int largest(const pool_op *op, const float *map, int row, int column) {
  int best = -1;
  for (int i = 0; i < op->size; i++) {
    const int y = row * op->stride - op->padding + i;
    if (y < 0 || y >= op->x.height) continue;
    for (int j = 0; j < op->size; j++) {
      const int x = column * op->stride - op->padding + j;
      if (x < 0 || x >= op->x.width) continue;
      const int at = y * op->x.width + x;
      if (best < 0 || map[at] > map[best] || isnan(map[at])) best = at;
    }
  }
  return best;
}

LD_VECTOR static void take_larger(float *a, const float *b, int n) {
  for (int i = 0; i < n; i++) a[i] = b[i] > a[i] || b[i] != b[i] ? b[i] : a[i];
}

/* The largest value of each window of one output row: first over the rows, into `line` (width), then along
 * it. */
static void largest_row(const pool_op *op, const float *map, int row, float *line, float *y) {
  const int top = row * op->stride - op->padding, W = op->x.width;
  const int first = top < 0 ? 0 : top, last = top + op->size < op->x.height ? top + op->size : op->x.height;
  memcpy(line, map + (ptrdiff_t)first * W, (size_t)W * sizeof *line);
  for (int i = first + 1; i < last; i++) take_larger(line, map + (ptrdiff_t)i * W, W);
  for (int column = 0; column < op->y.width; column++) {
    const int at = column * op->stride - op->padding;
    const int left = at < 0 ? 0 : at, right = at + op->size < W ? at + op->size : W;
    float most = line[left];
    for (int j = left + 1; j < right; j++) most = line[j] > most || line[j] != line[j] ? line[j] : most;
    y[column] = most;
  }
}

static void max_pool_forward(ld_tape *tape, void *self) {
  const pool_op *op = self;
  const size_t in = (size_t)op->x.height * (size_t)op->x.width;
  const size_t n_maps = (size_t)op->x.x->rows * (size_t)op->x.n;
  float *y = op->y.x->data;
  for (size_t m = 0; m < n_maps; m++)
    for (int row = 0; row < op->y.height; row++, y += op->y.width)
      largest_row(op, op->x.x->data + m * in, row, ld_tape_scratch(tape), y);
}

static void max_pool_backward(ld_tape *tape, void *self) {
  (void)tape;
  const pool_op *op = self;
  const size_t in = (size_t)op->x.height * (size_t)op->x.width;
  const size_t n_maps = (size_t)op->x.x->rows * (size_t)op->x.n;
  const float *x = op->x.x->data, *dy = op->y.x->grad;
  float *dx = ld_grad(op->x.x);
  for (size_t m = 0; m < n_maps; m++)
    for (int row = 0; row < op->y.height; row++)
      for (int column = 0; column < op->y.width; column++)
        dx[m * in + (size_t)largest(op, x + m * in, row, column)] += *dy++;
}

ld_maps ld_op_max_pool(ld_tape *tape, ld_maps x, int size, int stride, int padding) {
  pool_op *op = ld_tape_record(tape, sizeof *op);
  const ld_window w =
      ld_window_over(&(ld_kernel){size, size, stride, padding, 0}, x.x->rows, x.n, x.height, x.width);
  *op = (pool_op){x, {NULL, x.n, w.out_height, w.out_width}, size, stride, padding};
  /* Every window must contain a pixel. */
  assert(x.height > 0 && x.width > 0 && padding < size && w.out_height > 0 && w.out_width > 0);
  op->y.x = ld_tape_maps(tape, x.x->rows, x.n, w.out_height, w.out_width);
  ld_tape_push(tape, (ld_op){.name = "max_pool",
                             .self = op,
                             .forward = max_pool_forward,
                             .backward = max_pool_backward,
                             .out = op->y.x,
                             .in = LD_TENSORS(x.x),
                             .backward_reads = LD_TENSORS(x.x),
                             .scratch = (size_t)x.width,
                             .cheap = true});
  return op->y;
}

static int first_filled_row(const pool_op *op) {
  return (op->y.x->rows - op->x.x->rows) / 2;
}

static void subsample_forward(ld_tape *tape, void *self) {
  (void)tape;
  const pool_op *op = self;
  const ld_tensor *x = op->x.x, *y = op->y.x;
  memset(y->data, 0, (size_t)y->rows * (size_t)y->cols * sizeof(float));
  float *out = y->data + (size_t)first_filled_row(op) * (size_t)y->cols;
  for (int m = 0; m < x->rows * op->x.n; m++)
    for (int row = 0; row < op->y.height; row++)
      for (int column = 0; column < op->y.width; column++)
        *out++ = x->data[((size_t)m * (size_t)op->x.height + (size_t)(2 * row)) * (size_t)op->x.width +
                         (size_t)(2 * column)];
}

static void subsample_backward(ld_tape *tape, void *self) {
  (void)tape;
  const pool_op *op = self;
  const ld_tensor *x = op->x.x, *y = op->y.x;
  float *dx = ld_grad(x);
  const float *dy = y->grad + (size_t)first_filled_row(op) * (size_t)y->cols;
  for (int m = 0; m < x->rows * op->x.n; m++)
    for (int row = 0; row < op->y.height; row++)
      for (int column = 0; column < op->y.width; column++)
        dx[((size_t)m * (size_t)op->x.height + (size_t)(2 * row)) * (size_t)op->x.width +
           (size_t)(2 * column)] += *dy++;
}

ld_maps ld_op_subsample(ld_tape *tape, ld_maps x, int channels) {
  pool_op *op = ld_tape_record(tape, sizeof *op);
  *op = (pool_op){.x = x, .y = {NULL, x.n, (x.height + 1) / 2, (x.width + 1) / 2}};
  op->y.x = ld_tape_maps(tape, channels, x.n, op->y.height, op->y.width);
  ld_tape_push(tape, (ld_op){.name = "subsample",
                             .self = op,
                             .forward = subsample_forward,
                             .backward = subsample_backward,
                             .out = op->y.x,
                             .in = LD_TENSORS(x.x),
                             .cheap = true});
  return op->y;
}

typedef struct mean_op {
  ld_maps x;
  ld_tensor *y;
} mean_op;

static void mean_forward(ld_tape *tape, void *self) {
  (void)tape;
  const mean_op *op = self;
  const int C = op->y->cols, size = op->x.height * op->x.width;
  for (int c = 0; c < C; c++)
    for (int b = 0; b < op->x.n; b++)
      op->y->data[(size_t)b * (size_t)C + (size_t)c] =
          ld_row_sum(op->x.x->data + ((size_t)c * (size_t)op->x.n + (size_t)b) * (size_t)size, size) /
          (float)size;
}

static void mean_backward(ld_tape *tape, void *self) {
  (void)tape;
  const mean_op *op = self;
  const int C = op->y->cols, size = op->x.height * op->x.width;
  float *dx = ld_grad(op->x.x);
  for (int c = 0; c < C; c++)
    for (int b = 0; b < op->x.n; b++) {
      const float share = op->y->grad[(size_t)b * (size_t)C + (size_t)c] / (float)size;
      for (int i = 0; i < size; i++) *dx++ += share;
    }
}

ld_tensor *ld_op_mean_pool(ld_tape *tape, ld_maps x) {
  mean_op *op = ld_tape_record(tape, sizeof *op);
  *op = (mean_op){x, ld_tape_tensor(tape, x.n, x.x->rows)};
  ld_tape_push(tape, (ld_op){.name = "mean_pool",
                             .self = op,
                             .forward = mean_forward,
                             .backward = mean_backward,
                             .out = op->y,
                             .in = LD_TENSORS(x.x),
                             .cheap = true});
  return op->y;
}
