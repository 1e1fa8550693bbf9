/* The operations: each pushes itself on the tape and returns its output. One file each, with forward beside
 * backward.
 *
 * Inputs are tensors of the same tape; weights and shapes are borrowed and must outlive the pass. An
 * operation without an adapter whose inputs are not trained keeps nothing and has no backward work.
 *
 * Gradients are added in the order in which operations are recorded, so this order must not be left to the
 * compiler: never write two calls that record as arguments of one call. */
#ifndef LD_OPS_H
#define LD_OPS_H

#include "nn/tape.h"

/* The tables of an embedding; positions and types may be NULL. With a padding id of at least 0, positions are
 * counted as in RoBERTa: the first row is padding + 1, and a padding token within a text has row `padding`
 * and does not count. */
typedef struct ld_embedding {
  const ld_weight *words, *positions, *types;
  int32_t padding; /* -1 for none */
  int first;       /* without padding: the row of position 0 */
  bool stretched;  /* positions beyond the table's have its last row */
  float scale;     /* of the words; 0: 1 */
} ld_embedding;

/* y (T, C) = scale words[id] + types[type] + positions[position]. Frozen. Ids must be within the tables. */
ld_tensor *ld_op_embedding(ld_tape *tape, const ld_field *text, const ld_embedding *tables);

/* y (T, out) of x (T, in); see ld_linear. `batch` names the dropout numbers. */
ld_tensor *ld_op_linear(ld_tape *tape, ld_tensor *x, const ld_linear *linear, const ld_batch *batch);

/* The same plus `residual` (T, out), which is not a view. */
ld_tensor *ld_op_linear_accumulate(ld_tape *tape, ld_tensor *residual, ld_tensor *x, const ld_linear *linear,
                                   const ld_batch *batch);

/* Normalises each run of `width` columns (the whole row when width is x's columns), then scales by weight
 * (width). Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019. */
ld_tensor *ld_op_rms_norm(ld_tape *tape, ld_tensor *x, const float *weight, int width, float eps);

/* (x - mean) / sqrt(variance + eps) * weight + bias over each row. Ba et al., "Layer Normalization", 2016. */
ld_tensor *ld_op_layer_norm(ld_tape *tape, ld_tensor *x, const float *weight, const float *bias, float eps);

/* The same with weight and bias of a module that may be trained in full (by_column). */
ld_tensor *ld_op_trained_norm(ld_tape *tape, ld_tensor *x, const ld_linear *norm, float eps);

/* y (n, C) = x plus the row of `table` (.., C) at the position of each row of the field, or its last of n_rows. */
ld_tensor *ld_op_add_positions(ld_tape *tape, ld_tensor *x, const ld_field *field, const float *table,
                               int n_rows);

/* y (T, 2 half): the cosines of position * frequency[i], then the sines, both times `scale`, for
 * ld_op_rotary. */
ld_tensor *ld_op_rotary_angles(ld_tape *tape, const ld_field *text, const float *frequency, int half,
                               float scale);

/* Rotates the pairs (i, i + D/2) of each head of x (T, H D) in place, by angles (T, D). Su et al.,
 * "RoFormer", 2021, in the half-split order of Llama. */
ld_tensor *ld_op_rotary(ld_tape *tape, ld_tensor *x, ld_tensor *angles);

/* What is added to the scores of a head by the distance from a row to a key: bias[d + reach] for d = key - row
 * from -reach to reach, and the outermost of these for distances beyond. Raffel et al., "Exploring the Limits
 * of Transfer Learning with a Unified Text-to-Text Transformer", 2020, section 2.1. */
typedef struct ld_distance_bias {
  const float *bias; /* (n_heads, 2 reach + 1) */
  int reach;
} ld_distance_bias;

typedef struct ld_attention {
  int n_heads, n_kv_heads, head_dim;
  float scale;
  bool causal;
  int window;                /* a row sees itself and the window - 1 rows before it; 0 for no limit */
  int block;                 /* the cache's block that it uses in generation; LD_NO_CACHE for none */
  ld_distance_bias distance; /* bias NULL: none */
} ld_attention;

enum { LD_NO_CACHE = -1 };

/* softmax(scale q k^T + bias) v for each segment of `rows` over the same segment of `keys`, which may be the
 * same field: q (T, H D), k and v (S, KV D), y (T, H D). If `keys` has a cache, the rows also see what is in
 * it, and k and v are added to it; k and v are NULL if keys has no rows. Rows are processed in blocks; the
 * backward pass recomputes the probabilities from their log-sum, so that no (T, S) matrix is kept, nor one of
 * the bias. Dao et al., "FlashAttention", 2022, section 3.1, for the backward formulas. */
ld_tensor *ld_op_attention(ld_tape *tape, ld_tensor *q, ld_tensor *k, ld_tensor *v, const ld_attention *shape,
                           const ld_field *rows, const ld_field *keys);

/* y (n, C): the rows of x (T, C) whose numbers are in `rows`, which outlives the pass and has none twice: the
 * first of each text, where encoders put their summary of the whole, or the first of each sentence. */
ld_tensor *ld_op_pick_rows(ld_tape *tape, ld_tensor *x, const int32_t *rows, int n);

/* y (T, A + B) of a (T, A) and b (T, B), or b (T k, B / k) as if it were (T, B). */
ld_tensor *ld_op_join_columns(ld_tape *tape, ld_tensor *a, ld_tensor *b);

/* LD_QUICK_GELU is x sigmoid(1.702 x). Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016, section 2. */
enum ld_activation { LD_GELU_TANH, LD_GELU_ERF, LD_RELU, LD_SILU, LD_TANH, LD_QUICK_GELU, LD_IDENTITY };

/* y = the activation of x, which may be a view. */
ld_tensor *ld_op_activation(ld_tape *tape, ld_tensor *x, enum ld_activation kind);

/* y = a b, number by number, of two tensors of one shape, which may be views. */
ld_tensor *ld_op_multiply(ld_tape *tape, ld_tensor *a, ld_tensor *b);

/* silu(gate) * up. Shazeer, "GLU Variants Improve Transformer", 2020. Both may be views. */
ld_tensor *ld_op_swiglu(ld_tape *tape, ld_tensor *gate, ld_tensor *up);

/* hidden * gelu(gate), with the normal distribution function; from the same paper. Both may be views: the two
 * halves of the columns of a tensor. */
ld_tensor *ld_op_geglu(ld_tape *tape, ld_tensor *hidden, ld_tensor *gate);

/* y (n, width): half = width / 2 sines of scale * times[i] * f_k, f_k = 10000^(-k / (half - shift)), and the
 * cosines of the same, which come first with `cosines_first`; an odd width ends with 0. Frozen. `times` (n) is
 * borrowed until the pass ends. Ho et al., "Denoising Diffusion Probabilistic Models", 2020, appendix B, in the
 * form of diffusers, with its roundings to float. */
ld_tensor *ld_op_sinusoids(ld_tape *tape, const float *times, int n, int width, bool cosines_first,
                           float shift, float scale);

/* y (T, C) = x (1 + scale[b]) + shift[b] for shift and scale (B, C), where b = t / rows_each for row t of x; all
 * three may be views. Peebles and Xie, "Scalable Diffusion Models with Transformers", 2023, section 3.2. */
ld_tensor *ld_op_modulate(ld_tape *tape, ld_tensor *x, ld_tensor *shift, ld_tensor *scale, int rows_each);

/* y (T, C) = residual + gate[b] x for gate (B, C), with b as above; from the same paper. x and gate may be views,
 * residual is none. */
ld_tensor *ld_op_gate_accumulate(ld_tape *tape, ld_tensor *residual, ld_tensor *x, ld_tensor *gate,
                                 int rows_each);

/* Cross-entropy of head(features) on the rows that have targets, summed (not averaged) into *loss. A (T, V) matrix never
 * exists; loss and gradient are computed in one pass. Ends the tape. */
void ld_op_cross_entropy(ld_tape *tape, ld_tensor *features, const ld_linear *head, const ld_field *targets,
                         const ld_batch *batch, double *loss);

/* The same for logits (N, V) that exist as a tensor, for the classes targets->ids (N). Ends the tape. */
void ld_op_class_loss(ld_tape *tape, ld_tensor *logits, const ld_field *targets, double *loss);

/* Binary cross-entropy with logits (N, V): of log(1 + e^-x) where targets->ids (N * V) is 1, log(1 + e^x) where it is 0,
 * nothing where it is -1, the sum. Ends the tape. */
void ld_op_binary_loss(ld_tape *tape, ld_tensor *logits, const ld_field *targets, double *loss);

/* The squared error of outputs (N, 1) to targets->numbers (N), summed. Ends the tape. */
void ld_op_value_loss(ld_tape *tape, ld_tensor *outputs, const ld_field *targets, double *loss);

/* Feature maps are stored channel by channel, with the images side by side: a tensor (C, B H W). So a
 * convolution is one product with the stored weight on the left, and a per-channel operation works on rows. */
typedef struct ld_maps {
  ld_tensor *x;
  int n, height, width; /* B, H, W */
} ld_maps;

/* A tensor for maps of n images. For operations. */
static inline ld_tensor *ld_tape_maps(ld_tape *tape, int channels, int n, int height, int width) {
  ld_tensor *tensor = ld_tape_tensor(tape, channels, n * height * width);
  tensor->maps = n;
  return tensor;
}

/* A field of images as maps. Nothing is copied. */
ld_maps ld_op_images(ld_tape *tape, const ld_field *images);

/* Convolution with zero padding, plus the layer's bias if there is one; see ld_linear. */
ld_maps ld_op_convolution(ld_tape *tape, ld_maps x, const ld_linear *convolution, const ld_batch *batch);

/* The same plus `residual`, of the shape of the result. */
ld_maps ld_op_convolution_accumulate(ld_tape *tape, ld_maps residual, ld_maps x, const ld_linear *convolution,
                                     const ld_batch *batch);

/* y = scale convolution(x) + shift + residual, and then max(y, 0) with `relu`. scale and shift have a number for each channel:
 * a frozen batch normalisation (Ioffe and Szegedy, "Batch Normalization", 2015, section 3.1). residual.x may be NULL. Borrows
 * scale and shift. */
typedef struct ld_affine {
  const float *scale, *shift;
  ld_maps residual;
  bool relu;
} ld_affine;

ld_maps ld_op_convolution_affine(ld_tape *tape, ld_maps x, const ld_linear *convolution,
                                 const ld_affine *affine, const ld_batch *batch);

/* (x - mean) / sqrt(variance + eps) * weight + bias, with mean and variance of each of n_groups groups of
 * neighbouring channels of each image, weight and bias (C) frozen; then its SiLU, with `silu`. n_groups divides C.
 * Wu and He, "Group Normalization", 2018. */
ld_maps ld_op_group_norm(ld_tape *tape, ld_maps x, const float *weight, const float *bias, int n_groups,
                         float eps, bool silu);

/* x plus values (B, C), one number per channel and image. It works in place: x is what an operation of the same
 * block has just made, and nothing else may read it. values may be a view. */
ld_maps ld_op_add_channels(ld_tape *tape, ld_maps x, ld_tensor *values);

/* Maps (C, B H W) as rows (B H W, C), image by image, and the reverse; x of the latter may be a view. */
ld_tensor *ld_op_rows_of_maps(ld_tape *tape, ld_maps x);
ld_maps ld_op_maps_of_rows(ld_tape *tape, ld_tensor *x, int n, int height, int width);

/* Each row (B H W, S S C) as a square of S x S pixels of larger maps (C, B H S W S): its numbers are those of the
 * square's pixels line by line, each with its C channels. x may be a view. */
ld_maps ld_op_unpatch(ld_tape *tape, ld_tensor *x, int n, int height, int width, int size);

/* y (B H W, C) = x, the rows of maps of that size, plus sines and cosines of each pixel's column (C / 2 numbers) and
 * of its row. They count from 0 to `base` whatever the size of the maps. C is a multiple of 4. x is not a view. From
 * the DiT paper above, in the form of diffusers. */
ld_tensor *ld_op_add_grid(ld_tape *tape, ld_tensor *x, int height, int width, float base);

/* Maps plus rows x (B H W, C). */
ld_maps ld_op_maps_of_rows_accumulate(ld_tape *tape, ld_maps residual, ld_tensor *x);

/* Each pixel of the larger maps is the nearest one of x, as of torch.nn.functional.interpolate with mode
 * "nearest". */
ld_maps ld_op_upsample(ld_tape *tape, ld_maps x, int height, int width);

/* The channels of a, then those of b, of the same images. */
ld_maps ld_op_join(ld_tape *tape, ld_maps a, ld_maps b);

/* The largest value under a square window that extends over the edges by `padding`. */
ld_maps ld_op_max_pool(ld_tape *tape, ld_maps x, int size, int stride, int padding);

/* Every second pixel of every second row, with zero channels added on both sides: the shortcut without
 * parameters of He et al., "Deep Residual Learning for Image Recognition", 2015, section 3.3, option A. */
ld_maps ld_op_subsample(ld_tape *tape, ld_maps x, int channels);

/* y (B, C): the mean of each map. */
ld_tensor *ld_op_mean_pool(ld_tape *tape, ld_maps x);

/* What an autoencoder draws: (mean + exp(log variance / 2) noise - shift) scaling, of moments (2 C, B H W), the means
 * and then the log-variances, which are kept within -30 and 20. The noise of image b is (C, H, W) at noise + b *
 * stride; without noise it is the mean. Frozen. Kingma and Welling, "Auto-Encoding Variational Bayes", 2013. */
ld_maps ld_op_draw(ld_tape *tape, ld_maps moments, const float *noise, size_t stride, float scaling,
                   float shift);

/* y = signal[b] x + level[b] noise for image b, whose noise is (C, H, W) at noise + b * stride. Frozen. */
ld_maps ld_op_mix_noise(ld_tape *tape, ld_maps x, const float *noise, size_t stride, const float *signal,
                        const float *level);

/* Adds to *loss, for each image b, weight[b] times the mean of (x - target)^2 over its pixels in the first
 * `channels` channels of x; target is (channels, B H W), weight (B), or NULL for ones, both borrowed until the
 * pass ends. The other channels get no gradient. Ends the tape. */
void ld_op_weighted_error(ld_tape *tape, ld_maps x, const float *target, const float *weight, int channels,
                          double *loss);

#endif
