/* A trained change of a linear layer or convolution, as the operations see it: the interface that each kind of
 * adapter implements (src/adapt).
 *
 * An operation multiplies T inputs at a time by a layer, one ld_product a time. Where the layer has a change,
 * the change does it, by these functions: `read` and `forward` on the way forward, `gradients` and `input` on
 * the way back. The matrices of a product hold an input a row or, in a convolution, a column; ld_product_sum and
 * ld_product_outer work on either, so that a kind of adapter is written once for both.
 */
#ifndef LD_CHANGE_H
#define LD_CHANGE_H

#include "nn/tensor.h"

typedef struct ld_change ld_change;

/* A matrix of a product: (T, n), rows `ld` apart; of a product by columns (n, T). */
typedef struct ld_side {
  float *data;
  int ld;
} ld_side;

/* One product of a layer. `x` is what is read: the layer's input, or for `read` and `gradients` what dropout left
 * of it; for `input` it is where the input's gradient goes. */
typedef struct ld_product {
  const ld_linear *layer;
  int T;
  bool columns;
  bool dropped;   /* dropout leaves `read` and `gradients` another x than `forward` and `input` have */
  ld_side x;      /* (T, in) */
  ld_side start;  /* (T, out), what forward adds to; no data: zero. For `input`: (T, in) */
  ld_side y;      /* (T, out); on the way back its gradient */
  ld_side kept;   /* (T, change->kept): what the way forward leaves for the way back */
  float *scratch; /* (T, change->spare): what `gradients` leaves for `input` */
} ld_product;

/* What the gradient of a layer's input goes through. */
enum ld_through { LD_THROUGH_BASE = 1, LD_THROUGH_CHANGE = 2, LD_THROUGH_ALL = 3 };

typedef struct ld_change_functions {
  /* Before `forward`, with what dropout left of the input; may be NULL. */
  void (*read)(const ld_change *change, const ld_product *product);
  /* y = start + bias + what the changed layer makes of x. */
  void (*forward)(const ld_change *change, const ld_product *product);
  /* Adds to the gradients of the change's parameters. */
  void (*gradients)(const ld_change *change, const ld_product *product);
  /* x = start + the gradient of the input through the frozen weight, the change, or both at once: the whole is
   * asked for where nothing is dropped out, and else one after the other. Follows `gradients`. */
  void (*input)(const ld_change *change, const ld_product *product, enum ld_through through);
} ld_change_functions;

/* Multiply-adds for each input: of the way forward, of the gradient to the input, of that to the parameters. */
typedef struct ld_change_work {
  double forward, input, params;
} ld_change_work;

struct ld_change {
  const ld_change_functions *functions;
  ld_linear *layer;
  ld_param *params; /* in the order of its kind's roles */
  int n_params;
  int rank;        /* of a low-rank addition; 0 of others */
  float scaling;   /* of a low-rank addition */
  float dropout;   /* of what the change reads, in training */
  uint32_t id;     /* names its stream of dropout numbers */
  int kept, spare; /* floats for each input: see ld_product */
  ld_change_work work;
  void *own; /* the kind's */
};

/* x (T, K) times the transpose of `weight` (n, K), times scale. */
typedef struct ld_part {
  ld_side x;
  ld_factor weight;
  int K;
  float scale;
} ld_part;

/* y (T, n) = start + bias (n, may be NULL) + the parts, in one sweep over y; start may be y, or have no data. */
void ld_product_sum(const ld_product *product, ld_side y, int n, const ld_part *parts, int n_parts,
                    ld_side start, const float *bias);

/* grad (M, N) += scale left^T right: left (T, M), right (T, N). */
void ld_product_outer(const ld_product *product, float *grad, ld_side left, int M, ld_side right, int N,
                      float scale);

/* The part of the layer's frozen weight in the way forward, of x, and in the gradient of the input, of dy. */
ld_part ld_frozen_part(const ld_linear *layer, ld_side x);
ld_part ld_frozen_back(const ld_linear *layer, ld_side dy);

/* The product's scratch as a matrix (T, n). */
ld_side ld_product_scratch(const ld_product *product, int n);

#endif
