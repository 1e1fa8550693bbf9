#include "model/unet.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/map_blocks.h"

enum { MAX_LEVELS = 8, MAX_UNITS = 6 };

/* One layer of a transformer over pixels: attention to each other, to the text, and two linear layers. */
typedef struct layer {
  float *norms[3][2];                    /* weight and bias */
  ld_linear self[4], cross[4], up, down; /* q, k, v, out */
} layer;

typedef struct transformer {
  ld_group_norm norm;
  ld_linear in, out;
  layer *layers;
  int n;
  ld_attention shape;
} transformer;

/* What stands between two residual blocks. */
enum attends { NOTHING, TO_ITSELF, TO_TEXT };

typedef struct unit {
  ld_res_block block;
  enum attends attends;
  ld_map_attention attention;
  transformer transformer;
} unit;

typedef struct level {
  unit *units;
  int n;
  bool resizes;
  ld_linear resize;
} level;

struct ld_unet {
  int n_levels, channels, outputs, sample_size, width, context, n_classes;
  int added_width, size_width;
  bool linear_projection, cosines_first;
  float freq_shift;
  ld_linear in, out, time1, time2, add1, add2;
  ld_weight classes; /* (n_classes, 4 width) */
  level downs[MAX_LEVELS], ups[MAX_LEVELS];
  level middle;
  ld_group_norm norm;
};

typedef struct plan {
  int widths[MAX_LEVELS], heads[MAX_LEVELS], layers[MAX_LEVELS]; /* layers of each transformer */
  int units, groups, padding;
  enum attends downs[MAX_LEVELS], ups[MAX_LEVELS], middle;
  bool has_middle;
  int head_dim; /* of attention to itself; 0: one head */
  float eps;
} plan;

static const ld_key keys[] = {
    {"act_fn", LD_TAKES_STRING, NULL},
    {"add_attention", LD_TAKES_FLAG, NULL},
    {"addition_embed_type", LD_TAKES_STRING | LD_TAKES_NULL, NULL},
    {"addition_time_embed_dim", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"attention_head_dim", LD_TAKES_INTEGER | LD_TAKES_INTEGERS | LD_TAKES_NULL, NULL},
    {"attention_type", LD_TAKES_STRING, NULL},
    {"block_out_channels", LD_TAKES_INTEGERS, NULL},
    {"center_input_sample", LD_TAKES_FLAG, NULL},
    {"class_embed_type", LD_TAKES_STRING | LD_TAKES_NULL, NULL},
    {"class_embeddings_concat", LD_TAKES_FLAG, NULL},
    {"conv_in_kernel", LD_TAKES_INTEGER, NULL},
    {"conv_out_kernel", LD_TAKES_INTEGER, NULL},
    {"cross_attention_dim", LD_TAKES_INTEGER | LD_TAKES_INTEGERS, NULL},
    {"cross_attention_norm", LD_TAKES_STRING | LD_TAKES_NULL, NULL},
    {"down_block_types", LD_TAKES_STRINGS, NULL},
    {"downsample_padding", LD_TAKES_INTEGER, NULL},
    {"downsample_type", LD_TAKES_STRING, NULL},
    {"dual_cross_attention", LD_TAKES_FLAG, NULL},
    {"encoder_hid_dim", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"encoder_hid_dim_type", LD_TAKES_STRING | LD_TAKES_NULL, NULL},
    {"flip_sin_to_cos", LD_TAKES_FLAG, NULL},
    {"freq_shift", LD_TAKES_NUMBER, NULL},
    {"in_channels", LD_TAKES_INTEGER, NULL},
    {"layers_per_block", LD_TAKES_INTEGER | LD_TAKES_INTEGERS, NULL},
    {"mid_block_scale_factor", LD_TAKES_NUMBER, NULL},
    {"mid_block_type", LD_TAKES_STRING | LD_TAKES_NULL, NULL},
    {"norm_eps", LD_TAKES_NUMBER, NULL},
    {"norm_num_groups", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"num_attention_heads", LD_TAKES_INTEGER | LD_TAKES_INTEGERS | LD_TAKES_NULL, NULL},
    {"num_class_embeds", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"only_cross_attention", LD_TAKES_FLAG, NULL},
    {"out_channels", LD_TAKES_INTEGER, NULL},
    {"projection_class_embeddings_input_dim", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"resnet_time_scale_shift", LD_TAKES_STRING, NULL},
    {"sample_size", LD_TAKES_INTEGER | LD_TAKES_INTEGERS | LD_TAKES_NULL, NULL},
    {"time_cond_proj_dim", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"time_embedding_type", LD_TAKES_STRING, NULL},
    {"transformer_layers_per_block", LD_TAKES_INTEGER | LD_TAKES_INTEGERS, NULL},
    {"up_block_types", LD_TAKES_STRINGS, NULL},
    {"upsample_type", LD_TAKES_STRING, NULL},
    {"use_linear_projection", LD_TAKES_FLAG, NULL},
    {NULL, 0, NULL},
};

/* Settings of which only one value is supported. */
static void check_fixed(ld_builder *b, bool conditional) {
  static const struct {
    const char *key, *only; /* NULL: null */
  } texts[] = {{"act_fn", "silu"},
               {"attention_type", "default"},
               {"class_embed_type", NULL},
               {"cross_attention_norm", NULL},
               {"downsample_type", "conv"},
               {"encoder_hid_dim_type", NULL},
               {"resnet_time_scale_shift", "default"},
               {"time_embedding_act_fn", NULL},
               {"time_embedding_type", "positional"},
               {"timestep_post_act", NULL},
               {"upsample_type", "conv"}};
  static const char *const flags[] = {"class_embeddings_concat", "dual_cross_attention",
                                      "only_cross_attention", "mid_block_only_cross_attention",
                                      "resnet_skip_time_act"};
  static const char *const numbers[] = {"encoder_hid_dim", "time_cond_proj_dim", "time_embedding_dim",
                                        "reverse_transformer_layers_per_block"};
  const char *middle = conditional ? "UNetMidBlock2DCrossAttn" : "UNetMidBlock2D";
  const ld_value *named = ld_value_member(b->config, "mid_block_type");
  if (named && (named->type != LD_STRING || strcmp(named->string, middle) != 0))
    ld_build_refuse(b, "mid_block_type", "must be \"%s\"", middle);
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    const char *value = ld_build_string(b, texts[i].key, texts[i].only);
    if (value && (!texts[i].only || strcmp(value, texts[i].only) != 0))
      ld_build_refuse(b, texts[i].key, "\"%.64s\" is not supported", value);
  }
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
    const ld_value *flag = ld_value_get(b->config, flags[i]);
    if (flag && !(flag->type == LD_BOOLEAN && !flag->boolean))
      ld_build_refuse(b, flags[i], "is not supported");
  }
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (ld_value_get(b->config, numbers[i])) ld_build_refuse(b, numbers[i], "is not supported");
  if (ld_build_size(b, "conv_in_kernel", 3) != 3 || ld_build_size(b, "conv_out_kernel", 3) != 3)
    ld_build_refuse(b, "conv_in_kernel", "must be 3, and so must conv_out_kernel");
  if (ld_build_real(b, "mid_block_scale_factor", 1) != 1 ||
      ld_build_real(b, "resnet_out_scale_factor", 1) != 1)
    ld_build_refuse(b, "mid_block_scale_factor", "must be 1, and so must resnet_out_scale_factor");
}

/* A number for all levels, or a list with one for each. */
static void read_each(ld_builder *b, const char *key, int fallback, int n, int out[MAX_LEVELS]) {
  const ld_value *value = ld_value_get(b->config, key);
  for (int i = 0; i < n; i++) out[i] = fallback;
  if (!value) return;
  if (value->type == LD_LIST) {
    if (ld_build_sizes(b, key, out, n, MAX_LEVELS) != n)
      ld_build_refuse(b, key, "must have as many numbers as block_out_channels (%d)", n);
    return;
  }
  const int each = ld_build_size(b, key, fallback);
  for (int i = 0; i < n; i++) out[i] = each;
}

/* The kinds of blocks of one direction, by the end of their class's name. */
static void read_types(ld_builder *b, const char *key, const char *direction, int n, enum attends *out) {
  const ld_value *types = ld_value_get(b->config, key);
  char plain[32], itself[32], text[32];
  snprintf(plain, sizeof plain, "%sBlock2D", direction);
  snprintf(itself, sizeof itself, "Attn%sBlock2D", direction);
  snprintf(text, sizeof text, "CrossAttn%sBlock2D", direction);
  if (!types) ld_build_refuse(b, key, "is missing");
  if (types && types->n_items != (size_t)n)
    ld_build_refuse(b, key, "must have as many blocks as block_out_channels (%d)", n);
  for (int i = 0; i < n && !b->failed; i++) {
    const char *type = types->items[i].string;
    if (!strcmp(type, plain))
      out[i] = NOTHING;
    else if (!strcmp(type, itself))
      out[i] = TO_ITSELF;
    else if (!strcmp(type, text))
      out[i] = TO_TEXT;
    else
      ld_build_refuse(b, key, "has \"%.64s\", which is not supported", type);
  }
}

static bool has(const enum attends *list, int n, enum attends what) {
  for (int i = 0; i < n; i++)
    if (list[i] == what) return true;
  return false;
}

/* What attention_head_dim is depends on the class: the number of heads in UNet2DConditionModel (a mistake that
 * stays, since files rely on it), the width of a head in UNet2DModel. */
static void read_heads(ld_builder *b, const ld_unet *unet, plan *p) {
  static const char heads[] = "num_attention_heads", dim[] = "attention_head_dim";
  const bool given = ld_value_get(b->config, heads) != NULL;
  if (unet->context) {
    read_each(b, given ? heads : dim, 8, unet->n_levels, p->heads);
    for (int i = 0; i < unet->n_levels; i++)
      if (p->widths[i] % p->heads[i])
        ld_build_refuse(b, given ? heads : dim, "(%d heads) must divide block_out_channels (%d)", p->heads[i],
                        p->widths[i]);
    return;
  }
  p->head_dim = ld_build_has(b, dim) && !ld_value_get(b->config, dim) ? 0 : ld_build_size(b, dim, 8);
  for (int i = 0; i < unet->n_levels && p->head_dim; i++)
    if (p->widths[i] % p->head_dim &&
        (p->downs[i] || p->ups[unet->n_levels - 1 - i] || i == unet->n_levels - 1))
      ld_build_refuse(b, dim, "(%d) must divide block_out_channels (%d)", p->head_dim, p->widths[i]);
}

static void read_sizes(ld_builder *b, ld_unet *unet, plan *p) {
  unet->n_levels = ld_build_sizes(b, "block_out_channels", p->widths, 0, MAX_LEVELS);
  if (!unet->n_levels) ld_build_refuse(b, "block_out_channels", "is missing");
  read_each(b, "transformer_layers_per_block", 1, unet->n_levels, p->layers);
  int units[MAX_LEVELS] = {0};
  read_each(b, "layers_per_block", 2, unet->n_levels, units);
  p->units = units[0];
  if (p->units > MAX_UNITS)
    ld_build_refuse(b, "layers_per_block", "(%d) must be at most %d", p->units, MAX_UNITS);
  for (int i = 1; i < unet->n_levels; i++)
    if (units[i] != units[0]) ld_build_refuse(b, "layers_per_block", "must be the same for all blocks");
  p->groups = ld_build_size(b, "norm_num_groups", 32);
  p->eps = (float)ld_build_real(b, "norm_eps", 1e-5);
  p->padding = ld_build_index(b, "downsample_padding", 1);
  if (p->padding > 1) ld_build_refuse(b, "downsample_padding", "must be 0 or 1, not %d", p->padding);
  const ld_value *size = ld_value_get(b->config, "sample_size");
  unet->sample_size = !size                   ? 0
                      : size->type == LD_LIST ? (size->n_items ? (int)size->items[0].integer : 0)
                                              : (int)size->integer;
}

/* What is added to the time's embedding (SDXL). */
static void read_addition(ld_builder *b, ld_unet *unet) {
  const char *type = ld_build_string(b, "addition_embed_type", NULL);
  if (!type) return;
  if (strcmp(type, "text_time") != 0)
    ld_build_refuse(b, "addition_embed_type", "\"%.64s\" is not supported", type);
  unet->size_width = ld_build_size(b, "addition_time_embed_dim", 0);
  unet->added_width =
      ld_build_size(b, "projection_class_embeddings_input_dim", 0) - LD_N_SIZES * unet->size_width;
  if (unet->added_width < 1)
    ld_build_refuse(b, "projection_class_embeddings_input_dim",
                    "must be above %d times addition_time_embed_dim", LD_N_SIZES);
}

static plan read_plan(ld_builder *b, ld_unet *unet) {
  plan p = {.middle = TO_ITSELF, .has_middle = true};
  const char *class = ld_build_string(b, "_class_name", "UNet2DConditionModel");
  const bool conditional = strcmp(class, "UNet2DModel") != 0;
  if (conditional && strcmp(class, "UNet2DConditionModel") != 0)
    ld_build_refuse(b, "_class_name", "\"%.64s\" is not supported", class);
  check_fixed(b, conditional);
  unet->channels = ld_build_size(b, "in_channels", conditional ? 4 : 3);
  unet->outputs = ld_build_size(b, "out_channels", conditional ? 4 : 3);
  unet->cosines_first = ld_build_flag(b, "flip_sin_to_cos", true);
  unet->freq_shift = (float)ld_build_real(b, "freq_shift", 0);
  ld_build_refuse_flag(b, "center_input_sample");
  unet->linear_projection = ld_build_flag(b, "use_linear_projection", false);
  unet->n_classes = ld_value_get(b->config, "num_class_embeds") ? ld_build_size(b, "num_class_embeds", 0) : 0;
  if (conditional) unet->context = ld_build_size(b, "cross_attention_dim", 1280);
  read_sizes(b, unet, &p);
  read_types(b, "down_block_types", "Down", unet->n_levels, p.downs);
  read_types(b, "up_block_types", "Up", unet->n_levels, p.ups);
  if (conditional) p.middle = TO_TEXT;
  if (!conditional && !ld_build_flag(b, "add_attention", true)) p.middle = NOTHING;
  if (!conditional && (has(p.downs, unet->n_levels, TO_TEXT) || has(p.ups, unet->n_levels, TO_TEXT)))
    ld_build_refuse(b, "down_block_types", "has cross-attention, but the class is UNet2DModel");
  if (conditional && (has(p.downs, unet->n_levels, TO_ITSELF) || has(p.ups, unet->n_levels, TO_ITSELF)))
    ld_build_refuse(b, "down_block_types",
                    "with attention of a map to itself is not supported in this class");
  read_heads(b, unet, &p);
  read_addition(b, unet);
  return p;
}

static void build_attention(ld_builder *b, ld_linear a[4], int C, int context, const char *path) {
  static const char *const names[] = {"to_q", "to_k", "to_v", "to_out.0"};
  for (int i = 0; i < 4; i++)
    ld_build_linear(b, &a[i], i == 1 || i == 2 ? context : C, C, i == 3, "%s.%s", path, names[i]);
}

static void build_layer(ld_builder *b, layer *l, int C, int context, const char *path) {
  for (int i = 0; i < 3; i++) {
    l->norms[i][0] = ld_build_vector(b, C, "%s.norm%d.weight", path, i + 1);
    l->norms[i][1] = ld_build_vector(b, C, "%s.norm%d.bias", path, i + 1);
  }
  const char *name = ld_build_text(b, "%s.attn1", path);
  build_attention(b, l->self, C, C, name);
  name = ld_build_text(b, "%s.attn2", path);
  build_attention(b, l->cross, C, context, name);
  ld_build_linear(b, &l->up, C, 8 * C, true, "%s.ff.net.0.proj", path);
  ld_build_linear(b, &l->down, 4 * C, C, true, "%s.ff.net.2", path);
}

/* The layer before or after a transformer's layers: a 1 x 1 convolution over maps or a linear layer over rows. */
static void build_projection(ld_builder *b, const ld_unet *unet, ld_linear *linear, int C, const char *path,
                             const char *name) {
  if (unet->linear_projection)
    ld_build_linear(b, linear, C, C, true, "%s.%s", path, name);
  else
    ld_build_convolution(b, linear, C, C, (ld_kernel){1, 1, 1, 0, 0}, true, "%s.%s", path, name);
}

static void build_transformer(ld_builder *b, const ld_unet *unet, const plan *p, transformer *t, int at,
                              const char *path) {
  const int C = p->widths[at], D = C / p->heads[at];
  ld_build_block_begin(b);
  const char *name = ld_build_text(b, "%s.norm", path);
  t->norm = ld_build_group_norm(b, C, p->groups, 1e-6f, name);
  build_projection(b, unet, &t->in, C, path, "proj_in");
  ld_build_block_end(b);
  t->n = p->layers[at];
  t->layers = ld_build_alloc(b, (size_t)t->n, sizeof *t->layers);
  for (int i = 0; i < t->n && !b->failed; i++) {
    ld_build_block_begin(b);
    name = ld_build_text(b, "%s.transformer_blocks.%d", path, i);
    build_layer(b, &t->layers[i], C, unet->context, name);
    ld_build_block_end(b);
  }
  ld_build_block_begin(b);
  build_projection(b, unet, &t->out, C, path, "proj_out");
  ld_build_block_end(b);
  t->shape = (ld_attention){.n_heads = p->heads[at],
                            .n_kv_heads = p->heads[at],
                            .head_dim = D,
                            .scale = 1 / sqrtf((float)D),
                            .block = LD_NO_CACHE};
}

/* Where a unit stands: the k-th of `path`, on a level of that number. */
typedef struct spot {
  const char *path;
  int k, level, in; /* in: channels that it reads */
  enum attends attends;
} spot;

static void build_unit(ld_builder *b, const ld_unet *unet, const plan *p, unit *u, spot s) {
  const int out = p->widths[s.level];
  const ld_res_shape shape = {s.in, out, 4 * unet->width, p->groups, p->eps};
  ld_build_block_begin(b);
  ld_build_res_block(b, &u->block, &shape, ld_build_text(b, "%s.resnets.%d", s.path, s.k));
  ld_build_block_end(b);
  u->attends = s.attends;
  const char *name = ld_build_text(b, "%s.attentions.%d", s.path, s.k);
  if (s.attends == TO_TEXT) build_transformer(b, unet, p, &u->transformer, s.level, name);
  if (s.attends != TO_ITSELF) return;
  ld_build_block_begin(b);
  ld_build_map_attention(b, &u->attention, out, p->head_dim ? out / p->head_dim : 1, p->groups, p->eps, name);
  ld_build_block_end(b);
}

static void build_down(ld_builder *b, ld_unet *unet, const plan *p, int i) {
  level *l = &unet->downs[i];
  const int before = i ? p->widths[i - 1] : p->widths[0], out = p->widths[i];
  l->n = p->units;
  l->units = ld_build_alloc(b, (size_t)l->n, sizeof *l->units);
  const char *path = ld_build_text(b, "down_blocks.%d", i);
  for (int k = 0; k < l->n && !b->failed; k++)
    build_unit(b, unet, p, &l->units[k], (spot){path, k, i, k ? out : before, p->downs[i]});
  ld_build_end(b, "layers_per_block", "%s.resnets.%d.conv1.weight", path, l->n);
  l->resizes = i + 1 < unet->n_levels;
  const ld_kernel kernel = p->padding ? (ld_kernel){3, 3, 2, 1, 0} : (ld_kernel){3, 3, 2, 0, 1};
  ld_build_block_begin(b);
  if (l->resizes) ld_build_convolution(b, &l->resize, out, out, kernel, true, "%s.downsamplers.0.conv", path);
  ld_build_block_end(b);
}

static void build_middle(ld_builder *b, ld_unet *unet, const plan *p) {
  const int at = unet->n_levels - 1, C = p->widths[at];
  unet->middle.n = 2;
  unet->middle.units = ld_build_alloc(b, 2, sizeof *unet->middle.units);
  build_unit(b, unet, p, &unet->middle.units[0], (spot){"mid_block", 0, at, C, p->middle});
  build_unit(b, unet, p, &unet->middle.units[1], (spot){"mid_block", 1, at, C, NOTHING});
}

/* The k-th block on the way up reads, beside what came before, the output of one on the way down, from the end.
 * The channels of that: */
static int skipped(const ld_unet *unet, const plan *p, int up, int k) {
  const int at = unet->n_levels - 1 - up; /* the level on the way down */
  return k < p->units ? p->widths[at] : p->widths[at ? at - 1 : 0];
}

static void build_up(ld_builder *b, ld_unet *unet, const plan *p, int i) {
  level *l = &unet->ups[i];
  const int at = unet->n_levels - 1 - i, out = p->widths[at], before = i ? p->widths[at + 1] : out;
  l->n = p->units + 1;
  l->units = ld_build_alloc(b, (size_t)l->n, sizeof *l->units);
  const char *path = ld_build_text(b, "up_blocks.%d", i);
  for (int k = 0; k < l->n && !b->failed; k++)
    build_unit(b, unet, p, &l->units[k],
               (spot){path, k, at, (k ? out : before) + skipped(unet, p, i, k), p->ups[i]});
  ld_build_end(b, "layers_per_block", "%s.resnets.%d.conv1.weight", path, l->n);
  l->resizes = i + 1 < unet->n_levels;
  path = ld_build_text(b, "up_blocks.%d.upsamplers.0.conv", i);
  ld_build_block_begin(b);
  if (l->resizes) ld_build_same(b, &l->resize, out, out, path);
  ld_build_block_end(b);
}

static void build_times(ld_builder *b, ld_unet *unet) {
  const int C = unet->width, wide = 4 * C;
  ld_build_linear(b, &unet->time1, C, wide, true, "time_embedding.linear_1");
  ld_build_linear(b, &unet->time2, wide, wide, true, "time_embedding.linear_2");
  if (unet->n_classes) unet->classes = ld_build_matrix(b, unet->n_classes, wide, "class_embedding.weight");
  if (!unet->size_width) return;
  ld_build_linear(b, &unet->add1, unet->added_width + LD_N_SIZES * unet->size_width, wide, true,
                  "add_embedding.linear_1");
  ld_build_linear(b, &unet->add2, wide, wide, true, "add_embedding.linear_2");
}

ld_unet *ld_unet_build(ld_builder *b) {
  if (!ld_build_component_begin(b, "unet", NULL, keys)) return NULL;
  ld_unet *unet = ld_build_alloc(b, 1, sizeof *unet);
  const plan p = read_plan(b, unet);
  if (b->failed) return NULL;
  unet->width = p.widths[0];
  b->depth_key = "block_out_channels, layers_per_block or a block's type";
  ld_build_same(b, &unet->in, unet->channels, unet->width, "conv_in");
  build_times(b, unet);
  for (int i = 0; i < unet->n_levels && !b->failed; i++) build_down(b, unet, &p, i);
  build_middle(b, unet, &p);
  for (int i = 0; i < unet->n_levels && !b->failed; i++) build_up(b, unet, &p, i);
  unet->norm = ld_build_group_norm(b, unet->width, p.groups, p.eps, "conv_norm_out");
  ld_build_same(b, &unet->out, unet->width, unet->outputs, "conv_out");
  ld_build_component_end(b);
  return unet;
}

int ld_unet_channels(const ld_unet *unet) {
  return unet->channels;
}

int ld_unet_outputs(const ld_unet *unet) {
  return unet->outputs;
}

int ld_unet_size(const ld_unet *unet) {
  return unet->sample_size;
}

int ld_unet_context_width(const ld_unet *unet) {
  return unet->context;
}

int ld_unet_n_classes(const ld_unet *unet) {
  return unet->n_classes;
}

int ld_unet_multiple(const ld_unet *unet) {
  return 1 << (unet->n_levels - 1);
}

int ld_unet_added_width(const ld_unet *unet) {
  return unet->added_width;
}

int ld_unet_size_width(const ld_unet *unet) {
  return unet->size_width;
}

ld_linear *ld_unet_head(ld_unet *unet) {
  return &unet->out;
}

/* A pass. */
typedef struct pass {
  const ld_unet *unet;
  ld_tape *tape;
  const ld_batch *batch;
  const ld_condition *condition;
  ld_tensor *time; /* silu of the time's embedding (B, 4 width) */
} pass;

/* attention(norm(x)) + x; `context` NULL: of the pixels to each other. */
static ld_tensor *attend(const pass *p, const transformer *t, const ld_linear a[4], float *const norm[2],
                         ld_tensor *x, const ld_field *pixels, ld_tensor *context) {
  ld_tape *tape = p->tape;
  ld_tensor *h = ld_op_layer_norm(tape, x, norm[0], norm[1], 1e-5f), *from = context ? context : h;
  ld_tensor *q = ld_op_linear(tape, h, &a[0], p->batch);
  ld_tensor *k = ld_op_linear(tape, from, &a[1], p->batch);
  ld_tensor *v = ld_op_linear(tape, from, &a[2], p->batch);
  h = ld_op_attention(tape, q, k, v, &t->shape, pixels, context ? p->condition->text : pixels);
  return ld_op_linear_accumulate(tape, x, h, &a[3], p->batch);
}

static ld_tensor *run_layer(const pass *p, const transformer *t, const layer *l, ld_tensor *x,
                            const ld_field *pixels) {
  ld_tape *tape = p->tape;
  const int inner = l->down.in;
  x = attend(p, t, l->self, l->norms[0], x, pixels, NULL);
  x = attend(p, t, l->cross, l->norms[1], x, pixels, p->condition->states);
  ld_tensor *h = ld_op_layer_norm(tape, x, l->norms[2][0], l->norms[2][1], 1e-5f);
  h = ld_op_linear(tape, h, &l->up, p->batch);
  ld_tensor *hidden = ld_tape_columns(tape, h, 0, inner), *gate = ld_tape_columns(tape, h, inner, inner);
  h = ld_op_geglu(tape, hidden, gate);
  return ld_op_linear_accumulate(tape, x, h, &l->down, p->batch);
}

static ld_tensor *enter(const pass *p, const transformer *t, ld_maps x) {
  ld_tape *tape = p->tape;
  ld_maps h = ld_group_norm_run(&t->norm, tape, x, false);
  if (p->unet->linear_projection) return ld_op_linear(tape, ld_op_rows_of_maps(tape, h), &t->in, p->batch);
  return ld_op_rows_of_maps(tape, ld_op_convolution(tape, h, &t->in, p->batch));
}

static ld_maps leave(const pass *p, const transformer *t, ld_maps x, ld_tensor *rows) {
  ld_tape *tape = p->tape;
  if (p->unet->linear_projection)
    return ld_op_maps_of_rows_accumulate(tape, x, ld_op_linear(tape, rows, &t->out, p->batch));
  const ld_maps h = ld_op_maps_of_rows(tape, rows, x.n, x.height, x.width);
  return ld_op_convolution_accumulate(tape, x, h, &t->out, p->batch);
}

static ld_maps run_transformer(const pass *p, const transformer *t, ld_maps x) {
  ld_tape *tape = p->tape;
  const ld_field *pixels = ld_pixel_rows(tape, x);
  ld_tape_block_begin(tape);
  ld_tensor *rows = enter(p, t, x);
  ld_tape_block_end(tape, LD_TENSORS(rows));
  for (int i = 0; i < t->n; i++) {
    ld_tape_block_begin(tape);
    rows = run_layer(p, t, &t->layers[i], rows, pixels);
    ld_tape_block_end(tape, LD_TENSORS(rows));
  }
  ld_tape_block_begin(tape);
  x = leave(p, t, x, rows);
  ld_tape_block_end(tape, LD_TENSORS(x.x));
  return x;
}

static ld_maps run_unit(const pass *p, const unit *u, ld_maps x, const ld_maps *skip) {
  ld_tape *tape = p->tape;
  ld_tape_block_begin(tape);
  if (skip) x = ld_op_join(tape, x, *skip);
  x = ld_res_block_run(&u->block, tape, x, p->time, p->batch);
  ld_tape_block_end(tape, LD_TENSORS(x.x));
  if (u->attends == TO_TEXT) return run_transformer(p, &u->transformer, x);
  if (u->attends == NOTHING) return x;
  ld_tape_block_begin(tape);
  x = ld_map_attention_run(&u->attention, tape, x, p->batch);
  ld_tape_block_end(tape, LD_TENSORS(x.x));
  return x;
}

/* The outputs on the way down, for those on the way up. */
typedef struct skips {
  ld_maps list[MAX_LEVELS * (MAX_UNITS + 1) + 1];
  int n;
} skips;

static ld_maps run_down(const pass *p, const level *l, ld_maps x, skips *s) {
  for (int k = 0; k < l->n; k++) s->list[s->n++] = x = run_unit(p, &l->units[k], x, NULL);
  if (!l->resizes) return x;
  ld_tape_block_begin(p->tape);
  x = ld_op_convolution(p->tape, x, &l->resize, p->batch);
  ld_tape_block_end(p->tape, LD_TENSORS(x.x));
  return s->list[s->n++] = x;
}

/* Where a size on the way down was odd, the maps grow to that size and not to twice their own. */
static ld_maps run_up(const pass *p, const level *l, ld_maps x, skips *s) {
  for (int k = 0; k < l->n; k++) x = run_unit(p, &l->units[k], x, &s->list[--s->n]);
  if (!l->resizes) return x;
  const ld_maps *next = &s->list[s->n - 1];
  ld_tape_block_begin(p->tape);
  x = ld_op_upsample(p->tape, x, next->height, next->width);
  x = ld_op_convolution(p->tape, x, &l->resize, p->batch);
  ld_tape_block_end(p->tape, LD_TENSORS(x.x));
  return x;
}

static ld_tensor *embed(const pass *p, ld_tensor *x, ld_tensor *sum, const ld_linear *first,
                        const ld_linear *second) {
  ld_tape *tape = p->tape;
  ld_tensor *h = ld_op_activation(tape, ld_op_linear(tape, x, first, p->batch), LD_SILU);
  return sum ? ld_op_linear_accumulate(tape, sum, h, second, p->batch)
             : ld_op_linear(tape, h, second, p->batch);
}

/* The part of the time's embedding that does not depend on the time: of the picture's class, or of its text and
 * sizes; NULL for none. */
static ld_tensor *embed_rest(const pass *p, int n) {
  const ld_unet *unet = p->unet;
  const ld_condition *c = p->condition;
  ld_tape *tape = p->tape;
  if (unet->n_classes) {
    ld_field *classes = ld_tape_record(tape, sizeof *classes);
    *classes = (ld_field){.name = "classes", .n_rows = n, .ids = c->classes};
    return ld_op_embedding(tape, classes, &(ld_embedding){.words = &unet->classes, .padding = -1});
  }
  if (!unet->size_width) return NULL;
  ld_tensor *sizes = ld_op_sinusoids(tape, c->sizes, n * LD_N_SIZES, unet->size_width, unet->cosines_first,
                                     unet->freq_shift, 1);
  return embed(p, ld_op_join_columns(tape, c->pooled, sizes), NULL, &unet->add1, &unet->add2);
}

static ld_tensor *embed_time(const pass *p, int n, const float *times) {
  const ld_unet *unet = p->unet;
  ld_tensor *rest = embed_rest(p, n);
  ld_tensor *x = ld_op_sinusoids(p->tape, times, n, unet->width, unet->cosines_first, unet->freq_shift, 1);
  return ld_op_activation(p->tape, embed(p, x, rest, &unet->time1, &unet->time2), LD_SILU);
}

ld_maps ld_unet_run(const ld_unet *unet, ld_tape *tape, ld_maps x, const float *times,
                    const ld_condition *condition, const ld_batch *batch) {
  pass p = {unet, tape, batch, condition, NULL};
  skips s = {.n = 0};
  p.time = embed_time(&p, x.n, times);
  s.list[s.n++] = x = ld_op_convolution(tape, x, &unet->in, batch);
  for (int i = 0; i < unet->n_levels; i++) x = run_down(&p, &unet->downs[i], x, &s);
  for (int k = 0; k < unet->middle.n; k++) x = run_unit(&p, &unet->middle.units[k], x, NULL);
  for (int i = 0; i < unet->n_levels; i++) x = run_up(&p, &unet->ups[i], x, &s);
  ld_tape_block_begin(tape);
  x = ld_op_convolution(tape, ld_group_norm_run(&unet->norm, tape, x, true), &unet->out, batch);
  ld_tape_block_end(tape, LD_TENSORS(x.x));
  return x;
}
