/* A trained change of a linear layer or convolution, as the operations see it: the interface that each kind
 * of adapter implements (src/adapt).
 *
 * An operation multiplies T inputs at a time by a layer, one ld_product at a time. Where the layer has a
 * change, the change does it with these functions: `read` and `forward` in the forward pass, `gradients` and
 * `input` in the backward pass. The matrices of a product hold one input per row or, in a convolution, per
 * column; ld_product_sum and ld_product_outer work on either, so each kind of adapter is written once for
 * both. */
#ifndef LD_CHANGE_H
#define LD_CHANGE_H

#include "nn/patches.h"
#include "nn/turned.h"

typedef struct ld_change ld_change;

/* A matrix of a product: (T, n), rows `ld` apart; of a product by columns (n, T). Instead of `data`, one that is only
 * read may have `patches`. */
typedef struct ld_side {
  float *data;
  int ld;
  const ld_patches *patches;
} ld_side;

static inline ld_side ld_side_at(float *data, int ld) {
  return (ld_side){.data = data, .ld = ld};
}

/* One product of a layer. `x` is read: the layer's input, which for `read` and `gradients` has gone through
 * dropout; for `input` it is where the input's gradient goes. */
typedef struct ld_product {
  const ld_linear *layer;
  int T;
  bool columns;
  bool dropped;  /* with dropout, so that `read` and `gradients` have another x than `forward` and `input` */
  ld_side x;     /* (T, in) */
  ld_side start; /* (T, out), added by forward; no data: zero. For `input`: (T, in) */
  ld_side y;     /* (T, out); in the backward pass its gradient */
  ld_side kept;  /* (T, change->kept): what forward leaves for the backward pass */
  ld_side spare; /* (T, change->spare): what `gradients` leaves for `input` */
  const ld_turned *turned; /* for `input`, if x's place takes the gradient of the patches' sources; or NULL */
} ld_product;

/* What the gradient of a layer's input goes through. */
enum ld_through { LD_THROUGH_BASE = 1, LD_THROUGH_CHANGE = 2, LD_THROUGH_ALL = 3 };

typedef struct ld_change_functions {
  /* Called before `forward`, with the input after dropout; may be NULL. */
  void (*read)(const ld_change *change, const ld_product *product);
  /* y = start + bias + the changed layer applied to x. */
  void (*forward)(const ld_change *change, const ld_product *product);
  /* Adds to the gradients of the change's parameters. */
  void (*gradients)(const ld_change *change, const ld_product *product);
  /* x = start + the gradient of the input through the frozen weight, the change, or both: both at once
   * without dropout, otherwise one after the other. Called after `gradients`. */
  void (*input)(const ld_change *change, const ld_product *product, enum ld_through through);
} ld_change_functions;

/* Multiply-adds per input: of the forward pass, of the gradient of the input, of that of the parameters. */
typedef struct ld_change_work {
  double forward, input, params;
} ld_change_work;

struct ld_change {
  const ld_change_functions *functions;
  ld_linear *layer;
  ld_param *params; /* in the order of its kind's roles */
  int n_params;
  int rank;        /* of a low-rank addition; 0 for others */
  float scaling;   /* of a low-rank addition */
  float dropout;   /* of the change's input, in training */
  uint32_t id;     /* names its stream of dropout numbers */
  int kept, spare; /* floats per input: see ld_product */
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

/* The frozen weight's part: of x in the forward pass, and of dy in the gradient of the input. */
ld_part ld_frozen_part(const ld_linear *layer, ld_side x);
ld_part ld_frozen_back(const ld_linear *layer, ld_side dy);

#endif
