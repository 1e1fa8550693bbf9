#include "nn/ops.h"

#include "base/rng.h"
#include "base/vmath.h"
#include "nn/linear.h"
#include "nn/rows.h"

typedef struct linear_op {
  const ld_linear *linear;
  ld_tensor *x, *residual, *y; /* residual: NULL for none */
  float *h;                    /* (T, R): the dropped-out input times A^T, kept for the gradient of B */
  uint64_t seed, number;
} linear_op;

/* y = start + x W^T + bias and, unless h is NULL, + scaling h B^T; start (T, out) may be NULL. */
static void forward(const ld_linear *linear, int T, const float *x, int ldx, const float *h,
                    const float *start, float *y, int ldy) {
  ld_term terms[2] = {{ld_float_factor(x, ldx, false), ld_weight_factor(&linear->weight, !linear->transposed),
                       linear->in, 1}};
  if (h) {
    const ld_lora *lora = linear->lora;
    terms[1] = (ld_term){ld_float_factor(h, lora->rank, false),
                         ld_float_factor(lora->B->data, lora->rank, true), lora->rank, lora->scaling};
  }
  ld_gemm_terms(T, linear->out, terms, h ? 2 : 1, start, linear->out, linear->bias, y, ldy);
}

/* h (T, R) = x A^T. */
static void lower(const ld_lora *lora, int T, const float *x, int ldx, float *h) {
  const ld_param *A = lora->A;
  ld_gemm(false, true, T, lora->rank, A->cols, 1, x, ldx, A->data, A->cols, 0, h, lora->rank);
}

void ld_linear_forward(const ld_linear *linear, int T, const float *x, int ldx, float *h, float *y, int ldy) {
  if (linear->lora) lower(linear->lora, T, x, ldx, h);
  forward(linear, T, x, ldx, linear->lora ? h : NULL, NULL, y, ldy);
}

void ld_linear_backward(const ld_linear *linear, int T, const float *dy, int ldy, const float *dh, float beta,
                        float *dx, int ldx) {
  ld_term terms[2] = {{ld_float_factor(dy, ldy, false), ld_weight_factor(&linear->weight, linear->transposed),
                       linear->out, 1}};
  if (dh) {
    const ld_lora *lora = linear->lora;
    terms[1] = (ld_term){ld_float_factor(dh, lora->rank, false),
                         ld_float_factor(lora->A->data, linear->in, false), lora->rank, 1};
  }
  ld_gemm_terms(T, linear->in, terms, dh ? 2 : 1, beta != 0 ? dx : NULL, ldx, NULL, dx, ldx);
}

void ld_lora_backward(const ld_lora *lora, int T, const float *x, int ldx, const float *h, float *dh,
                      const float *dy, int ldy) {
  const ld_param *A = lora->A, *B = lora->B;
  ld_gemm(true, false, B->rows, lora->rank, T, lora->scaling, dy, ldy, h, lora->rank, 1, B->grad, lora->rank);
  ld_gemm(false, false, T, lora->rank, B->rows, lora->scaling, dy, ldy, B->data, lora->rank, 0, dh,
          lora->rank);
  ld_gemm(true, false, lora->rank, A->cols, T, 1, dh, lora->rank, x, ldx, 1, A->grad, A->cols);
}

void ld_whole_backward(const ld_linear *linear, int T, const float *x, int ldx, const float *dy, int ldy) {
  ld_gemm(true, false, linear->out, linear->in, T, 1, dy, ldy, x, ldx, 1, linear->whole->grad, linear->in);
  if (linear->whole_bias) ld_rows_add(linear->whole_bias->grad, dy, (size_t)ldy, T, linear->out);
}

void ld_lora_dropout(const ld_lora *lora, uint64_t seed, uint64_t number, int rows, int cols, const float *in,
                     int stride, float *out, bool add) {
  const ld_stream stream = ld_rng_stream(seed, LD_RNG_DROPOUT, number, lora->id);
  const uint32_t threshold = (uint32_t)((double)lora->dropout * 4294967296.0);
  const float keep = 1.0f / (1.0f - lora->dropout);
  const size_t n = (size_t)cols, total = (size_t)rows * n;
  uint32_t words[4];
  for (size_t i = 0; i < total; i++) {
    if (i % 4 == 0) ld_rng_words(&stream, i / 4, words);
    const float factor = words[i % 4] < threshold ? 0.0f : keep;
    const size_t at = i / n * (size_t)stride + i % n;
    if (add)
      out[at] += factor * in[i];
    else
      out[i] = factor * in[at];
  }
}

bool ld_lora_drops(const ld_tape *tape, const ld_linear *linear) {
  return linear->lora && linear->lora->dropout > 0 && ld_tape_training(tape);
}

static void dropout(const linear_op *op, const float *in, int stride, float *out, bool add) {
  ld_lora_dropout(op->linear->lora, op->seed, op->number, op->x->rows, op->x->cols, in, stride, out, add);
}

static void linear_forward(ld_tape *tape, void *self) {
  linear_op *op = self;
  const ld_linear *linear = op->linear;
  const float *x = op->x->data;
  int T = op->x->rows, ldx = op->x->stride;
  if (ld_lora_drops(tape, linear)) {
    float *dropped = ld_tape_scratch(tape);
    dropout(op, x, ldx, dropped, false);
    lower(linear->lora, T, dropped, linear->in, op->h);
  } else if (linear->lora) {
    lower(linear->lora, T, x, ldx, op->h);
  }
  forward(linear, T, x, ldx, op->h, op->residual ? op->residual->data : NULL, op->y->data, op->y->stride);
}

/* dx through the frozen part and, behind its dropout, the adapter. `dropped` is (T, in). */
static void dropped_backward(const linear_op *op, const float *dh, float *dropped, float *dx) {
  const ld_linear *linear = op->linear;
  const ld_lora *lora = linear->lora;
  const int T = op->x->rows;
  ld_gemm(false, false, T, linear->in, lora->rank, 1, dh, lora->rank, lora->A->data, linear->in, 0, dropped,
          linear->in);
  dropout(op, dropped, op->x->stride, dx, true);
  ld_linear_backward(linear, T, op->y->grad, op->y->stride, NULL, 1, dx, op->x->stride);
}

/* Scratch: dh (T, R), then one (T, in) matrix for dropout. */
static void linear_backward(ld_tape *tape, void *self) {
  linear_op *op = self;
  const ld_linear *linear = op->linear;
  const ld_lora *lora = linear->lora;
  const int T = op->x->rows;
  const bool drops = ld_lora_drops(tape, linear);
  float *dh = lora ? ld_tape_scratch(tape) : NULL, *dx = ld_grad(op->x);
  float *dropped = drops ? dh + (size_t)T * (size_t)lora->rank : NULL;
  const float *dy = op->y->grad;
  if (drops) dropout(op, op->x->data, op->x->stride, dropped, false);
  if (lora)
    ld_lora_backward(lora, T, drops ? dropped : op->x->data, drops ? linear->in : op->x->stride, op->h, dh,
                     dy, op->y->stride);
  if (linear->whole) ld_whole_backward(linear, T, op->x->data, op->x->stride, dy, op->y->stride);
  if (dx && drops)
    dropped_backward(op, dh, dropped, dx);
  else if (dx)
    ld_linear_backward(linear, T, dy, op->y->stride, dh, 1, dx, op->x->stride);
}

void ld_linear_count(ld_tape *tape, const ld_linear *linear, int T, bool input_trained) {
  const double in = linear->in, out = linear->out, R = linear->lora ? linear->lora->rank : 0;
  const double to_input = input_trained ? in * out + R * in : 0;
  const double to_weight = linear->whole ? in * out : R * (2 * out + in);
  ld_tape_add_work(tape, T * (in * out + R * (in + out)), T * (to_input + to_weight));
  if (linear->lora || linear->whole) ld_tape_trains(tape, linear);
}

ld_tensor *ld_op_linear_onto(ld_tape *tape, ld_tensor *residual, ld_tensor *x, const ld_linear *linear,
                             const ld_batch *batch) {
  linear_op *op = ld_tape_record(tape, sizeof *op);
  const ld_lora *lora = linear->lora;
  *op = (linear_op){
      .linear = linear, .x = x, .residual = residual, .seed = batch->seed, .number = batch->number};
  const bool below = x->trained || (residual && residual->trained);
  op->y = ld_tape_tensor(tape, x->rows, linear->out, below || lora || linear->whole);
  if (lora) {
    const size_t T = (size_t)x->rows, dropped = ld_lora_drops(tape, linear) ? T * (size_t)linear->in : 0;
    op->h = ld_tape_floats(tape, T * (size_t)lora->rank);
    ld_tape_need_scratch(tape, T * (size_t)lora->rank + dropped);
  }
  if (lora || linear->whole) ld_tape_want(x);
  if (residual) ld_tape_onto(tape, residual);
  ld_tape_role(tape, linear->path);
  ld_linear_count(tape, linear, x->rows, x->trained);
  ld_tape_push(tape, (ld_op){"linear", linear_forward, linear_backward, op, op->y, {x}});
  return op->y;
}

ld_tensor *ld_op_linear(ld_tape *tape, ld_tensor *x, const ld_linear *linear, const ld_batch *batch) {
  return ld_op_linear_onto(tape, NULL, x, linear, batch);
}
