/* Convolution as a product with the patches under the kernel, a few rows of the output at a time, so that
 * their patches stay in the second-level cache. Chellapilla et al., "High Performance Convolutional Neural
 * Networks for Document Processing", 2006, section 3.1. */
#include <string.h>

#include "nn/linear.h"
#include "nn/ops.h"
#include "nn/patches.h"

/* About this many floats of patches exist at a time, but never fewer columns than a fast product needs. */
enum { PATCHES = 1 << 18, MIN_COLUMNS = 384 };

typedef struct convolution_op {
  const ld_linear *layer;
  const ld_batch *batch;
  ld_window window;
  ld_maps x, y;
  const ld_tensor *residual; /* NULL for none */
  int tile_rows;             /* rows of the output in a tile; the images are stacked */
  float *kept;               /* (layer's kept, B H W) of y */
} convolution_op;

/* Output rows [row, row + n_rows), which are columns [column, column + n) of y. */
typedef struct tile {
  int row, n_rows, column, n;
} tile;

static tile tile_at(const convolution_op *op, int row) {
  const int rest = op->y.n * op->y.height - row;
  const int n_rows = rest < op->tile_rows ? rest : op->tile_rows;
  return (tile){row, n_rows, row * op->y.width, n_rows * op->y.width};
}

/* With a 1 x 1 kernel that visits every pixel, the patches are the input itself. */
static bool is_pointwise(const convolution_op *op) {
  const ld_kernel *k = &op->layer->kernel;
  return k->height == 1 && k->width == 1 && k->stride == 1 && k->padding == 0 && k->extra == 0;
}

/* The patches of a tile, (in, t->n), of `x`, which has the shape of the op's input. */
static const float *patches(const convolution_op *op, const float *x, const tile *t, float *memory) {
  if (is_pointwise(op)) return x + t->column;
  ld_patches_take(&op->window, x, t->row, t->n_rows, memory);
  return memory;
}

/* Carved from the scratch. */
typedef struct scratch {
  float *patches;  /* (in, tile) */
  float *spare;    /* (layer's spare, tile) */
  float *dropped;  /* x after dropout, in x's shape */
  float *gradient; /* in the backward pass, the gradient of that */
} scratch;

static size_t carve(const ld_tape *tape, const convolution_op *op, float *memory, scratch *s) {
  const ld_linear *layer = op->layer;
  const size_t n = (size_t)op->tile_rows * (size_t)op->y.width,
               x = (size_t)op->x.x->rows * (size_t)op->x.x->cols;
  const size_t dropped = ld_linear_drops(tape, layer) ? x : 0;
  const size_t sizes[] = {is_pointwise(op) ? 0 : (size_t)layer->in * n, (size_t)ld_linear_spare(layer) * n,
                          dropped, dropped};
  float **const places[] = {&s->patches, &s->spare, &s->dropped, &s->gradient};
  size_t total = 0;
  for (int i = 0; i < 4; i++) {
    *places[i] = memory && sizes[i] ? memory + total : NULL;
    total += sizes[i];
  }
  return total;
}

/* The input of the layer's change: x, or x after dropout. */
static const float *change_input(const ld_tape *tape, const convolution_op *op, const scratch *s) {
  const ld_tensor *x = op->x.x;
  if (!ld_linear_drops(tape, op->layer)) return x->data;
  ld_linear_dropout(op->layer, op->batch, x->rows, x->cols, (ld_side){x->data, x->stride},
                    (ld_side){s->dropped, x->cols}, false);
  return s->dropped;
}

/* The product of a tile with the patches of `in`, which has x's shape; NULL where they are not read. */
static ld_product product_of(const convolution_op *op, const tile *t, const float *in, const scratch *s) {
  const int N = op->y.x->cols;
  return (ld_product){
      .layer = op->layer,
      .T = t->n,
      .columns = true,
      .dropped = s->dropped != NULL,
      .x = {in ? (float *)patches(op, in, t, s->patches) : NULL, is_pointwise(op) ? op->x.x->cols : t->n},
      .y = {op->y.x->data + t->column, N},
      .kept = {op->kept ? op->kept + t->column : NULL, N},
      .scratch = s->spare};
}

static void convolution_forward(ld_tape *tape, void *self) {
  const convolution_op *op = self;
  scratch s;
  carve(tape, op, ld_tape_scratch(tape), &s);
  const float *x = op->x.x->data, *in = change_input(tape, op, &s);
  for (int row = 0; row < op->y.n * op->y.height; row += op->tile_rows) {
    const tile t = tile_at(op, row);
    ld_product p = product_of(op, &t, in, &s);
    ld_linear_read(&p);
    if (in != x) p = product_of(op, &t, x, &s);
    if (op->residual) p.start = (ld_side){op->residual->data + t.column, op->y.x->cols};
    ld_linear_forward(&p);
  }
}

/* dx += the gradient of a tile's patches, which overwrites the patches. */
static void input_gradient(const convolution_op *op, const tile *t, ld_product p, const scratch *s,
                           enum ld_through through, float *dx) {
  const bool direct = is_pointwise(op);
  p.x.data = direct ? dx + t->column : s->patches;
  p.start = direct ? p.x : (ld_side){0};
  ld_linear_input(&p, through);
  if (!direct) ld_patches_add(&op->window, s->patches, t->row, t->n_rows, dx);
}

static void convolution_backward(ld_tape *tape, void *self) {
  const convolution_op *op = self;
  const ld_tensor *x = op->x.x;
  const bool drops = ld_linear_drops(tape, op->layer);
  scratch s;
  carve(tape, op, ld_tape_scratch(tape), &s);
  float *dx = ld_grad(x);
  const float *in = ld_linear_trains(op->layer) ? change_input(tape, op, &s) : NULL;
  if (dx && drops) memset(s.gradient, 0, (size_t)x->rows * (size_t)x->cols * sizeof(float));
  for (int row = 0; row < op->y.n * op->y.height; row += op->tile_rows) {
    const tile t = tile_at(op, row);
    ld_product p = product_of(op, &t, in, &s);
    p.y.data = op->y.x->grad + t.column;
    ld_linear_gradients(&p);
    if (dx) input_gradient(op, &t, p, &s, drops ? LD_THROUGH_BASE : LD_THROUGH_ALL, dx);
    if (dx && drops) input_gradient(op, &t, p, &s, LD_THROUGH_CHANGE, s.gradient);
  }
  if (dx && drops)
    ld_linear_dropout(op->layer, op->batch, x->rows, x->cols, (ld_side){s.gradient, x->cols},
                      (ld_side){dx, x->stride}, true);
}

static int tile_rows(const convolution_op *op, int N) {
  int columns = PATCHES / op->layer->in;
  if (columns < MIN_COLUMNS) columns = MIN_COLUMNS;
  if (is_pointwise(op) || columns >= N) return op->y.n * op->y.height;
  return columns < op->y.width ? 1 : columns / op->y.width;
}

ld_maps ld_op_convolution_accumulate(ld_tape *tape, ld_maps residual, ld_maps x, const ld_linear *layer,
                                     const ld_batch *batch) {
  convolution_op *op = ld_tape_record(tape, sizeof *op);
  *op = (convolution_op){.layer = layer, .batch = batch, .x = x, .residual = residual.x};
  op->window = ld_window_over(&layer->kernel, x.x->rows, x.n, x.height, x.width);
  op->y = (ld_maps){NULL, x.n, op->window.out_height, op->window.out_width};
  const int N = op->y.n * op->y.height * op->y.width;
  op->y.x = ld_tape_maps(tape, layer->out, op->y.n, op->y.height, op->y.width);
  op->tile_rows = tile_rows(op, N);
  scratch s;
  ld_tape_push(tape, (ld_op){.name = "convolution",
                             .module = layer->path,
                             .self = op,
                             .forward = convolution_forward,
                             .backward = convolution_backward,
                             .out = op->y.x,
                             .in = LD_TENSORS(x.x),
                             .accumulate = residual.x,
                             .backward_reads = LD_TENSORS(ld_linear_trains(layer) ? x.x : NULL),
                             .layers = LD_LAYERS(layer),
                             .kept = {&op->kept, (size_t)ld_linear_kept(layer) * (size_t)N},
                             .scratch = carve(tape, op, NULL, &s),
                             .work = ld_linear_work(layer, N, x.x->trained)});
  return op->y;
}

ld_maps ld_op_convolution(ld_tape *tape, ld_maps x, const ld_linear *layer, const ld_batch *batch) {
  return ld_op_convolution_accumulate(tape, (ld_maps){0}, x, layer, batch);
}
