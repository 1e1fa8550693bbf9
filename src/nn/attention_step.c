#include "nn/attention_step.h"

#include <string.h>

#include "base/vmath.h"
#include "linalg/rows.h"

/* out[i] = scale * (q . row i of k), for n rows. */
LD_VECTOR static void dot_rows(const float *q, const ld_seen *seen, int column, int D, float scale,
                               float *out) {
  const int whole = D / LD_LANES * LD_LANES;
  for (int i = 0; i < seen->n; i++) {
    const float *k = seen->keys + (ptrdiff_t)i * seen->stride + column;
    float lanes[LD_LANES] = {0}, sum = 0;
    for (int d = 0; d < whole; d += LD_LANES)
      for (int l = 0; l < LD_LANES; l++) lanes[l] += q[d + l] * k[d + l];
    for (int half = LD_LANES / 2; half; half /= 2)
      for (int l = 0; l < half; l++) lanes[l] += lanes[l + half];
    for (int d = whole; d < D; d++) sum += q[d] * k[d];
    out[i] = (lanes[0] + sum) * scale;
  }
}

enum { COLUMNS = 4 * LD_LANES };

/* out (COLUMNS) = the rows of v from `column` on, each times its weight. */
LD_VECTOR static void weigh_columns(const float *weights, const ld_seen *seen, int column, float *out) {
  float sums[COLUMNS] = {0};
  for (int i = 0; i < seen->n; i++) {
    const float *v = seen->values + (ptrdiff_t)i * seen->stride + column;
    for (int c = 0; c < COLUMNS; c++) sums[c] += weights[i] * v[c];
  }
  memcpy(out, sums, sizeof sums);
}

LD_VECTOR static void weigh_rest(const float *weights, const ld_seen *seen, int column, int n, float *out) {
  for (int c = 0; c < n; c++) out[c] = 0;
  for (int i = 0; i < seen->n; i++) {
    const float *v = seen->values + (ptrdiff_t)i * seen->stride + column;
    for (int c = 0; c < n; c++) out[c] += weights[i] * v[c];
  }
}

static void add_bias(const ld_distance_bias *distance, int head, int first, int n, int place, float *scores) {
  const int reach = distance->reach;
  const float *bias = distance->bias + (ptrdiff_t)head * (2 * reach + 1) + reach;
  for (int i = 0; i < n; i++) {
    const int d = first + i - place;
    scores[i] += bias[d < -reach ? -reach : d > reach ? reach : d];
  }
}

void ld_attention_step(const ld_attention *shape, const float *q, const ld_seen *seen, int place,
                       float *scores, float *y) {
  const int D = shape->head_dim, group = shape->n_heads / shape->n_kv_heads;
  const int low = shape->window && place >= shape->window ? place - shape->window + 1 : 0;
  const ld_seen s = {seen->keys + (ptrdiff_t)low * seen->stride, seen->values + (ptrdiff_t)low * seen->stride,
                     seen->n - low, seen->stride};
  for (int head = 0; head < shape->n_heads; head++) {
    const int column = head / group * D;
    float *out = y + head * D;
    dot_rows(q + head * D, &s, column, D, shape->scale, scores);
    if (shape->distance.bias) add_bias(&shape->distance, head, low, s.n, place, scores);
    const double sum = ld_row_exp(scores, ld_row_max(scores, s.n), s.n);
    int d = 0;
    for (; d + COLUMNS <= D; d += COLUMNS) weigh_columns(scores, &s, column + d, out + d);
    if (d < D) weigh_rest(scores, &s, column + d, D - d, out + d);
    ld_row_scale(out, (float)(1 / sum), D);
  }
}
