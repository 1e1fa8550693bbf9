#include "adapt/low_rank.h"

#include <math.h>
#include <string.h>

#include "base/rng.h"

bool ld_low_rank_takes(const ld_linear *layer) {
  return !layer->by_column;
}

void ld_low_rank_lay_out(ld_change *c) {
  const ld_kernel *k = &c->layer->kernel;
  const int R = c->rank, in = c->layer->in, out = c->layer->out, pixels = k->height * k->width;
  const int ndim = pixels ? 4 : 2;
  ld_change_add(c, "lora_A", ndim, (int64_t[]){R, pixels ? in / pixels : in, k->height, k->width});
  ld_change_add(c, "lora_B", ndim, (int64_t[]){out, R, 1, 1});
  c->kept = c->spare = R;
  const double frozen = (double)in * out, low = (double)R * (in + out);
  c->work = (ld_change_work){frozen + low, frozen + (double)R * in, low + (double)R * out};
}

void ld_low_rank_start(ld_change *c, uint64_t seed) {
  const ld_stream stream = ld_rng_stream(seed, LD_RNG_INIT, ld_rng_name(c->layer->path), 0);
  const ld_param *A = &c->params[LD_LORA_A], *B = &c->params[LD_LORA_B];
  ld_rng_fill(&stream, 0, 1.0f / sqrtf((float)c->layer->in), A->data, A->count);
  memset(B->data, 0, B->count * sizeof(float));
}

void ld_low_rank_read(const ld_change *c, const ld_product *p, ld_side h) {
  const int in = c->layer->in;
  const ld_part part = {p->x, ld_float_factor(c->params[LD_LORA_A].data, in, false), in, 1};
  ld_product_sum(p, h, c->rank, &part, 1, (ld_side){0}, NULL);
}

ld_part ld_low_rank_part(const ld_change *c, ld_side h) {
  return (ld_part){h, ld_float_factor(c->params[LD_LORA_B].data, c->rank, false), c->rank, c->scaling};
}

void ld_low_rank_gradients(const ld_change *c, const ld_product *p, ld_side dy, ld_side h, ld_side dh) {
  const int R = c->rank, in = c->layer->in, out = c->layer->out;
  const ld_part back = {dy, ld_float_factor(c->params[LD_LORA_B].data, R, true), out, c->scaling};
  ld_product_outer(p, c->params[LD_LORA_B].grad, dy, out, h, R, c->scaling);
  ld_product_sum(p, dh, R, &back, 1, (ld_side){0}, NULL);
  ld_product_outer(p, c->params[LD_LORA_A].grad, dh, R, p->x, in, 1);
}

ld_part ld_low_rank_back(const ld_change *c, ld_side dh) {
  return (ld_part){dh, ld_float_factor(c->params[LD_LORA_A].data, c->layer->in, true), c->rank, 1};
}

void ld_low_rank_add(const ld_change *c, float *W) {
  const int R = c->rank, in = c->layer->in, out = c->layer->out;
  const float *A = c->params[LD_LORA_A].data, *B = c->params[LD_LORA_B].data;
  if (c->layer->transposed)
    ld_gemm(in, out, (ld_term){ld_float_factor(A, in, true), ld_float_factor(B, R, true), R, c->scaling}, 1,
            W, out);
  else
    ld_gemm(out, in, (ld_term){ld_float_factor(B, R, false), ld_float_factor(A, in, false), R, c->scaling}, 1,
            W, in);
}

int ld_low_rank_check(const ld_adapter_module *m, const char *name, ld_error *err) {
  const ld_adapter_tensor *A = &m->tensors[LD_LORA_A], *B = &m->tensors[LD_LORA_B];
  const int64_t *a = A->shape, *b = B->shape;
  if (A->ndim == B->ndim && (A->ndim == 3 || A->ndim == 5))
    return ld_fail(err, LD_EUNSUPPORTED,
                   "%s: module '%s' is a convolution in %d dimension%s; only those in 2 are supported", name,
                   m->path, A->ndim - 2, A->ndim == 3 ? "" : "s");
  if (A->ndim != B->ndim || (A->ndim != 2 && A->ndim != 4))
    return ld_fail(err, LD_EFORMAT,
                   "%s: '%s': lora_A and lora_B must be matrices, or kernels with 4 dimensions both", name,
                   m->path);
  if (A->ndim == 4 && (b[2] != 1 || b[3] != 1))
    return ld_fail(err, LD_EFORMAT, "%s: '%s': the kernel of lora_B must be 1 x 1", name, m->path);
  if (A->ndim == 4 && a[0] == m->rank && b[1] < m->rank && m->rank % b[1] == 0)
    return ld_fail(err, LD_EUNSUPPORTED,
                   "%s: module '%s' is a convolution in %lld groups, which is not supported", name, m->path,
                   (long long)(m->rank / b[1]));
  if (a[0] == m->rank && b[1] == m->rank) return 0;
  return ld_fail(
      err, LD_EFORMAT,
      "%s: module '%s': lora_A has %lld rows and lora_B %lld columns, but its rank is %d (r, rank_pattern)",
      name, m->path, (long long)a[0], (long long)b[1], m->rank);
}
