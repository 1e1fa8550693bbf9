/* Group norm: the mean and variance of each group of channels of each image, in one pass over it, then the
 * output in a second one, which finds most of the group in a cache.
 *
 * A group of a map (C, B H W) is C / G runs of H W numbers, B H W apart. */
#include <math.h>

#include "base/vmath.h"
#include "linalg/rows.h"
#include "nn/ops.h"

/* Runs are read in pieces that stay in the first-level cache between two sums over them. */
enum { PIECE = 2048 };

typedef struct group_op {
  ld_tensor *x, *y;
  const float *weight, *bias;               /* (C) */
  int n_images, n_groups, n_channels, size; /* channels of a group, pixels of a map */
  float eps;
  bool silu;
  float *mean; /* (G, B), then 1 / deviation (G, B) */
} group_op;

/* Of the channel in an image that is being computed. */
typedef struct channel_norm {
  float mean, rstd, weight, bias;
} channel_norm;

static size_t n_norms(const group_op *op) {
  return (size_t)op->n_groups * (size_t)op->n_images;
}

/* Where channel `channel` of an image begins in x or y. */
static size_t run_at(const group_op *op, int channel, int image) {
  return (size_t)channel * (size_t)op->x->cols + (size_t)image * (size_t)op->size;
}

static channel_norm norm_of(const group_op *op, int channel, int image) {
  const size_t at = (size_t)(channel / op->n_channels) * (size_t)op->n_images + (size_t)image;
  return (channel_norm){op->mean[at], op->mean[n_norms(op) + at], op->weight[channel], op->bias[channel]};
}

/* Sums of some numbers: how many, their mean, and the squares of their differences from it. */
typedef struct moments {
  double n, mean, squares;
} moments;

LD_VECTOR static float squares_about(const float *x, float mean, int n) {
  LD_SUM(sum, n, (x[i] - mean) * (x[i] - mean));
  return sum;
}

/* Adds n numbers. Chan et al., "Algorithms for Computing the Sample Variance", 1983, equation 2.1. */
static void add_piece(moments *m, const float *x, int n) {
  const float mean = ld_row_sum(x, n) / (float)n;
  const double squares = (double)squares_about(x, mean, n), apart = (double)mean - m->mean;
  const double all = m->n + n;
  m->squares += squares + apart * apart * m->n * n / all;
  m->mean += apart * n / all;
  m->n = all;
}

static void find_norm(const group_op *op, int group, int image) {
  moments m = {0};
  for (int c = 0; c < op->n_channels; c++) {
    const float *x = op->x->data + run_at(op, group * op->n_channels + c, image);
    for (int i = 0; i < op->size; i += PIECE)
      add_piece(&m, x + i, op->size - i < PIECE ? op->size - i : PIECE);
  }
  const size_t at = (size_t)group * (size_t)op->n_images + (size_t)image;
  op->mean[at] = (float)m.mean;
  op->mean[n_norms(op) + at] = 1.0f / sqrtf((float)(m.squares / m.n) + op->eps);
}

LD_VECTOR static void normalise(float *y, const float *x, channel_norm m, int n) {
  const float scale = m.rstd * m.weight;
  for (int i = 0; i < n; i++) y[i] = (x[i] - m.mean) * scale + m.bias;
}

LD_VECTOR static void normalise_silu(float *y, const float *x, channel_norm m, int n) {
  const float scale = m.rstd * m.weight;
  for (int i = 0; i < n; i++) {
    const float u = (x[i] - m.mean) * scale + m.bias;
    y[i] = u * ld_sigmoidf(u);
  }
}

static void group_forward(ld_tape *tape, void *self) {
  (void)tape;
  const group_op *op = self;
  for (int group = 0; group < op->n_groups; group++)
    for (int image = 0; image < op->n_images; image++) {
      find_norm(op, group, image);
      for (int c = group * op->n_channels; c < (group + 1) * op->n_channels; c++) {
        const size_t at = run_at(op, c, image);
        (op->silu ? normalise_silu : normalise)(op->y->data + at, op->x->data + at, norm_of(op, c, image),
                                                op->size);
      }
    }
}

/* g = weight times the gradient of the norm, before SiLU. */
LD_VECTOR static void scale_gradient(float *g, const float *dy, float weight, int n) {
  for (int i = 0; i < n; i++) g[i] = dy[i] * weight;
}

LD_VECTOR static void silu_gradient(float *g, const float *dy, const float *x, channel_norm m, int n) {
  const float scale = m.rstd * m.weight;
  for (int i = 0; i < n; i++) {
    const float u = (x[i] - m.mean) * scale + m.bias, s = ld_sigmoidf(u);
    g[i] = dy[i] * m.weight * (s * (1.0f + u * (1.0f - s)));
  }
}

LD_VECTOR static float centred_dot(const float *g, const float *x, float mean, int n) {
  LD_SUM(sum, n, g[i] * (x[i] - mean));
  return sum;
}

LD_VECTOR static void add_norm_gradient(float *dx, const float *g, const float *x, channel_norm m,
                                        float shift, float slope, int n) {
  for (int i = 0; i < n; i++) dx[i] += m.rstd * (g[i] - shift - slope * (x[i] - m.mean));
}

/* Sums over a group: of g, and of g (x - mean). */
typedef struct slopes {
  double sum, sum_x;
} slopes;

/* Writes g (H W) of a channel and adds to the sums. */
static void channel_slopes(const group_op *op, int channel, int image, float *g, slopes *s) {
  const channel_norm m = norm_of(op, channel, image);
  const size_t at = run_at(op, channel, image);
  for (int i = 0; i < op->size; i += PIECE) {
    const int n = op->size - i < PIECE ? op->size - i : PIECE;
    const float *x = op->x->data + at + i, *dy = op->y->grad + at + i;
    if (op->silu)
      silu_gradient(g + i, dy, x, m, n);
    else
      scale_gradient(g + i, dy, m.weight, n);
    s->sum += (double)ld_row_sum(g + i, n);
    s->sum_x += (double)centred_dot(g + i, x, m.mean, n);
  }
}

/* With z = (x - mean) r:  dx = r (g - mean(g) - z mean(g z)), means over the group. */
static void group_backward(ld_tape *tape, void *self) {
  const group_op *op = self;
  const int n = op->n_channels;
  const double count = (double)n * op->size;
  float *g = ld_tape_scratch(tape), *dx = ld_grad(op->x);
  for (int first = 0; first < op->n_groups * n; first += n)
    for (int image = 0; image < op->n_images; image++) {
      slopes s = {0};
      for (int c = 0; c < n; c++) channel_slopes(op, first + c, image, g + (size_t)c * (size_t)op->size, &s);
      for (int c = 0; c < n; c++) {
        const channel_norm m = norm_of(op, first + c, image);
        const size_t at = run_at(op, first + c, image);
        add_norm_gradient(dx + at, g + (size_t)c * (size_t)op->size, op->x->data + at, m,
                          (float)(s.sum / count), (float)(s.sum_x / count) * m.rstd * m.rstd, op->size);
      }
    }
}

ld_maps ld_op_group_norm(ld_tape *tape, ld_maps x, const float *weight, const float *bias, int n_groups,
                         float eps, bool silu) {
  group_op *op = ld_tape_record(tape, sizeof *op);
  *op = (group_op){.x = x.x,
                   .weight = weight,
                   .bias = bias,
                   .n_images = x.n,
                   .n_groups = n_groups,
                   .n_channels = x.x->rows / n_groups,
                   .size = x.height * x.width,
                   .eps = eps,
                   .silu = silu};
  op->y = ld_tape_maps(tape, x.x->rows, x.n, x.height, x.width);
  const size_t group = (size_t)op->n_channels * (size_t)op->size;
  ld_tape_push(tape, (ld_op){.name = "group_norm",
                             .self = op,
                             .forward = group_forward,
                             .backward = group_backward,
                             .out = op->y,
                             .in = LD_TENSORS(x.x),
                             .backward_reads = LD_TENSORS(x.x),
                             .kept = {&op->mean, 2 * n_norms(op)},
                             .scratch = x.x->trained ? group : 0,
                             .cheap = true});
  x.x = op->y;
  return x;
}
