#include <math.h>
#include <string.h>

#include "base/vmath.h"
#include "nn/ops.h"
#include "nn/rows.h"

/* Rows taken at a time: the block's scores (BLOCK, T) should stay in the second-level cache at common
 * lengths. */
enum { BLOCK = 64 };

typedef struct attention_op {
  ld_attention shape;
  const ld_batch *batch;
  ld_tensor *q, *k, *v, *y;
  float *lse; /* (H, T): log of the sum of exp of each row's scores */
} attention_op;

/* Some rows of one head of one sequence, and the keys that they may see. */
typedef struct part {
  int n_rows, n_keys;
  const float *q, *k, *v;
  int ldq, ldk, ldv;
  int first_row, first_key; /* places in the sequence, the cache's tokens included */
} part;

/* Row i of the part sees keys [*low, *high) of the part. */
static void visible(const ld_attention *shape, const part *p, int i, int *low, int *high) {
  const int row = p->first_row + i;
  *low = 0;
  *high = p->n_keys;
  if (shape->causal && row + 1 - p->first_key < *high) *high = row + 1 - p->first_key;
  if (shape->window && row - shape->window + 1 > p->first_key) *low = row - shape->window + 1 - p->first_key;
}

static void mask_row(float *s, int low, int high, int n) {
  memset(s, 0, (size_t)low * sizeof *s);
  memset(s + high, 0, (size_t)(n - high) * sizeof *s);
}

static void scores(const ld_attention *shape, const part *p, float *s) {
  ld_gemm(false, true, p->n_rows, p->n_keys, shape->head_dim, shape->scale, p->q, p->ldq, p->k, p->ldk, 0, s,
          p->n_keys);
}

static void part_forward(const ld_attention *shape, const part *p, float *s, float *y, int ldy, float *lse) {
  scores(shape, p, s);
  for (int i = 0; i < p->n_rows; i++) {
    float *row = s + (size_t)i * (size_t)p->n_keys;
    int low, high;
    visible(shape, p, i, &low, &high);
    const float max = ld_row_max(row + low, high - low);
    const float sum = (float)ld_row_exp(row + low, max, high - low);
    ld_row_scale(row + low, 1.0f / sum, high - low);
    mask_row(row, low, high, p->n_keys);
    if (lse) lse[i] = max + logf(sum);
  }
  ld_gemm(false, false, p->n_rows, shape->head_dim, p->n_keys, 1, s, p->n_keys, p->v, p->ldv, 0, y, ldy);
}

/* Cuts the rows [begin, begin + length) of the batch into parts, for head `head`; NULL-terminated by n_rows
 * 0. Rows and keys of a sequence that continues from the cache are numbered through. */
static part take_part(const attention_op *op, int head, int begin, int length, int row) {
  const ld_attention *shape = &op->shape;
  const ld_cache *cache = op->batch->cache;
  const int kv = head / (shape->n_heads / shape->n_kv_heads) * shape->head_dim;
  const int past = cache ? cache->length : 0;
  part p = {.ldq = op->q->stride, .first_row = past + row};
  p.n_rows = length - row < BLOCK ? length - row : BLOCK;
  p.q = op->q->data + (size_t)(begin + row) * (size_t)p.ldq + head * shape->head_dim;
  const int end = shape->causal ? p.first_row + p.n_rows : past + length;
  if (shape->window && p.first_row - shape->window + 1 > 0) p.first_key = p.first_row - shape->window + 1;
  p.n_keys = end - p.first_key;
  if (cache) {
    const size_t at =
        ((size_t)shape->block * (size_t)cache->capacity + (size_t)p.first_key) * (size_t)cache->width;
    p.ldk = p.ldv = cache->width;
    p.k = cache->keys + at + kv;
    p.v = cache->values + at + kv;
  } else {
    p.ldk = op->k->stride;
    p.ldv = op->v->stride;
    p.k = op->k->data + (size_t)(begin + p.first_key) * (size_t)p.ldk + kv;
    p.v = op->v->data + (size_t)(begin + p.first_key) * (size_t)p.ldv + kv;
  }
  return p;
}

static void fill_cache(const attention_op *op) {
  const ld_cache *cache = op->batch->cache;
  for (int t = 0; t < op->k->rows; t++) {
    const size_t at = ((size_t)op->shape.block * (size_t)cache->capacity + (size_t)(cache->length + t)) *
                      (size_t)cache->width;
    memcpy(cache->keys + at, op->k->data + (size_t)t * (size_t)op->k->stride,
           (size_t)cache->width * sizeof(float));
    memcpy(cache->values + at, op->v->data + (size_t)t * (size_t)op->v->stride,
           (size_t)cache->width * sizeof(float));
  }
}

static void attention_forward(ld_tape *tape, void *self) {
  attention_op *op = self;
  const ld_attention *shape = &op->shape;
  const int T = op->q->rows, D = shape->head_dim;
  if (op->batch->cache) fill_cache(op);
  for (int s = 0; s < op->batch->n_segments; s++) {
    const int begin = op->batch->segment[s], length = op->batch->segment[s + 1] - begin;
    for (int head = 0; head < shape->n_heads; head++)
      for (int row = 0; row < length; row += BLOCK) {
        const part p = take_part(op, head, begin, length, row);
        float *y = op->y->data + (size_t)(begin + row) * (size_t)op->y->stride + head * D;
        float *lse = op->lse ? op->lse + (size_t)head * (size_t)T + begin + row : NULL;
        part_forward(shape, &p, ld_tape_scratch(tape), y, op->y->stride, lse);
      }
  }
}

LD_VECTOR static void score_gradient(float *dp, const float *p, float delta, float scale, int n) {
  for (int i = 0; i < n; i++) dp[i] = p[i] * (dp[i] - delta) * scale;
}

/* dV += P^T dY;  dP = dY V^T;  dS = P (dP - rowsum(P dP)) scale;  dQ += dS K;  dK += dS^T Q.
 * The row sum could be had as rowsum(dY Y), but Y is rounded: dS would not sum to 0, and where all keys have
 * much in common, what is left of that in dQ is larger than the rest. */
static void part_backward(const ld_attention *shape, const part *p, float *P, const float *dy, int ldy,
                          const float *lse, float *dq, float *dk, float *dv) {
  const int D = shape->head_dim, n = p->n_keys;
  scores(shape, p, P);
  float *dP = P + (size_t)p->n_rows * (size_t)n;
  double sums[BLOCK]; /* of P: 1 but for rounding */
  for (int i = 0; i < p->n_rows; i++) {
    float *row = P + (size_t)i * (size_t)n;
    int low, high;
    visible(shape, p, i, &low, &high);
    sums[i] = ld_row_exp(row + low, lse[i], high - low);
    mask_row(row, low, high, n);
  }
  if (dv) ld_gemm(true, false, n, D, p->n_rows, 1, P, n, dy, ldy, 1, dv, p->ldv);
  if (!dq && !dk) return;
  ld_gemm(false, true, p->n_rows, n, D, 1, dy, ldy, p->v, p->ldv, 0, dP, n);
  for (int i = 0; i < p->n_rows; i++) {
    const float *row = P + (size_t)i * (size_t)n;
    float *gradient = dP + (size_t)i * (size_t)n;
    const double delta = (double)ld_row_dot(row, gradient, n) / sums[i];
    score_gradient(gradient, row, (float)delta, shape->scale, n);
  }
  if (dq) ld_gemm(false, false, p->n_rows, D, n, 1, dP, n, p->k, p->ldk, 1, dq, p->ldq);
  if (dk) ld_gemm(true, false, n, D, p->n_rows, 1, dP, n, p->q, p->ldq, 1, dk, p->ldk);
}

static void attention_backward(ld_tape *tape, void *self) {
  attention_op *op = self;
  const ld_attention *shape = &op->shape;
  float *dq = ld_grad(op->q), *dk = ld_grad(op->k), *dv = ld_grad(op->v);
  const int T = op->q->rows, ldy = op->y->stride;
  for (int s = 0; s < op->batch->n_segments; s++) {
    const int begin = op->batch->segment[s], length = op->batch->segment[s + 1] - begin;
    for (int head = 0; head < shape->n_heads; head++)
      for (int row = 0; row < length; row += BLOCK) {
        const part p = take_part(op, head, begin, length, row);
        const size_t at = (size_t)(begin + row) * (size_t)ldy + (size_t)(head * shape->head_dim);
        part_backward(shape, &p, ld_tape_scratch(tape), op->y->grad + at, ldy,
                      op->lse + (size_t)head * (size_t)T + begin + row, dq ? dq + (p.q - op->q->data) : NULL,
                      dk ? dk + (p.k - op->k->data) : NULL, dv ? dv + (p.v - op->v->data) : NULL);
      }
  }
}

ld_tensor *ld_op_attention(ld_tape *tape, ld_tensor *q, ld_tensor *k, ld_tensor *v, const ld_attention *shape,
                           const ld_batch *batch) {
  attention_op *op = ld_tape_record(tape, sizeof *op);
  *op = (attention_op){.shape = *shape, .batch = batch, .q = q, .k = k, .v = v};
  const bool trained = q->trained || k->trained || v->trained;
  op->y = ld_tape_tensor(tape, q->rows, q->cols, trained);
  if (op->y->trained) op->lse = ld_tape_floats(tape, (size_t)shape->n_heads * (size_t)q->rows);
  int longest = 0;
  for (int s = 0; s < batch->n_segments; s++) {
    const int length = batch->segment[s + 1] - batch->segment[s];
    if (length > longest) longest = length;
  }
  if (batch->cache) longest += batch->cache->length;
  ld_tape_need_scratch(tape, 2 * BLOCK * (size_t)longest);
  ld_tape_push(tape, (ld_op){"attention", attention_forward, attention_backward, op, op->y, {q, k, v}});
  return op->y;
}
