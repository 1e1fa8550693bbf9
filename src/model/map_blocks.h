/* Blocks over feature maps that UNets and autoencoders are made of. */
#ifndef LD_MAP_BLOCKS_H
#define LD_MAP_BLOCKS_H

#include "model/build.h"

/* A group norm's weight and bias (C). */
typedef struct ld_group_norm {
  float *weight, *bias;
  int groups;
  float eps;
} ld_group_norm;

/* "<path>.weight" and "<path>.bias"; refuses channels that `groups` does not divide, naming the key. */
ld_group_norm ld_build_group_norm(ld_builder *builder, int channels, int groups, float eps, const char *path);
ld_maps ld_group_norm_run(const ld_group_norm *norm, ld_tape *tape, ld_maps x, bool silu);

/* Two convolutions, each after a norm and silu, added to the input (He et al., "Identity Mappings in Deep Residual
 * Networks", 2016); what is known of the time is added between them. */
typedef struct ld_res_block {
  ld_group_norm norm1, norm2;
  ld_linear conv1, conv2;
  ld_linear time;     /* (out, time width); without weight: none */
  ld_linear shortcut; /* 1 x 1; without weight: the input itself */
} ld_res_block;

/* time_width 0: the block knows nothing of the time. Names as in diffusers' ResnetBlock2D. */
typedef struct ld_res_shape {
  int in, out, time_width, groups;
  float eps;
} ld_res_shape;

void ld_build_res_block(ld_builder *builder, ld_res_block *block, const ld_res_shape *shape,
                        const char *path);

/* `time` is silu of the time's embedding (B, time width); NULL: none. */
ld_maps ld_res_block_run(const ld_res_block *block, ld_tape *tape, ld_maps x, ld_tensor *time,
                         const ld_batch *batch);

/* Attention of each pixel of a map over all of them, added to the input. Names as in diffusers' Attention, or
 * "query", "key", "value", "proj_attn" in old files. */
typedef struct ld_map_attention {
  ld_group_norm norm;
  ld_linear q, k, v, out;
  ld_attention shape;
} ld_map_attention;

void ld_build_map_attention(ld_builder *builder, ld_map_attention *attention, int channels, int n_heads,
                            int groups, float eps, const char *path);
ld_maps ld_map_attention_run(const ld_map_attention *attention, ld_tape *tape, ld_maps x,
                             const ld_batch *batch);

/* The pixels of n maps as rows, a segment for each map; it lives on the tape. */
const ld_field *ld_pixel_rows(ld_tape *tape, ld_maps x);

/* A 3 x 3 convolution that keeps the size, with bias. */
void ld_build_same(ld_builder *builder, ld_linear *convolution, int in, int out, const char *path);

#endif
