#include "model/vae.h"

#include <string.h>

#include "model/map_blocks.h"

enum { MAX_BLOCKS = 64, MAX_LEVELS = 8 };
static const float EPS = 1e-6f;

/* The blocks of one size of maps, and the convolution that changes the size after them. */
typedef struct level {
  ld_res_block *blocks;
  int n;
  bool resizes;
  ld_linear resize;
} level;

/* The smallest maps: a block, attention, a block. */
typedef struct middle {
  ld_res_block first, second;
  bool attends;
  ld_map_attention attention;
} middle;

/* One of the two networks. */
typedef struct coder {
  ld_linear in, out;
  level levels[MAX_LEVELS];
  middle middle;
  ld_group_norm norm;
} coder;

struct ld_vae {
  int n_levels, channels, sample_size;
  float scaling, shift;
  bool quantises, unquantises; /* a 1 x 1 convolution on the latents' side */
  coder encoder, decoder;
  ld_linear quantise, unquantise;
};

typedef struct plan {
  int widths[MAX_LEVELS], layers, groups, pictures; /* pictures: their channels */
  bool attends;
} plan;

static const ld_key keys[] = {
    {"act_fn", LD_TAKES_STRING, NULL},
    {"block_out_channels", LD_TAKES_INTEGERS, NULL},
    {"down_block_types", LD_TAKES_STRINGS, NULL},
    {"in_channels", LD_TAKES_INTEGER, NULL},
    {"latent_channels", LD_TAKES_INTEGER, NULL},
    {"layers_per_block", LD_TAKES_INTEGER, NULL},
    {"mid_block_add_attention", LD_TAKES_FLAG, NULL},
    {"norm_num_groups", LD_TAKES_INTEGER, NULL},
    {"out_channels", LD_TAKES_INTEGER, NULL},
    {"sample_size", LD_TAKES_INTEGER | LD_TAKES_INTEGERS, NULL},
    {"scaling_factor", LD_TAKES_NUMBER, NULL},
    {"shift_factor", LD_TAKES_NUMBER | LD_TAKES_NULL, NULL},
    {"up_block_types", LD_TAKES_STRINGS, NULL},
    {"use_post_quant_conv", LD_TAKES_FLAG, NULL},
    {"use_quant_conv", LD_TAKES_FLAG, NULL},
    {NULL, 0, NULL},
};

static void build_level(ld_builder *b, level *l, const plan *p, int in, int out, int n, const char *path) {
  l->blocks = ld_build_alloc(b, (size_t)n, sizeof *l->blocks);
  l->n = n;
  for (int i = 0; i < n && !b->failed; i++) {
    const char *name = ld_build_text(b, "%s.resnets.%d", path, i);
    ld_build_res_block(b, &l->blocks[i], &(ld_res_shape){i ? out : in, out, 0, p->groups, EPS}, name);
  }
  const char *name = ld_build_text(b, "%s.resnets.%d.conv1.weight", path, n);
  ld_build_end(b, "layers_per_block", "%s", name);
}

static void build_middle(ld_builder *b, middle *m, const plan *p, int width, const char *path) {
  const ld_res_shape shape = {width, width, 0, p->groups, EPS};
  const char *name = ld_build_text(b, "%s.resnets.0", path);
  ld_build_res_block(b, &m->first, &shape, name);
  m->attends = p->attends;
  name = ld_build_text(b, "%s.attentions.0", path);
  if (p->attends) ld_build_map_attention(b, &m->attention, width, 1, p->groups, EPS, name);
  name = ld_build_text(b, "%s.resnets.1", path);
  ld_build_res_block(b, &m->second, &shape, name);
}

static void build_encoder(ld_builder *b, ld_vae *vae, const plan *p) {
  coder *c = &vae->encoder;
  int in = p->widths[0];
  ld_build_same(b, &c->in, p->pictures, in, "encoder.conv_in");
  for (int i = 0; i < vae->n_levels && !b->failed; i++) {
    const char *path = ld_build_text(b, "encoder.down_blocks.%d", i);
    build_level(b, &c->levels[i], p, in, p->widths[i], p->layers, path);
    in = p->widths[i];
    c->levels[i].resizes = i + 1 < vae->n_levels;
    if (c->levels[i].resizes)
      ld_build_convolution(b, &c->levels[i].resize, in, in, (ld_kernel){3, 3, 2, 0, 1}, true,
                           "%s.downsamplers.0.conv", path);
  }
  build_middle(b, &c->middle, p, in, "encoder.mid_block");
  c->norm = ld_build_group_norm(b, in, p->groups, EPS, "encoder.conv_norm_out");
  ld_build_same(b, &c->out, in, 2 * vae->channels, "encoder.conv_out");
}

static void build_decoder(ld_builder *b, ld_vae *vae, const plan *p) {
  coder *c = &vae->decoder;
  int in = p->widths[vae->n_levels - 1];
  ld_build_same(b, &c->in, vae->channels, in, "decoder.conv_in");
  build_middle(b, &c->middle, p, in, "decoder.mid_block");
  for (int i = 0; i < vae->n_levels && !b->failed; i++) {
    const int out = p->widths[vae->n_levels - 1 - i];
    const char *path = ld_build_text(b, "decoder.up_blocks.%d", i);
    build_level(b, &c->levels[i], p, in, out, p->layers + 1, path);
    in = out;
    c->levels[i].resizes = i + 1 < vae->n_levels;
    path = ld_build_text(b, "%s.upsamplers.0.conv", path);
    if (c->levels[i].resizes) ld_build_same(b, &c->levels[i].resize, in, in, path);
  }
  c->norm = ld_build_group_norm(b, in, p->groups, EPS, "decoder.conv_norm_out");
  ld_build_same(b, &c->out, in, p->pictures, "decoder.conv_out");
}

static void check_types(ld_builder *b, const char *key, const char *only) {
  const ld_value *types = ld_value_get(b->config, key);
  for (size_t i = 0; types && i < types->n_items; i++)
    if (strcmp(types->items[i].string, only) != 0)
      ld_build_refuse(b, key, "has \"%.64s\"; only \"%s\" is supported", types->items[i].string, only);
}

static plan read_plan(ld_builder *b, ld_vae *vae) {
  plan p = {.widths = {64}};
  vae->n_levels = ld_build_sizes(b, "block_out_channels", p.widths, 1, MAX_LEVELS);
  if (ld_build_size(b, "layers_per_block", 1) > MAX_BLOCKS)
    ld_build_refuse(b, "layers_per_block", "must be at most %d", MAX_BLOCKS);
  p.layers = ld_build_size(b, "layers_per_block", 1);
  p.groups = ld_build_size(b, "norm_num_groups", 32);
  p.pictures = ld_build_size(b, "in_channels", 3);
  p.attends = ld_build_flag(b, "mid_block_add_attention", true);
  vae->channels = ld_build_size(b, "latent_channels", 4);
  const ld_value *size = ld_value_get(b->config, "sample_size");
  vae->sample_size = size && size->type == LD_LIST ? (size->n_items ? (int)size->items[0].integer : 32)
                                                   : ld_build_size(b, "sample_size", 32);
  vae->scaling = (float)ld_build_real(b, "scaling_factor", 0.18215);
  vae->shift = (float)ld_build_real(b, "shift_factor", 0);
  vae->quantises = ld_build_flag(b, "use_quant_conv", true);
  vae->unquantises = ld_build_flag(b, "use_post_quant_conv", true);
  if (strcmp(ld_build_string(b, "act_fn", "silu"), "silu") != 0)
    ld_build_refuse(b, "act_fn", "\"%.64s\" is not supported", ld_build_string(b, "act_fn", "silu"));
  if (p.pictures != 3 || ld_build_size(b, "out_channels", 3) != 3)
    ld_build_refuse(b, "in_channels", "must be 3, and so must out_channels");
  check_types(b, "down_block_types", "DownEncoderBlock2D");
  check_types(b, "up_block_types", "UpDecoderBlock2D");
  if (ld_value_get(b->config, "latents_mean")) ld_build_refuse(b, "latents_mean", "is not supported");
  return p;
}

ld_vae *ld_vae_build(ld_builder *b) {
  if (!ld_build_component_begin(b, "vae", NULL, keys)) return NULL;
  ld_vae *vae = ld_build_alloc(b, 1, sizeof *vae);
  b->unlisted = true;
  const plan p = read_plan(b, vae);
  b->depth_key = "block_out_channels or layers_per_block";
  build_encoder(b, vae, &p);
  build_decoder(b, vae, &p);
  const int latents = vae->channels;
  const ld_kernel point = {1, 1, 1, 0, 0};
  if (vae->quantises)
    ld_build_convolution(b, &vae->quantise, 2 * latents, 2 * latents, point, true, "quant_conv");
  if (vae->unquantises)
    ld_build_convolution(b, &vae->unquantise, latents, latents, point, true, "post_quant_conv");
  ld_build_component_end(b);
  return vae;
}

int ld_vae_channels(const ld_vae *vae) {
  return vae->channels;
}

int ld_vae_factor(const ld_vae *vae) {
  return 1 << (vae->n_levels - 1);
}

int ld_vae_size(const ld_vae *vae) {
  return vae->sample_size;
}

float ld_vae_scaling(const ld_vae *vae) {
  return vae->scaling;
}

float ld_vae_shift(const ld_vae *vae) {
  return vae->shift;
}

static ld_maps run_block(const ld_res_block *block, ld_tape *t, ld_maps x, const ld_batch *batch) {
  ld_tape_block_begin(t);
  x = ld_res_block_run(block, t, x, NULL, batch);
  ld_tape_block_end(t, LD_TENSORS(x.x));
  return x;
}

static ld_maps run_middle(const middle *m, ld_tape *t, ld_maps x, const ld_batch *batch) {
  x = run_block(&m->first, t, x, batch);
  if (m->attends) {
    ld_tape_block_begin(t);
    x = ld_map_attention_run(&m->attention, t, x, batch);
    ld_tape_block_end(t, LD_TENSORS(x.x));
  }
  return run_block(&m->second, t, x, batch);
}

static ld_maps run_end(const coder *c, ld_tape *t, ld_maps x, const ld_linear *last, const ld_batch *batch) {
  ld_tape_block_begin(t);
  x = ld_op_convolution(t, ld_group_norm_run(&c->norm, t, x, true), &c->out, batch);
  if (last) x = ld_op_convolution(t, x, last, batch);
  ld_tape_block_end(t, LD_TENSORS(x.x));
  return x;
}

static ld_maps run_level(const level *l, ld_tape *t, ld_maps x, bool up, const ld_batch *batch) {
  for (int i = 0; i < l->n; i++) x = run_block(&l->blocks[i], t, x, batch);
  if (!l->resizes) return x;
  ld_tape_block_begin(t);
  if (up) x = ld_op_upsample(t, x, 2 * x.height, 2 * x.width);
  x = ld_op_convolution(t, x, &l->resize, batch);
  ld_tape_block_end(t, LD_TENSORS(x.x));
  return x;
}

ld_maps ld_vae_encode(const ld_vae *vae, ld_tape *t, ld_maps x, const ld_batch *batch) {
  const coder *c = &vae->encoder;
  x = ld_op_convolution(t, x, &c->in, batch);
  for (int i = 0; i < vae->n_levels; i++) x = run_level(&c->levels[i], t, x, false, batch);
  x = run_middle(&c->middle, t, x, batch);
  return run_end(c, t, x, vae->quantises ? &vae->quantise : NULL, batch);
}

ld_maps ld_vae_decode(const ld_vae *vae, ld_tape *t, ld_maps x, const ld_batch *batch) {
  const coder *c = &vae->decoder;
  if (vae->unquantises) x = ld_op_convolution(t, x, &vae->unquantise, batch);
  x = ld_op_convolution(t, x, &c->in, batch);
  x = run_middle(&c->middle, t, x, batch);
  for (int i = 0; i < vae->n_levels; i++) x = run_level(&c->levels[i], t, x, true, batch);
  return run_end(c, t, x, NULL, batch);
}
