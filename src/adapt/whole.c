/* A module trained in full (PEFT's modules_to_save): its weight and bias are parameters, which begin as the
 * frozen ones. Those of a norm are read by its operation (nn/norm.c), which multiplies no matrices. */
#include <math.h>
#include <string.h>

#include "adapt/kind.h"
#include "base/rng.h"
#include "linalg/codecs.h"
#include "linalg/rows.h"

enum { WEIGHT, BIAS };

/* The layer with the trained weight in place of the frozen one. */
static ld_linear trained(const ld_change *c) {
  ld_linear layer = *c->layer;
  layer.weight = (ld_weight){ld_coded_floats(c->params[WEIGHT].data), layer.out, layer.in};
  if (c->n_params > BIAS) layer.bias = c->params[BIAS].data;
  return layer;
}

static void forward(const ld_change *c, const ld_product *p) {
  const ld_linear layer = trained(c);
  const ld_part part = ld_frozen_part(&layer, p->x);
  ld_product_sum(p, p->y, layer.out, &part, 1, p->start, layer.bias);
}

static void gradients(const ld_change *c, const ld_product *p) {
  ld_product_outer(p, c->params[WEIGHT].grad, p->y, c->layer->out, p->x, c->layer->in, 1);
  if (c->n_params > BIAS) ld_rows_add(c->params[BIAS].grad, p->y.data, (size_t)p->y.ld, p->T, c->layer->out);
}

static void input(const ld_change *c, const ld_product *p, enum ld_through through) {
  const ld_linear layer = trained(c);
  const ld_part part = ld_frozen_back(&layer, p->y);
  if (through & LD_THROUGH_BASE) ld_product_sum(p, p->x, layer.in, &part, 1, p->start, NULL);
}

static bool takes(const ld_linear *layer) {
  return !layer->kernel.height && !layer->transposed;
}

static void lay_out(ld_change *c) {
  const ld_linear *layer = c->layer;
  const double products = (double)layer->in * layer->out;
  ld_change_add(c, "weight", layer->by_column ? 1 : 2, (int64_t[]){layer->out, layer->in});
  if (layer->bias && !layer->bias_fixed) ld_change_add(c, "bias", 1, (int64_t[]){layer->out});
  c->work = (ld_change_work){products, products, products};
}

static void start_as_frozen(ld_change *c) {
  ld_coded_widen(c->params[WEIGHT].data, &c->layer->weight.numbers, 0, (int64_t)c->params[WEIGHT].count);
  if (c->n_params > BIAS) memcpy(c->params[BIAS].data, c->layer->bias, c->params[BIAS].count * sizeof(float));
}

/* A layer that the folder does not have starts as in PyTorch or, with a spread, as in transformers: a norm as the
 * frozen one, with ones and zeros. */
static void start(ld_change *c, uint64_t seed) {
  const ld_linear *layer = c->layer;
  const ld_stream stream = ld_rng_stream(seed, LD_RNG_INIT, ld_rng_name(layer->path), 0);
  const size_t n = c->params[WEIGHT].count;
  const float bound = 1.0f / sqrtf((float)layer->in);
  float *weight = c->params[WEIGHT].data;
  if (!layer->is_new || layer->by_column) {
    start_as_frozen(c);
  } else if (layer->spread > 0) {
    for (size_t i = 0; i < n; i++) weight[i] = layer->spread * ld_rng_normal(&stream, i);
  } else {
    ld_rng_fill(&stream, 0, bound, weight, n);
    if (c->n_params > BIAS) ld_rng_fill(&stream, n, bound, c->params[BIAS].data, c->params[BIAS].count);
  }
}

static bool merge(const ld_change *c, const char *which, float *values) {
  for (int i = 0; i < c->n_params; i++) {
    if (strcmp(c->params[i].role, which) != 0) continue;
    memcpy(values, c->params[i].data, c->params[i].count * sizeof *values);
    return true;
  }
  return false;
}

const ld_adapter_kind ld_adapter_whole = {
    .name = LD_ADAPTER_WHOLE,
    .takes = takes,
    .lay_out = lay_out,
    .start = start,
    .merge = merge,
    .functions = {.forward = forward, .gradients = gradients, .input = input},
};
