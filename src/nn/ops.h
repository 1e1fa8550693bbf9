/* The operations: each records itself on the tape and returns its output. One file each, forward beside
 * backward.
 *
 * Inputs are tensors of the same tape; weights and shapes are borrowed and must outlive the pass. An
 * operation whose inputs are not trained, and that has no adapter, keeps nothing and has no backward work.
 */
#ifndef LD_OPS_H
#define LD_OPS_H

#include "nn/tape.h"

/* y (T, C) = table[id] (+ position_table[position]). Frozen. Ids must be within the table. */
ld_tensor *ld_op_embedding(ld_tape *tape, const ld_batch *batch, const ld_weight *table,
                           const ld_weight *position_table);

/* y (T, out) of x (T, in); see ld_linear. `batch` names the dropout numbers. */
ld_tensor *ld_op_linear(ld_tape *tape, ld_tensor *x, const ld_linear *linear, const ld_batch *batch);

/* Normalises each run of `width` columns (the whole row when width is x's columns), then scales by weight
 * (width). Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019. */
ld_tensor *ld_op_rms_norm(ld_tape *tape, ld_tensor *x, const float *weight, int width, float eps);

/* (x - mean) / sqrt(variance + eps) * weight + bias over each row. Ba et al., "Layer Normalization", 2016. */
ld_tensor *ld_op_layer_norm(ld_tape *tape, ld_tensor *x, const float *weight, const float *bias, float eps);

/* Cosines and sines of position * frequency[i] (both times `scale`), for ld_op_rotary: (T, D / 2) each. */
typedef struct ld_rotary {
  float *cosine, *sine;
  int half;
} ld_rotary;
ld_rotary *ld_op_rotary_angles(ld_tape *tape, const ld_batch *batch, const float *frequency, int half,
                               float scale);

/* Turns the pairs (i, i + D/2) of each head of x (T, H D) in place. Su et al., "RoFormer", 2021, in the
 * half-split order of Llama. */
ld_tensor *ld_op_rotary(ld_tape *tape, ld_tensor *x, const ld_rotary *rotary);

typedef struct ld_attention {
  int n_heads, n_kv_heads, head_dim;
  float scale;
  bool causal;
  int window; /* a row sees itself and the window - 1 before it; 0 for no limit */
  int block;  /* which of the cache's blocks it uses in generation */
} ld_attention;

/* softmax(scale q k^T) v within each segment: q (T, H D), k and v (T, KV D), y (T, H D).
 * Rows are taken in blocks; the backward pass recomputes the probabilities from their log-sum, so that no (T,
 * T) matrix is kept. Dao et al., "FlashAttention", 2022, section 3.1, for the backward formulas. */
ld_tensor *ld_op_attention(ld_tape *tape, ld_tensor *q, ld_tensor *k, ld_tensor *v, const ld_attention *shape,
                           const ld_batch *batch);

enum ld_activation { LD_GELU_TANH, LD_GELU_ERF, LD_RELU, LD_SILU };
ld_tensor *ld_op_activation(ld_tape *tape, ld_tensor *x, enum ld_activation kind);

/* silu(gate) * up. Shazeer, "GLU Variants Improve Transformer", 2020. */
ld_tensor *ld_op_swiglu(ld_tape *tape, ld_tensor *gate, ld_tensor *up);

ld_tensor *ld_op_add(ld_tape *tape, ld_tensor *a, ld_tensor *b);

/* Cross-entropy of head(features) on the rows that have targets, summed (not averaged) into *loss, in chunks
 * of rows, so that a (T, V) matrix never exists; loss and gradient in one pass. Ends the tape. */
void ld_op_cross_entropy(ld_tape *tape, ld_tensor *features, const ld_linear *head, const ld_batch *batch,
                         double *loss);

#endif
