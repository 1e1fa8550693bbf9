/* Convolution as a product with the patches under the kernel, some rows of the output at a time, so that
 * their patches stay in the second-level cache. Chellapilla et al., "High Performance Convolutional Neural
 * Networks for Document Processing", 2006, section 3.1.
 */
#include <string.h>

#include "nn/linear.h"
#include "nn/ops.h"
#include "nn/patches.h"

/* Patches that exist at a time: about so many floats, but never of fewer columns than a product needs to be
 * fast. */
enum { PATCHES = 1 << 18, MIN_COLUMNS = 384 };

typedef struct convolution_op {
  const ld_linear *layer;
  ld_window window;
  ld_maps x, y;
  int tile_rows; /* rows of the output in a tile, of all images one below the other */
  float *h;      /* (R, B H W) of y: A times the patches, kept for the gradient of B */
  uint64_t seed, number;
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

static int n_tile_columns(const convolution_op *op) {
  return op->tile_rows * op->y.width;
}

/* A kernel of one pixel that takes every pixel: the patches are the input itself. */
static bool is_pointwise(const convolution_op *op) {
  const ld_kernel *k = &op->layer->kernel;
  return k->height == 1 && k->width == 1 && k->stride == 1 && k->padding == 0;
}

/* The row stride of a tile's patches. */
static int patch_stride(const convolution_op *op, const tile *t) {
  return is_pointwise(op) ? op->x.x->cols : t->n;
}

/* The patches of a tile, (in, t->n), of `x` which is shaped as the op's input. */
static const float *patches(const convolution_op *op, const float *x, const tile *t, float *memory) {
  if (is_pointwise(op)) return x + t->column;
  ld_patches_take(&op->window, x, t->row, t->n_rows, memory);
  return memory;
}

/* Carved from the scratch. */
typedef struct scratch {
  float *patches; /* (in, tile) */
  float *dh;      /* (R, tile) */
  float *dropped; /* the input of A, as x; then the gradient to it */
} scratch;

static size_t carve(const ld_tape *tape, const convolution_op *op, float *memory, scratch *s) {
  const ld_linear *layer = op->layer;
  const size_t n = (size_t)n_tile_columns(op), x = (size_t)op->x.x->rows * (size_t)op->x.x->cols;
  const size_t sizes[] = {is_pointwise(op) ? 0 : (size_t)layer->in * n,
                          layer->lora ? (size_t)layer->lora->rank * n : 0,
                          ld_lora_drops(tape, layer) ? x : 0};
  float **const places[] = {&s->patches, &s->dh, &s->dropped};
  size_t total = 0;
  for (int i = 0; i < 3; i++) {
    *places[i] = memory ? memory + total : NULL;
    total += sizes[i];
  }
  return total;
}

/* What A reads: x, or x with some of it dropped out. */
static const float *adapter_input(const ld_tape *tape, const convolution_op *op, const scratch *s) {
  const ld_tensor *x = op->x.x;
  if (!ld_lora_drops(tape, op->layer)) return x->data;
  ld_lora_dropout(op->layer->lora, op->seed, op->number, x->rows, x->cols, x->data, x->stride, s->dropped,
                  false);
  return s->dropped;
}

/* h = A patches, of what A reads. */
static void lower(const convolution_op *op, const float *patches_in, const tile *t) {
  const ld_lora *lora = op->layer->lora;
  ld_gemm(false, false, lora->rank, t->n, lora->A->cols, 1, lora->A->data, lora->A->cols, patches_in,
          patch_stride(op, t), 0, op->h + t->column, op->y.x->cols);
}

/* y = W patches + scaling B h. */
static void multiply(const convolution_op *op, const float *patches_in, const tile *t) {
  const ld_linear *layer = op->layer;
  const ld_lora *lora = layer->lora;
  const int N = op->y.x->cols;
  ld_term terms[2] = {{ld_weight_factor(&layer->weight, false),
                       ld_float_factor(patches_in, patch_stride(op, t), false), layer->in, 1}};
  if (lora)
    terms[1] = (ld_term){ld_float_factor(lora->B->data, lora->rank, false),
                         ld_float_factor(op->h + t->column, N, false), lora->rank, lora->scaling};
  ld_gemm_terms(layer->out, t->n, terms, lora ? 2 : 1, NULL, 0, NULL, op->y.x->data + t->column, N);
}

static void convolution_forward(ld_tape *tape, void *self) {
  const convolution_op *op = self;
  scratch s;
  carve(tape, op, ld_tape_scratch(tape), &s);
  const float *x = op->x.x->data, *in = adapter_input(tape, op, &s);
  for (int row = 0; row < op->y.n * op->y.height; row += op->tile_rows) {
    const tile t = tile_at(op, row);
    const float *p = in == x ? NULL : patches(op, in, &t, s.patches);
    if (p) lower(op, p, &t);
    p = patches(op, x, &t, s.patches);
    if (in == x && op->layer->lora) lower(op, p, &t);
    multiply(op, p, &t);
  }
}

/* dB += scaling dy h^T;  dh = scaling B^T dy;  dA += dh patches^T. */
static void adapter_gradients(const convolution_op *op, const float *in, const tile *t, float *dh) {
  const ld_lora *lora = op->layer->lora;
  const int N = op->y.x->cols, out = lora->B->rows, ld = patch_stride(op, t);
  const float *dy = op->y.x->grad + t->column;
  ld_gemm(false, true, out, lora->rank, t->n, lora->scaling, dy, N, op->h + t->column, N, 1, lora->B->grad,
          lora->rank);
  ld_gemm(true, false, lora->rank, t->n, out, lora->scaling, lora->B->data, lora->rank, dy, N, 0, dh, t->n);
  ld_gemm(false, true, lora->rank, lora->A->cols, t->n, 1, dh, t->n, in, ld, 1, lora->A->grad, lora->A->cols);
}

/* dx += the input's gradient of a tile through W and, with `adapter`, through A as well or (without `frozen`)
 * alone. */
static void input_gradient(const convolution_op *op, const tile *t, const scratch *s, bool frozen,
                           bool adapter, float *dx) {
  const ld_linear *layer = op->layer;
  const bool direct = is_pointwise(op);
  float *to = direct ? dx + t->column : s->patches;
  const int ld = patch_stride(op, t);
  ld_term terms[2];
  int n = 0;
  if (frozen)
    terms[n++] = (ld_term){ld_weight_factor(&layer->weight, true),
                           ld_float_factor(op->y.x->grad + t->column, op->y.x->cols, false), layer->out, 1};
  if (adapter)
    terms[n++] = (ld_term){ld_float_factor(layer->lora->A->data, layer->in, true),
                           ld_float_factor(s->dh, t->n, false), layer->lora->rank, 1};
  ld_gemm_terms(layer->in, t->n, terms, n, direct ? to : NULL, ld, NULL, to, ld);
  if (!direct) ld_patches_add(&op->window, to, t->row, t->n_rows, dx);
}

static void convolution_backward(ld_tape *tape, void *self) {
  const convolution_op *op = self;
  const ld_lora *lora = op->layer->lora;
  const ld_tensor *x = op->x.x;
  const bool drops = ld_lora_drops(tape, op->layer);
  scratch s;
  carve(tape, op, ld_tape_scratch(tape), &s);
  float *dx = ld_grad(x);
  const float *in = adapter_input(tape, op, &s);
  for (int row = 0; row < op->y.n * op->y.height; row += op->tile_rows) {
    const tile t = tile_at(op, row);
    if (lora) adapter_gradients(op, patches(op, in, &t, s.patches), &t, s.dh);
    if (dx) input_gradient(op, &t, &s, true, lora && !drops, dx);
  }
  if (!dx || !drops) return;
  /* Through the dropout: the gradient to A's input takes the place of that input. */
  memset(s.dropped, 0, (size_t)x->rows * (size_t)x->cols * sizeof(float));
  for (int row = 0; row < op->y.n * op->y.height; row += op->tile_rows) {
    const tile t = tile_at(op, row);
    const int N = op->y.x->cols;
    ld_gemm(true, false, lora->rank, t.n, lora->B->rows, lora->scaling, lora->B->data, lora->rank,
            op->y.x->grad + t.column, N, 0, s.dh, t.n);
    input_gradient(op, &t, &s, false, true, s.dropped);
  }
  ld_lora_dropout(lora, op->seed, op->number, x->rows, x->cols, s.dropped, x->stride, dx, true);
}

ld_maps ld_op_convolution(ld_tape *tape, ld_maps x, const ld_linear *layer, const ld_batch *batch) {
  convolution_op *op = ld_tape_record(tape, sizeof *op);
  *op = (convolution_op){.layer = layer, .x = x, .seed = batch->seed, .number = batch->number};
  op->window = ld_window_over(&layer->kernel, x.x->rows, x.n, x.height, x.width);
  op->y = (ld_maps){NULL, x.n, op->window.out_height, op->window.out_width};
  const int N = op->y.n * op->y.height * op->y.width;
  op->y.x = ld_tape_tensor(tape, layer->out, N, x.x->trained || layer->lora);
  int columns = PATCHES / layer->in;
  if (columns < MIN_COLUMNS) columns = MIN_COLUMNS;
  op->tile_rows = is_pointwise(op) || columns >= N ? op->y.n * op->y.height : columns / op->y.width;
  if (op->tile_rows < 1) op->tile_rows = 1;
  if (layer->lora) op->h = ld_tape_floats(tape, (size_t)layer->lora->rank * (size_t)N);
  scratch s;
  ld_tape_need_scratch(tape, carve(tape, op, NULL, &s));
  ld_tape_role(tape, layer->path);
  ld_linear_count(tape, layer, N, x.x->trained);
  ld_tape_push(tape, (ld_op){"convolution", convolution_forward, convolution_backward, op, op->y.x, {x.x}});
  return op->y;
}
