#include "nn/change.h"

#include "linalg/gemm.h"

static ld_factor factor_of(ld_side side, bool transposed) {
  if (side.patches) return (ld_factor){ld_patches_coded(side.patches), transposed, side.ld};
  return ld_float_factor(side.data, side.ld, transposed);
}

/* A product by rows multiplies x (T, K) by the transposed weight (K, n); one by columns the weight (n, K) by
 * x (K, T). */
static ld_term term_of(const ld_product *p, const ld_part *part) {
  ld_factor x = factor_of(part->x, false), weight = part->weight;
  if (p->columns) return (ld_term){weight, x, part->K, part->scale};
  weight.transposed = !weight.transposed;
  return (ld_term){x, weight, part->K, part->scale};
}

void ld_product_sum(const ld_product *p, ld_side y, int n, const ld_part *parts, int n_parts, ld_side start,
                    const float *bias) {
  ld_term terms[LD_MAX_TERMS];
  for (int i = 0; i < n_parts; i++) terms[i] = term_of(p, &parts[i]);
  const ld_sum sum = {.M = p->columns ? n : p->T,
                      .N = p->columns ? p->T : n,
                      .terms = terms,
                      .n_terms = n_parts,
                      .start = start.data,
                      .ld_start = start.ld,
                      .bias = bias,
                      .bias_by_row = p->columns,
                      .C = y.data,
                      .ldc = y.ld};
  if (p->turned)
    ld_turned_sum(p->turned, &sum);
  else
    ld_patches_sum(&sum);
}

void ld_product_outer(const ld_product *p, float *grad, ld_side left, int M, ld_side right, int N,
                      float scale) {
  const ld_factor from = factor_of(left, !p->columns);
  if (right.patches)
    ld_patches_outer(from, right.patches, M, N, scale, grad);
  else
    ld_gemm(M, N, (ld_term){from, factor_of(right, p->columns), p->T, scale}, 1, grad, N);
}

ld_part ld_frozen_part(const ld_linear *layer, ld_side x) {
  return (ld_part){x, ld_weight_factor(&layer->weight, layer->transposed), layer->in, 1};
}

ld_part ld_frozen_back(const ld_linear *layer, ld_side dy) {
  return (ld_part){dy, ld_weight_factor(&layer->weight, !layer->transposed), layer->out, 1};
}
