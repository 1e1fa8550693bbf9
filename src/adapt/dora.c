/* DoRA: LoRA of the direction, with a trained length m (out) for each row of the weight:
 *
 *   y = bias + g * (x W^T + scaling (x A^T) B^T),   g = m / ||W + scaling B A||, by rows.
 *
 * Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", 2024, equations 5 and 11. As in PEFT the norm is
 * a constant for the gradient (section 4.3 of the paper), m begins as the norm of W, and dropout applies to
 * everything that the change reads and to nothing else:
 *
 *   y = bias + x W^T + (g - 1) * (x' W^T) + g * scaling (x' A^T) B^T,   x' is x after dropout.
 *
 * With v = x' W^T + scaling (x' A^T) B^T, which is kept for the gradient of m, that is
 *
 *   y = bias + g * v                                               without dropout,
 *   y = bias + x W^T + scaling (x' A^T) B^T + (g - 1) * v          with dropout.
 *
 * The norms are computed from ||W||^2, which is constant, W A^T and A A^T, without a matrix of W's size:
 *
 *   ||W + s B A||^2 = ||W||^2 + 2 s B (W A^T)^T + s^2 B (A A^T) B^T, the diagonal of it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "adapt/low_rank.h"
#include "base/memory.h"

enum { MAGNITUDE = LD_LORA_ROLES };

/* Values computed from the parameters and from W. */
typedef struct scales {
  double *frozen; /* (out) ||W||^2 */
  float *inverse; /* (out) 1 / ||W + scaling B A||; 0 where the norm is 0 (pruned rows) */
  float *g;       /* (out); 1 for pruned rows, which leaves LoRA */
  float *AW;      /* (R, out) A W^T */
  float *AA;      /* (R, R) A A^T */
} scales;

/* ||W||^2 by rows, in double. */
static void add_squares(const ld_linear *layer, double *out) {
  enum { PIECE = 1024 };
  const int64_t n = (int64_t)layer->out * layer->in;
  float piece[PIECE];
  for (int64_t from = 0; from < n; from += PIECE) {
    const int64_t here = n - from < PIECE ? n - from : PIECE;
    ld_coded_widen(piece, &layer->weight.numbers, from, here);
    for (int64_t i = 0; i < here; i++)
      out[layer->transposed ? (from + i) % layer->out : (from + i) / layer->in] +=
          (double)piece[i] * (double)piece[i];
  }
}

static void release(ld_change *c) {
  scales *s = c->own;
  if (!s) return;
  free(s->frozen);
  free(s->inverse);
  free(s->g);
  free(s->AW);
  free(s->AA);
  free(s);
}

static scales *begin(const ld_change *c) {
  const size_t out = (size_t)c->layer->out, R = (size_t)c->rank;
  scales *s = ld_alloc(1, sizeof *s);
  s->frozen = ld_alloc(out, sizeof *s->frozen);
  s->inverse = ld_alloc(out, sizeof *s->inverse);
  s->g = ld_alloc(out, sizeof *s->g);
  s->AW = ld_alloc(R * out, sizeof *s->AW);
  s->AA = ld_alloc(R * R, sizeof *s->AA);
  add_squares(c->layer, s->frozen);
  return s;
}

/* The norm of row i of W + scaling B A. */
static double norm_of(const ld_change *c, const scales *s, size_t i) {
  const size_t out = (size_t)c->layer->out, R = (size_t)c->rank;
  const float *b = c->params[LD_LORA_B].data + i * R;
  double cross = 0, low = 0;
  for (size_t r = 0; r < R; r++) {
    double row = 0;
    for (size_t q = 0; q < R; q++) row += (double)s->AA[r * R + q] * (double)b[q];
    cross += (double)b[r] * (double)s->AW[r * out + i];
    low += (double)b[r] * row;
  }
  const double scale = (double)c->scaling, square = s->frozen[i] + 2 * scale * cross + scale * scale * low;
  return square > 0 ? sqrt(square) : 0;
}

static void update(ld_change *c) {
  const int in = c->layer->in, out = c->layer->out, R = c->rank;
  float *A = c->params[LD_LORA_A].data;
  if (!c->own) c->own = begin(c);
  scales *s = c->own;
  const ld_product p = {.layer = c->layer, .T = R};
  const ld_part part = ld_frozen_part(c->layer, ld_side_at(A, in));
  ld_product_sum(&p, ld_side_at(s->AW, out), out, &part, 1, (ld_side){0}, NULL);
  ld_gemm(R, R, (ld_term){ld_float_factor(A, in, false), ld_float_factor(A, in, true), in, 1}, 0, s->AA, R);
  for (int i = 0; i < out; i++) {
    const double norm = norm_of(c, s, (size_t)i);
    s->inverse[i] = norm > 0 ? (float)(1 / norm) : 0;
    s->g[i] = norm > 0 ? (float)((double)c->params[MAGNITUDE].data[i] / norm) : 1;
  }
}

static void lay_out(ld_change *c) {
  const int R = c->rank, out = c->layer->out;
  ld_low_rank_lay_out(c);
  if (c->layer->kernel.height)
    ld_change_add(c, "lora_magnitude_vector", 4, (int64_t[]){1, out, 1, 1});
  else
    ld_change_add(c, "lora_magnitude_vector", 1, (int64_t[]){out});
  c->kept = c->spare = R + out;
}

/* m is the norm of W, since B is zero. */
static void start(ld_change *c, uint64_t seed) {
  ld_low_rank_start(c, seed);
  update(c);
  const scales *s = c->own;
  for (int i = 0; i < c->layer->out; i++) c->params[MAGNITUDE].data[i] = (float)sqrt(s->frozen[i]);
}

/* The columns of a matrix (T, ...) from `column` on. */
static ld_side from_column(const ld_product *p, ld_side side, int column) {
  return ld_side_at(side.data + (size_t)column * (p->columns ? (size_t)side.ld : 1), side.ld);
}

/* What a product keeps: h (T, R), then v (T, out). */
static ld_side kept_v(const ld_change *c, const ld_product *p) {
  return from_column(p, p->kept, c->rank);
}

/* The spare in the backward pass: dh (T, R), then dv (T, out), the gradient of v. */
static ld_side spare_dv(const ld_change *c, const ld_product *p) {
  return from_column(p, p->spare, c->rank);
}

/* y (T, out) = start + bias + (g - less) * v (T, out). A missing start or bias counts as zero. */
static void scale(const ld_change *c, const ld_product *p, ld_side y, ld_side start, const float *bias,
                  float less, ld_side v) {
  const float *g = ((const scales *)c->own)->g;
  const int out = c->layer->out, lines = p->columns ? out : p->T, n = p->columns ? p->T : out;
  const int each = p->columns ? 0 : 1; /* a line has one g, or one for each of its numbers */
  for (int l = 0; l < lines; l++) {
    const int first = p->columns ? l : 0;
    const float *from = v.data + (size_t)l * (size_t)v.ld;
    const float *base = start.data ? start.data + (size_t)l * (size_t)start.ld : NULL;
    float *to = y.data + (size_t)l * (size_t)y.ld;
    for (int i = 0; i < n; i++)
      to[i] =
          (base ? base[i] : 0) + (bias ? bias[first + each * i] : 0) + (g[first + each * i] - less) * from[i];
  }
}

static void read(const ld_change *c, const ld_product *p) {
  const ld_side h = p->kept;
  ld_low_rank_read(c, p, h);
  const ld_part parts[] = {ld_frozen_part(c->layer, p->x), ld_low_rank_part(c, h)};
  ld_product_sum(p, kept_v(c, p), c->layer->out, parts, 2, (ld_side){0}, NULL);
}

static void forward(const ld_change *c, const ld_product *p) {
  const ld_linear *layer = c->layer;
  const ld_part parts[] = {ld_frozen_part(layer, p->x), ld_low_rank_part(c, p->kept)};
  if (p->dropped) ld_product_sum(p, p->y, layer->out, parts, 2, p->start, layer->bias);
  if (p->dropped)
    scale(c, p, p->y, p->y, NULL, 1, kept_v(c, p));
  else
    scale(c, p, p->y, p->start, layer->bias, 0, kept_v(c, p));
}

/* dm += the sum over T of dy * v, divided by the norm. */
static void magnitude_gradient(const ld_change *c, const ld_product *p) {
  const float *inverse = ((const scales *)c->own)->inverse;
  const ld_side v = kept_v(c, p), dy = p->y;
  const int out = c->layer->out;
  float *dm = c->params[MAGNITUDE].grad;
  for (int t = 0; t < p->T && !p->columns; t++)
    for (int i = 0; i < out; i++)
      dm[i] += dy.data[(size_t)t * (size_t)dy.ld + (size_t)i] * v.data[(size_t)t * (size_t)v.ld + (size_t)i] *
               inverse[i];
  for (int i = 0; i < out && p->columns; i++) {
    double sum = 0;
    for (int t = 0; t < p->T; t++)
      sum += (double)dy.data[(size_t)i * (size_t)dy.ld + (size_t)t] *
             (double)v.data[(size_t)i * (size_t)v.ld + (size_t)t];
    dm[i] += (float)sum * inverse[i];
  }
}

static void gradients(const ld_change *c, const ld_product *p) {
  const ld_side dv = spare_dv(c, p);
  magnitude_gradient(c, p);
  scale(c, p, dv, (ld_side){0}, NULL, 0, p->y);
  ld_low_rank_gradients(c, p, dv, p->kept, p->spare);
}

/* Without dropout, dx = (g * dy) W + dh A. With dropout it is dy W through the layer itself, and ((g - 1) *
 * dy) W + dh A through the change. */
static void input(const ld_change *c, const ld_product *p, enum ld_through through) {
  const ld_side dv = spare_dv(c, p);
  ld_part parts[2] = {ld_frozen_back(c->layer, through == LD_THROUGH_BASE ? p->y : dv)};
  int n = 1;
  if (through == LD_THROUGH_CHANGE) scale(c, p, dv, (ld_side){0}, NULL, 1, p->y);
  if (through & LD_THROUGH_CHANGE) parts[n++] = ld_low_rank_back(c, p->spare);
  ld_product_sum(p, p->x, c->layer->in, parts, n, p->start, NULL);
}

/* The merged weight is g * (W + scaling B A). */
static bool merge(const ld_change *c, const char *which, float *W) {
  const float *g = ((const scales *)c->own)->g;
  const ld_linear *layer = c->layer;
  const size_t n = (size_t)layer->out * (size_t)layer->in;
  if (strcmp(which, "weight") != 0) return false;
  ld_low_rank_add(c, W);
  for (size_t i = 0; i < n; i++)
    W[i] *= g[layer->transposed ? i % (size_t)layer->out : i / (size_t)layer->in];
  return true;
}

static int check(const ld_adapter_module *m, const char *name, ld_error *err) {
  const ld_adapter_tensor *magnitude = &m->tensors[MAGNITUDE], *B = &m->tensors[LD_LORA_B];
  const int rc = ld_low_rank_check(m, name, err);
  if (rc || ld_adapter_count(magnitude) == B->shape[0]) return rc;
  return ld_fail(err, LD_EFORMAT,
                 "%s: module '%s': lora_magnitude_vector has %lld numbers, but lora_B has %lld rows", name,
                 m->path, (long long)ld_adapter_count(magnitude), (long long)B->shape[0]);
}

static const ld_adapter_form form = {
    .kind = "dora",
    .flag = "use_dora",
    .roles = {{"lora_A", "lora_A.weight"},
              {"lora_B", "lora_B.weight"},
              {"lora_magnitude_vector", "lora_magnitude_vector"}},
    .check = check,
};

const ld_adapter_kind ld_adapter_dora = {
    .name = "dora",
    .form = &form,
    .takes = ld_low_rank_takes,
    .lay_out = lay_out,
    .start = start,
    .update = update,
    .release = release,
    .merge = merge,
    .functions = {.read = read, .forward = forward, .gradients = gradients, .input = input},
};
