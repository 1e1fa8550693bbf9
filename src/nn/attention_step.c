/* Keys and values come from memory, which is read best in the order in which it lies: so rows are read whole, all heads of
 * each, and not head by head. */
#include "nn/attention_step.h"

#include <string.h>

#include "base/vmath.h"
#include "linalg/rows.h"

__attribute__((always_inline)) static inline float dot(const float *q, const float *k, int D) {
  const int whole = D / LD_LANES * LD_LANES;
  float lanes[LD_LANES] = {0}, sum = 0;
  for (int d = 0; d < whole; d += LD_LANES)
    for (int l = 0; l < LD_LANES; l++) lanes[l] += q[d + l] * k[d + l];
  for (int half = LD_LANES / 2; half; half /= 2)
    for (int l = 0; l < half; l++) lanes[l] += lanes[l + half];
  for (int d = whole; d < D; d++) sum += q[d] * k[d];
  return lanes[0] + sum;
}

/* scores (H, n) = scale * (the head of q . the head of each key) */
LD_VECTOR static void score_rows(const ld_attention *shape, const float *q, const ld_seen *seen,
                                 float *scores) {
  const int D = shape->head_dim, group = shape->n_heads / shape->n_kv_heads;
  for (int i = 0; i < seen->n; i++) {
    const float *k = seen->keys + (ptrdiff_t)i * seen->stride;
    for (int head = 0; head < shape->n_heads; head++)
      scores[(ptrdiff_t)head * seen->n + i] = dot(q + head * D, k + head / group * D, D) * shape->scale;
  }
}

enum { TOGETHER = 4 };

/* y (H D) += n rows of values, each head times its weight, row after row; n is a constant where this is called. */
__attribute__((always_inline)) static inline void add_rows(const ld_attention *shape, const float *weights,
                                                           const ld_seen *seen, int row, int n, float *y) {
  const int D = shape->head_dim, group = shape->n_heads / shape->n_kv_heads;
  const float *v[TOGETHER], *weight = weights + row;
  for (int head = 0; head < shape->n_heads; head++, weight += seen->n, y += D) {
    for (int i = 0; i < n; i++) v[i] = seen->values + (ptrdiff_t)(row + i) * seen->stride + head / group * D;
    for (int d = 0; d < D; d++) {
      float sum = y[d];
      for (int i = 0; i < n; i++) sum += weight[i] * v[i][d];
      y[d] = sum;
    }
  }
}

LD_VECTOR static void weigh_rows(const ld_attention *shape, const float *weights, const ld_seen *seen,
                                 float *y) {
  int row = 0;
  for (; row + TOGETHER <= seen->n; row += TOGETHER) add_rows(shape, weights, seen, row, TOGETHER, y);
  for (; row < seen->n; row++) add_rows(shape, weights, seen, row, 1, y);
}

static void add_bias(const ld_distance_bias *distance, int head, int first, int n, int place, float *scores) {
  const int reach = distance->reach;
  const float *bias = distance->bias + (ptrdiff_t)head * (2 * reach + 1) + reach;
  for (int i = 0; i < n; i++) {
    const int d = first + i - place;
    scores[i] += bias[d < -reach ? -reach : d > reach ? reach : d];
  }
}

size_t ld_attention_step_scratch(const ld_attention *shape, int n) {
  return (size_t)shape->n_heads * ((size_t)n + 1);
}

void ld_attention_step(const ld_attention *shape, const float *q, const ld_seen *seen, int place,
                       float *scratch, float *y) {
  const int D = shape->head_dim, H = shape->n_heads;
  const int low = shape->window && place >= shape->window ? place - shape->window + 1 : 0;
  const ld_seen s = {seen->keys + (ptrdiff_t)low * seen->stride, seen->values + (ptrdiff_t)low * seen->stride,
                     seen->n - low, seen->stride};
  float *factor = scratch, *scores = scratch + H; /* (H), (H, n) */
  score_rows(shape, q, &s, scores);
  for (int head = 0; head < H; head++) {
    float *of_head = scores + (ptrdiff_t)head * s.n;
    if (shape->distance.bias) add_bias(&shape->distance, head, low, s.n, place, of_head);
    factor[head] = (float)(1 / ld_row_exp(of_head, ld_row_max(of_head, s.n), s.n));
  }
  memset(y, 0, (size_t)H * (size_t)D * sizeof *y);
  weigh_rows(shape, scores, &s, y);
  for (int head = 0; head < H; head++) ld_row_scale(y + head * D, factor[head], D);
}
