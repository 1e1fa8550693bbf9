#include "train/adamw.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/vmath.h"

void ld_adamw_create(ld_adamw *adamw, const ld_options *options, size_t n) {
  *adamw = (ld_adamw){options->beta1, options->beta2, options->eps, options->weight_decay, n, NULL, NULL};
  adamw->m = ld_alloc(n, sizeof *adamw->m);
  adamw->v = ld_alloc(n, sizeof *adamw->v);
}

void ld_adamw_free(ld_adamw *adamw) {
  free(adamw->m);
  free(adamw->v);
}

/* The constants of a step, the same for all elements. */
typedef struct constants {
  float decay, rest1, beta2, rest2, step_size, root_correction, eps;
} constants;

LD_VECTOR static void update(float *p, float *m, float *v, const float *g, size_t n, const constants *c) {
  const float decay = c->decay, rest1 = c->rest1, beta2 = c->beta2, rest2 = c->rest2;
  const float step_size = c->step_size, root = c->root_correction, eps = c->eps;
  for (size_t i = 0; i < n; i++) {
    m[i] += rest1 * (g[i] - m[i]);
    v[i] = beta2 * v[i] + rest2 * g[i] * g[i];
    p[i] = p[i] * decay - step_size * m[i] / (__builtin_sqrtf(v[i]) / root + eps);
  }
}

void ld_adamw_step(ld_adamw *adamw, float *data, const float *grad, double lr, int64_t step) {
  const double correction1 = 1 - pow(adamw->beta1, (double)step);
  const double correction2 = 1 - pow(adamw->beta2, (double)step);
  const constants c = {.decay = (float)(1 - lr * adamw->weight_decay),
                       .rest1 = (float)(1 - adamw->beta1),
                       .beta2 = (float)adamw->beta2,
                       .rest2 = (float)(1 - adamw->beta2),
                       .step_size = (float)(lr / correction1),
                       .root_correction = (float)sqrt(correction2),
                       .eps = (float)adamw->eps};
  update(data, adamw->m, adamw->v, grad, adamw->n, &c);
}

double ld_clip(float *grad, size_t n, double max_norm) {
  double squares = 0;
  for (size_t i = 0; i < n; i++) squares += (double)grad[i] * (double)grad[i];
  const double norm = sqrt(squares);
  const double factor = max_norm / (norm + 1e-6);
  if (max_norm > 0 && factor < 1)
    for (size_t i = 0; i < n; i++) grad[i] *= (float)factor;
  return norm;
}

double ld_learning_rate(const ld_options *options, int64_t step, int64_t total) {
  const double warmup = options->warmup > 1 ? options->warmup : ceil(options->warmup * (double)total);
  if ((double)step < warmup) return options->lr * (double)step / warmup;
  const double span = (double)total - warmup < 1 ? 1 : (double)total - warmup;
  const double done = ((double)step - warmup) / span;
  switch (options->schedule) {
  case LD_LINEAR:
    return options->lr * (done < 1 ? 1 - done : 0);
  case LD_COSINE:
    return options->lr * 0.5 * (1 + cos(M_PI * done));
  default:
    return options->lr;
  }
}
