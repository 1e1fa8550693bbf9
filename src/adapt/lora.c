/* LoRA: y = x W^T + bias + scaling (x A^T) B^T, A (R, in), B (out, R), both trained; W is frozen.
 * Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021, section 4.1.
 *
 * Dropout is that of A's input. The layer and its addition are one product of two terms.
 */
#include <math.h>
#include <string.h>

#include "adapt/kind.h"
#include "base/rng.h"

enum { A, B };

/* h (T, R) = x A^T, kept for the gradient of B. */
static void read(const ld_change *c, const ld_product *p) {
  const int in = c->layer->in;
  const ld_part lower = {p->x, ld_float_factor(c->params[A].data, in, false), in, 1};
  ld_product_sum(p, p->kept, c->rank, &lower, 1, (ld_side){0}, NULL);
}

static void forward(const ld_change *c, const ld_product *p) {
  const ld_part parts[] = {ld_frozen_part(c->layer, p->x),
                           {p->kept, ld_float_factor(c->params[B].data, c->rank, false), c->rank, c->scaling}};
  ld_product_sum(p, p->y, c->layer->out, parts, 2, p->start, c->layer->bias);
}

/* dB += scaling dy^T h; dh (T, R) = scaling dy B, in the scratch; dA += dh^T x. */
static void gradients(const ld_change *c, const ld_product *p) {
  const int R = c->rank, in = c->layer->in, out = c->layer->out;
  const ld_side dh = ld_product_scratch(p, R);
  const ld_part back = {p->y, ld_float_factor(c->params[B].data, R, true), out, c->scaling};
  ld_product_outer(p, c->params[B].grad, p->y, out, p->kept, R, c->scaling);
  ld_product_sum(p, dh, R, &back, 1, (ld_side){0}, NULL);
  ld_product_outer(p, c->params[A].grad, dh, R, p->x, in, 1);
}

/* dx = dy W + dh A. */
static void input(const ld_change *c, const ld_product *p, enum ld_through through) {
  const int in = c->layer->in;
  ld_part parts[2];
  int n = 0;
  if (through & LD_THROUGH_BASE) parts[n++] = ld_frozen_back(c->layer, p->y);
  if (through & LD_THROUGH_CHANGE)
    parts[n++] = (ld_part){ld_product_scratch(p, c->rank), ld_float_factor(c->params[A].data, in, true), c->rank, 1};
  ld_product_sum(p, p->x, in, parts, n, p->start, NULL);
}

/* Of a convolution A has the layer's kernel, and B one of 1 x 1. */
static void lay_out(ld_change *c) {
  const ld_kernel *k = &c->layer->kernel;
  const int R = c->rank, in = c->layer->in, out = c->layer->out, pixels = k->height * k->width;
  const int ndim = pixels ? 4 : 2;
  ld_change_add(c, "lora_A", ndim, (int64_t[]){R, pixels ? in / pixels : in, k->height, k->width});
  ld_change_add(c, "lora_B", ndim, (int64_t[]){out, R, 1, 1});
  c->kept = c->spare = R;
  const double frozen = (double)in * out, low = (double)R * (in + out);
  c->work = (ld_change_work){frozen + low, frozen + (double)R * in, low + (double)R * out};
}

/* A from U(-1/sqrt(in), 1/sqrt(in)), PEFT's Kaiming-uniform with a = sqrt 5; B zero. */
static void start(ld_change *c, uint64_t seed) {
  const ld_stream stream = ld_rng_stream(seed, LD_RNG_INIT, ld_rng_name(c->layer->path), 0);
  ld_rng_fill(&stream, 0, 1.0f / sqrtf((float)c->layer->in), c->params[A].data, c->params[A].count);
  memset(c->params[B].data, 0, c->params[B].count * sizeof(float));
}

/* W += scaling B A, transposed where W is stored (in, out). */
static bool merge(const ld_change *c, const char *which, float *W) {
  const int R = c->rank, in = c->layer->in, out = c->layer->out;
  const float *a = c->params[A].data, *b = c->params[B].data;
  if (strcmp(which, "weight") != 0) return false;
  if (c->layer->transposed)
    ld_gemm(true, true, in, out, R, c->scaling, a, in, b, R, 1, W, out);
  else
    ld_gemm(false, false, out, in, R, c->scaling, b, R, a, in, 1, W, in);
  return true;
}

const ld_adapter_kind ld_adapter_lora = {
    .name = "lora",
    .lay_out = lay_out,
    .start = start,
    .merge = merge,
    .functions = {.read = read, .forward = forward, .gradients = gradients, .input = input},
};
