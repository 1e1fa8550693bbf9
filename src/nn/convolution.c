/* Convolution as a product with the patches under the kernel, which are made as the product reads them. Chellapilla et al.,
 * "High Performance Convolutional Neural Networks for Document Processing", 2006, section 3.1. With a stride of 1 the
 * gradient of the input is such a product too (nn/turned.h). Otherwise the backward product gives the gradient of the
 * patches, some at a time, which is added to that of their sources. */
#include <string.h>

#include "base/vmath.h"
#include "nn/linear.h"
#include "nn/ops.h"
#include "nn/patches.h"

/* Columns of a product: so many that the weight is seldom laid out, and few enough for the result to stay in the
 * third-level cache. */
enum { COLUMNS = 4096 };

/* The gradient of patches is in memory: about PATCHES floats at a time, which stay in the second-level cache, but never
 * fewer columns than a fast product needs. Where that is too many for the cache, the more the better. */
enum { PATCHES = 1 << 18, LEAST_COLUMNS = 384, MANY_COLUMNS = 1024, LONG = 2048 };

typedef struct convolution_op {
  const ld_linear *layer;
  const ld_batch *batch;
  ld_window window;
  ld_maps x, y;
  const ld_tensor *residual; /* NULL for none */
  const float *scale; /* of the affine function after the sum; NULL: none, the sum starts from the residual */
  const float *shift;
  bool relu, goes_back; /* goes_back: a gradient passes through that function */
  int rows, back_rows;  /* of the output in a tile, forward and backward; the images are stacked */
  float *kept;          /* (layer's kept, B H W) of y */
  bool fresh;           /* x's gradient is */
  bool turns;           /* its gradient is a product with patches */
  ld_turned turned;
} convolution_op;

/* Output rows [row, row + n_rows), which are columns [column, column + n) of y. */
typedef struct tile {
  int row, n_rows, column, n;
} tile;

/* At most `most` rows from `row` on. */
static tile tile_at(const convolution_op *op, int row, int most) {
  const int rest = op->y.n * op->y.height - row, n_rows = rest < most ? rest : most;
  return (tile){row, n_rows, row * op->y.width, n_rows * op->y.width};
}

/* With a 1 x 1 kernel that visits every pixel, the patches are the input itself. */
static bool is_pointwise(const convolution_op *op) {
  const ld_kernel *k = &op->layer->kernel;
  return k->height == 1 && k->width == 1 && k->stride == 1 && k->padding == 0 && k->extra == 0;
}

static int larger(int a, int b) {
  return a > b ? a : b;
}

/* Rows of the maps with at most so many columns in all. */
static int rows_of(const ld_maps *maps, int columns) {
  const int rows = columns / larger(maps->width, 1), all = maps->n * maps->height;
  return rows < all ? larger(rows, 1) : all;
}

static void set_tiles(convolution_op *op) {
  const int in = op->layer->in, fit = PATCHES / in;
  op->rows = rows_of(&op->y, COLUMNS);
  op->back_rows = is_pointwise(op) || op->turns
                      ? op->rows
                      : rows_of(&op->y, larger(fit, in < LONG ? LEAST_COLUMNS : MANY_COLUMNS));
  op->turned.rows = rows_of(&op->x, COLUMNS);
}

/* Carved from the scratch. Where the convolution turns, sum_grad and spare are of all columns. */
typedef struct scratch {
  float *band;     /* of the patches; NULL where they are x itself */
  float *turned;   /* the band of those of y's gradient */
  float *patches;  /* (in, tile of the backward pass): their gradient */
  float *sum_grad; /* (out, tile of the backward pass): y's gradient times scale, 0 where relu has cut */
  float *spare;    /* (layer's spare, tile of the backward pass) */
  float *dropped;  /* x after dropout, in x's shape */
  float *gradient; /* in the backward pass, the gradient of that */
} scratch;

static size_t carve(const ld_tape *tape, const convolution_op *op, float *memory, scratch *s) {
  const ld_linear *layer = op->layer;
  const size_t n = op->turns ? (size_t)op->y.x->cols : (size_t)op->back_rows * (size_t)op->y.width,
               x = (size_t)op->x.x->rows * (size_t)op->x.x->cols;
  const size_t dropped = ld_linear_drops(tape, layer) ? x : 0;
  const size_t band = is_pointwise(op) ? 0 : ld_patches_band(&op->window, larger(op->rows, op->back_rows));
  const bool has_gradient = op->x.x->trained && !is_pointwise(op);
  const int sources = layer->out + ld_linear_spare(layer); /* channels of the gradients that turn */
  const size_t sizes[] = {
      band,
      has_gradient && op->turns ? ld_turned_band(&op->turned.window, op->turned.rows, sources) : 0,
      has_gradient && !op->turns ? (size_t)layer->in * n : 0,
      op->goes_back ? (size_t)layer->out * n : 0,
      (size_t)ld_linear_spare(layer) * n,
      dropped,
      dropped};
  float **const places[] = {&s->band,  &s->turned,  &s->patches, &s->sum_grad,
                            &s->spare, &s->dropped, &s->gradient};
  size_t total = 0;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    *places[i] = memory && sizes[i] ? memory + total : NULL;
    total += sizes[i];
  }
  return total;
}

/* The input of the layer's change: x, or x after dropout. */
static const float *change_input(const ld_tape *tape, const convolution_op *op, const scratch *s) {
  const ld_tensor *x = op->x.x;
  if (!ld_linear_drops(tape, op->layer)) return x->data;
  ld_linear_dropout(op->layer, op->batch, x->rows, x->cols, ld_side_at(x->data, x->stride),
                    ld_side_at(s->dropped, x->cols), false);
  return s->dropped;
}

/* The patches of `in`, which has x's shape: in place, or to be made. */
static ld_side patches_of(const convolution_op *op, const tile *t, const float *in, const scratch *s,
                          ld_patches *patches) {
  if (is_pointwise(op)) return ld_side_at((float *)in + t->column, op->x.x->cols);
  *patches = ld_patches_fill(&op->window, in, t->row, t->n_rows, s->band);
  return (ld_side){.ld = t->n, .patches = patches};
}

/* Where a tile begins in the rows of sum_grad and of spare, and how long those are. */
static int part_at(const convolution_op *op, const tile *t) {
  return op->turns ? t->column : 0;
}

static int part_ld(const convolution_op *op, const tile *t) {
  return op->turns ? op->y.x->cols : t->n;
}

/* The product of a tile with the patches of `in`, which has x's shape; NULL where they are not read. */
static ld_product product_of(const convolution_op *op, const tile *t, const float *in, const scratch *s,
                             ld_patches *patches) {
  const int N = op->y.x->cols;
  return (ld_product){.layer = op->layer,
                      .T = t->n,
                      .columns = true,
                      .dropped = s->dropped != NULL,
                      .x = in ? patches_of(op, t, in, s, patches) : (ld_side){0},
                      .y = ld_side_at(op->y.x->data + t->column, N),
                      .kept = ld_side_at(op->kept ? op->kept + t->column : NULL, N),
                      .spare = ld_side_at(s->spare ? s->spare + part_at(op, t) : NULL, part_ld(op, t))};
}

/* y = scale y + shift, and the residual if there is one; with relu the positive part of that. */
LD_VECTOR static void affine_row(float *y, const float *residual, float scale, float shift, bool relu,
                                 int n) {
  if (residual && relu)
    for (int i = 0; i < n; i++) {
      const float sum = scale * y[i] + shift + residual[i];
      y[i] = sum > 0 ? sum : 0;
    }
  else if (residual)
    for (int i = 0; i < n; i++) y[i] = scale * y[i] + shift + residual[i];
  else if (relu)
    for (int i = 0; i < n; i++) {
      const float sum = scale * y[i] + shift;
      y[i] = sum > 0 ? sum : 0;
    }
  else
    for (int i = 0; i < n; i++) y[i] = scale * y[i] + shift;
}

/* y = the affine function of a tile of sums, while they are still in a cache. */
static void apply_affine(const convolution_op *op, const tile *t) {
  for (int c = 0; c < op->layer->out; c++) {
    const size_t at = (size_t)c * (size_t)op->y.x->cols + (size_t)t->column;
    affine_row(op->y.x->data + at, op->residual ? op->residual->data + at : NULL, op->scale[c], op->shift[c],
               op->relu, t->n);
  }
}

static void convolution_forward(ld_tape *tape, void *self) {
  const convolution_op *op = self;
  scratch s;
  carve(tape, op, ld_tape_scratch(tape), &s);
  const float *x = op->x.x->data, *in = change_input(tape, op, &s);
  for (int row = 0; row < op->y.n * op->y.height; row += op->rows) {
    const tile t = tile_at(op, row, op->rows);
    ld_patches patches;
    ld_product p = product_of(op, &t, in, &s, &patches);
    ld_linear_read(&p);
    if (in != x) p = product_of(op, &t, x, &s, &patches);
    if (op->residual && !op->scale) p.start = ld_side_at(op->residual->data + t.column, op->y.x->cols);
    ld_linear_forward(&p);
    if (op->scale) apply_affine(op, &t);
  }
}

LD_VECTOR static void gradient_of_scaled(float *to, const float *from, float scale, int n) {
  for (int i = 0; i < n; i++) to[i] = scale * from[i];
}

LD_VECTOR static void gradient_of_positive(float *to, const float *dy, const float *y, float scale, int n) {
  for (int i = 0; i < n; i++) to[i] = scale * (y[i] > 0 ? dy[i] : 0);
}

/* The same, and dy becomes what it passes on. */
LD_VECTOR static void gradients_of_positive(float *to, float *dy, const float *y, float scale, int n) {
  for (int i = 0; i < n; i++) {
    dy[i] = y[i] > 0 ? dy[i] : 0;
    to[i] = scale * dy[i];
  }
}

/* The gradient of a tile's sums. What the positive part lets through is the gradient of the residual too, to which the tape
 * hands it on. */
static ld_side sum_gradient(const convolution_op *op, const tile *t, const scratch *s) {
  const int N = op->y.x->cols;
  float *dy = op->y.x->grad + t->column;
  const float *y = op->y.x->data + t->column;
  if (!op->scale) return ld_side_at(dy, N);
  const ld_side all = ld_side_at(s->sum_grad + part_at(op, t), part_ld(op, t));
  for (int c = 0; c < op->layer->out; c++, dy += N, y += N) {
    float *to = all.data + (size_t)c * (size_t)all.ld;
    if (op->relu && op->residual)
      gradients_of_positive(to, dy, y, op->scale[c], t->n);
    else if (op->relu)
      gradient_of_positive(to, dy, y, op->scale[c], t->n);
    else
      gradient_of_scaled(to, dy, op->scale[c], t->n);
  }
  return all;
}

/* dx += the gradient of a tile's patches. */
static void input_gradient(const convolution_op *op, const tile *t, ld_product p, const scratch *s,
                           enum ld_through through, float *dx) {
  const bool direct = is_pointwise(op);
  p.x = direct ? ld_side_at(dx + t->column, op->x.x->cols) : ld_side_at(s->patches, t->n);
  p.start = direct && !(op->fresh && through != LD_THROUGH_CHANGE) ? p.x : (ld_side){0};
  ld_linear_input(&p, through);
  if (!direct) ld_patches_add(&op->window, s->patches, t->row, t->n_rows, dx);
}

/* dx = or += the gradient of the input, at once. */
static void turned_gradient(const convolution_op *op, bool drops, const scratch *s, enum ld_through through,
                            float *dx) {
  const int N = op->y.x->cols;
  ld_turned turned = op->turned;
  turned.band = s->turned;
  ld_product p = {.layer = op->layer, .T = N, .columns = true, .dropped = drops, .turned = &turned};
  p.x = ld_side_at(dx, op->x.x->cols);
  p.start = op->fresh || through == LD_THROUGH_CHANGE ? (ld_side){0} : p.x;
  p.y = ld_side_at(op->scale ? s->sum_grad : op->y.x->grad, N);
  p.spare = ld_side_at(s->spare, N);
  ld_linear_input(&p, through);
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
  for (int row = 0; row < op->y.n * op->y.height; row += op->back_rows) {
    const tile t = tile_at(op, row, op->back_rows);
    ld_patches patches;
    ld_product p = product_of(op, &t, in, &s, &patches);
    p.y = sum_gradient(op, &t, &s);
    ld_linear_gradients(&p);
    if (op->turns) continue;
    if (dx) input_gradient(op, &t, p, &s, drops ? LD_THROUGH_BASE : LD_THROUGH_ALL, dx);
    if (dx && drops) input_gradient(op, &t, p, &s, LD_THROUGH_CHANGE, s.gradient);
  }
  if (op->turns) turned_gradient(op, drops, &s, drops ? LD_THROUGH_BASE : LD_THROUGH_ALL, dx);
  if (op->turns && drops) turned_gradient(op, drops, &s, LD_THROUGH_CHANGE, s.gradient);
  if (dx && drops)
    ld_linear_dropout(op->layer, op->batch, x->rows, x->cols, ld_side_at(s.gradient, x->cols),
                      ld_side_at(dx, x->stride), true);
}

/* Adds the operation to the tape; `wanted` has what is particular to it. */
static ld_maps push(ld_tape *tape, convolution_op wanted, ld_tensor *residual) {
  const ld_linear *layer = wanted.layer;
  const ld_maps x = wanted.x;
  convolution_op *op = ld_tape_record(tape, sizeof *op);
  *op = wanted;
  op->residual = residual;
  op->window = ld_window_over(&layer->kernel, x.x->rows, x.n, x.height, x.width);
  op->y = (ld_maps){NULL, x.n, op->window.out_height, op->window.out_width};
  const int N = op->y.n * op->y.height * op->y.width;
  op->y.x = ld_tape_maps(tape, layer->out, op->y.n, op->y.height, op->y.width);
  op->goes_back = op->scale && ld_tape_training(tape) &&
                  (x.x->trained || layer->change || (residual && residual->trained));
  op->turns = x.x->trained && !is_pointwise(op) && ld_turned_over(&op->window, &op->turned.window);
  set_tiles(op);
  scratch s;
  ld_tensor *reads[3] = {NULL};
  int n_reads = 0;
  if (ld_linear_trains(layer)) reads[n_reads++] = x.x;
  if (op->relu) reads[n_reads++] = op->y.x;
  ld_tape_push(tape, (ld_op){.name = "convolution",
                             .module = layer->path,
                             .self = op,
                             .forward = convolution_forward,
                             .backward = convolution_backward,
                             .out = op->y.x,
                             .in = LD_TENSORS(x.x),
                             .accumulate = residual,
                             .backward_reads = reads,
                             .layers = LD_LAYERS(layer),
                             .fresh = is_pointwise(op) || op->turns ? &op->fresh : NULL,
                             .kept = {&op->kept, (size_t)ld_linear_kept(layer) * (size_t)N},
                             .scratch = carve(tape, op, NULL, &s),
                             .work = ld_linear_work(layer, N, x.x->trained)});
  return op->y;
}

ld_maps ld_op_convolution_accumulate(ld_tape *tape, ld_maps residual, ld_maps x, const ld_linear *layer,
                                     const ld_batch *batch) {
  return push(tape, (convolution_op){.layer = layer, .batch = batch, .x = x}, residual.x);
}

ld_maps ld_op_convolution_affine(ld_tape *tape, ld_maps x, const ld_linear *layer, const ld_affine *affine,
                                 const ld_batch *batch) {
  return push(tape,
              (convolution_op){.layer = layer,
                               .batch = batch,
                               .x = x,
                               .scale = affine->scale,
                               .shift = affine->shift,
                               .relu = affine->relu},
              affine->residual.x);
}

ld_maps ld_op_convolution(ld_tape *tape, ld_maps x, const ld_linear *layer, const ld_batch *batch) {
  return ld_op_convolution_accumulate(tape, (ld_maps){0}, x, layer, batch);
}
