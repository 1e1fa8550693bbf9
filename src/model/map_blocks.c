#include "model/map_blocks.h"

#include <math.h>

ld_group_norm ld_build_group_norm(ld_builder *b, int channels, int groups, float eps, const char *path) {
  if (channels % groups)
    ld_build_refuse(b, "norm_num_groups", "(%d) must divide the %d channels of '%s'", groups, channels, path);
  ld_group_norm norm = {.groups = groups, .eps = eps};
  norm.weight = ld_build_vector(b, channels, "%s.weight", path);
  norm.bias = ld_build_vector(b, channels, "%s.bias", path);
  return norm;
}

ld_maps ld_group_norm_run(const ld_group_norm *norm, ld_tape *tape, ld_maps x, bool silu) {
  return ld_op_group_norm(tape, x, norm->weight, norm->bias, norm->groups, norm->eps, silu);
}

void ld_build_same(ld_builder *b, ld_linear *convolution, int in, int out, const char *path) {
  ld_build_convolution(b, convolution, in, out, (ld_kernel){3, 3, 1, 1, 0}, true, "%s", path);
}

void ld_build_res_block(ld_builder *b, ld_res_block *block, const ld_res_shape *s, const char *path) {
  block->norm1 = ld_build_group_norm(b, s->in, s->groups, s->eps, ld_build_text(b, "%s.norm1", path));
  ld_build_same(b, &block->conv1, s->in, s->out, ld_build_text(b, "%s.conv1", path));
  if (s->time_width) ld_build_linear(b, &block->time, s->time_width, s->out, true, "%s.time_emb_proj", path);
  block->norm2 = ld_build_group_norm(b, s->out, s->groups, s->eps, ld_build_text(b, "%s.norm2", path));
  ld_build_same(b, &block->conv2, s->out, s->out, ld_build_text(b, "%s.conv2", path));
  if (s->in != s->out)
    ld_build_convolution(b, &block->shortcut, s->in, s->out, (ld_kernel){1, 1, 1, 0, 0}, true,
                         "%s.conv_shortcut", path);
}

ld_maps ld_res_block_run(const ld_res_block *block, ld_tape *t, ld_maps x, ld_tensor *time,
                         const ld_batch *batch) {
  ld_maps h = ld_group_norm_run(&block->norm1, t, x, true);
  h = ld_op_convolution(t, h, &block->conv1, batch);
  if (time) h = ld_op_add_channels(t, h, ld_op_linear(t, time, &block->time, batch));
  h = ld_group_norm_run(&block->norm2, t, h, true);
  if (block->shortcut.path) x = ld_op_convolution(t, x, &block->shortcut, batch);
  return ld_op_convolution_accumulate(t, x, h, &block->conv2, batch);
}

void ld_build_map_attention(ld_builder *b, ld_map_attention *a, int channels, int n_heads, int groups,
                            float eps, const char *path) {
  static const char *const names[2][4] = {{"to_q", "to_k", "to_v", "to_out.0"},
                                          {"query", "key", "value", "proj_attn"}};
  ld_linear *const layers[] = {&a->q, &a->k, &a->v, &a->out};
  const bool old = ld_build_there(b, "%s.query.weight", path);
  a->norm = ld_build_group_norm(b, channels, groups, eps, ld_build_text(b, "%s.group_norm", path));
  for (int i = 0; i < 4; i++)
    ld_build_linear(b, layers[i], channels, channels, true, "%s.%s", path, names[old][i]);
  const int D = channels / n_heads;
  a->shape = (ld_attention){.n_heads = n_heads,
                            .n_kv_heads = n_heads,
                            .head_dim = D,
                            .scale = 1 / sqrtf((float)D),
                            .block = LD_NO_CACHE};
}

const ld_field *ld_pixel_rows(ld_tape *tape, ld_maps x) {
  const int pixels = x.height * x.width;
  int32_t *segment = ld_tape_record(tape, ((size_t)x.n + 1) * sizeof *segment);
  ld_field *field = ld_tape_record(tape, sizeof *field);
  for (int i = 0; i <= x.n; i++) segment[i] = i * pixels;
  *field = (ld_field){.name = "pixels", .n_rows = x.n * pixels, .n_segments = x.n, .segment = segment};
  return field;
}

ld_maps ld_map_attention_run(const ld_map_attention *a, ld_tape *t, ld_maps x, const ld_batch *batch) {
  const ld_field *pixels = ld_pixel_rows(t, x);
  ld_tensor *h = ld_op_rows_of_maps(t, ld_group_norm_run(&a->norm, t, x, false));
  ld_tensor *q = ld_op_linear(t, h, &a->q, batch);
  ld_tensor *k = ld_op_linear(t, h, &a->k, batch);
  ld_tensor *v = ld_op_linear(t, h, &a->v, batch);
  h = ld_op_attention(t, q, k, v, &a->shape, pixels, pixels);
  return ld_op_maps_of_rows_accumulate(t, x, ld_op_linear(t, h, &a->out, batch));
}
