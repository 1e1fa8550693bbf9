/* DiT (Peebles and Xie, "Scalable Diffusion Models with Transformers", 2023): a transformer over the patches of an
 * autoencoder's latents, for pictures of classes. What is known of time and class does not stand beside the patches:
 * it scales, shifts and gates them in each layer (adaLN-Zero). diffusers' DiTTransformer2DModel. For maps (4, B 32 32),
 * patches of 2 x 2 and a width of 1152:
 *
 *   x        (256 B, 1152)      patches, plus sines and cosines of their places
 *   c        (B, 1152)          silu(embedding of the time + embedding of the class), of each layer its own
 *   layer    (256 B, 1152)      x += gate1 attention(norm(x) (1 + scale1) + shift1); the same with a feed-forward part;
 *                               shift1, scale1, gate1, shift2, scale2, gate2 = linear(c), (B, 1152) each
 *   y        (8, B 32 32)       noise and, where it is learned, variance */
#include <math.h>
#include <string.h>

#include "model/build.h"
#include "model/diffusion.h"
#include "model/families.h"
#include "model/map_blocks.h"
#include "model/vae.h"

enum { TIME_WIDTH = 256, PARTS = 6, MOST_WIDTH = 1 << 20 };

/* Of a time and a class. */
typedef struct embedder {
  ld_linear time1, time2;
  ld_weight classes; /* (classes + 1, C): the last is that of no class */
} embedder;

typedef struct layer {
  embedder embedder;
  ld_linear modulation; /* c to PARTS C */
  ld_linear q, k, v, out, up, down;
  const float *weight, *bias; /* of the second norm */
} layer;

typedef struct dit {
  int channels, outputs, patch, size, width, n_layers, n_classes;
  bool attention_bias, affine;
  float eps;
  enum ld_activation activation;
  ld_attention attention;
  ld_linear patches, modulation, out;
  layer *layers;
  const float *ones, *zeros; /* (C): the weight and bias of a norm without any */
} dit;

static const ld_key keys[] = {
    {"activation_fn", LD_TAKES_STRING, NULL},
    {"attention_bias", LD_TAKES_FLAG, NULL},
    {"attention_head_dim", LD_TAKES_INTEGER, NULL},
    {"dropout", LD_TAKES_NUMBER, NULL},
    {"in_channels", LD_TAKES_INTEGER, NULL},
    {"norm_elementwise_affine", LD_TAKES_FLAG, NULL},
    {"norm_eps", LD_TAKES_NUMBER, NULL},
    {"norm_num_groups", LD_TAKES_INTEGER, NULL},
    {"norm_type", LD_TAKES_STRING, NULL},
    {"num_attention_heads", LD_TAKES_INTEGER, NULL},
    {"num_embeds_ada_norm", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"num_layers", LD_TAKES_INTEGER, NULL},
    {"out_channels", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"patch_size", LD_TAKES_INTEGER, NULL},
    {"sample_size", LD_TAKES_INTEGER, NULL},
    {"upcast_attention", LD_TAKES_FLAG, NULL},
    {NULL, 0, NULL},
};

/* Transformer2DModel is the class's name in older files. */
static void check_class(ld_builder *b) {
  const char *class = ld_build_string(b, "_class_name", "DiTTransformer2DModel");
  if (strcmp(class, "DiTTransformer2DModel") != 0 && strcmp(class, "Transformer2DModel") != 0)
    ld_build_refuse(b, "_class_name", "\"%.64s\" is not supported", class);
  const char *norm = ld_build_string(b, "norm_type", "ada_norm_zero");
  if (strcmp(norm, "ada_norm_zero") != 0)
    ld_build_refuse(b, "norm_type", "\"%.64s\" is not supported: it must be \"ada_norm_zero\"", norm);
}

static enum ld_activation read_activation(ld_builder *b) {
  const char *name = ld_build_string(b, "activation_fn", "gelu-approximate");
  if (!strcmp(name, "gelu-approximate")) return LD_GELU_TANH;
  if (strcmp(name, "gelu") != 0) ld_build_refuse(b, "activation_fn", "\"%.64s\" is not supported", name);
  return LD_GELU_ERF;
}

static void read_width(ld_builder *b, dit *own) {
  const int heads = ld_build_size(b, "num_attention_heads", 16),
            D = ld_build_size(b, "attention_head_dim", 72);
  const int64_t width = (int64_t)heads * D;
  if (width % 4 || width > MOST_WIDTH) {
    ld_build_refuse(b, "attention_head_dim",
                    "times num_attention_heads (%lld) must be a multiple of 4 up to %d", (long long)width,
                    MOST_WIDTH);
    return;
  }
  own->width = (int)width;
  ld_build_name_size(b, "num_attention_heads times attention_head_dim", width);
  own->attention = (ld_attention){.n_heads = heads,
                                  .n_kv_heads = heads,
                                  .head_dim = D,
                                  .scale = 1 / sqrtf((float)D),
                                  .block = LD_NO_CACHE};
}

static void read_config(ld_builder *b, dit *own) {
  check_class(b);
  read_width(b, own);
  own->channels = ld_build_size(b, "in_channels", 4);
  own->outputs =
      ld_value_get(b->config, "out_channels") ? ld_build_size(b, "out_channels", 0) : own->channels;
  own->patch = ld_build_size(b, "patch_size", 2);
  own->size = ld_build_size(b, "sample_size", 32);
  own->n_layers = ld_build_size(b, "num_layers", 28);
  own->n_classes = ld_build_size(b, "num_embeds_ada_norm", 1000);
  own->attention_bias = ld_build_flag(b, "attention_bias", true);
  own->affine = ld_build_flag(b, "norm_elementwise_affine", false);
  own->eps = (float)ld_build_real(b, "norm_eps", 1e-5);
  own->activation = read_activation(b);
  if (ld_build_has(b, "num_embeds_ada_norm") && !ld_value_get(b->config, "num_embeds_ada_norm"))
    ld_build_refuse(b, "num_embeds_ada_norm", "must not be null");
  if (own->outputs != own->channels && own->outputs != 2 * own->channels)
    ld_build_refuse(b, "out_channels",
                    "(%d) must be in_channels (%d) or, with learned variances, twice as many", own->outputs,
                    own->channels);
  if (own->patch > 1 << 10 || own->size < own->patch || own->size > 1 << 16)
    ld_build_refuse(b, "sample_size",
                    "(%d) must be at least patch_size (%d), and these at most 65536 and 1024", own->size,
                    own->patch);
}

static void build_embedder(ld_builder *b, const dit *own, embedder *e, int i) {
  const char *path = ld_build_text(b, "transformer_blocks.%d.norm1.emb", i);
  ld_build_linear(b, &e->time1, TIME_WIDTH, own->width, true, "%s.timestep_embedder.linear_1", path);
  ld_build_linear(b, &e->time2, own->width, own->width, true, "%s.timestep_embedder.linear_2", path);
  e->classes =
      ld_build_matrix(b, own->n_classes + 1, own->width, "%s.class_embedder.embedding_table.weight", path);
}

static void build_layer(ld_builder *b, const dit *own, layer *l, int i) {
  const int C = own->width;
  const char *path = ld_build_text(b, "transformer_blocks.%d", i);
  ld_build_linear(b, &l->modulation, C, PARTS * C, true, "%s.norm1.linear", path);
  ld_build_linear(b, &l->q, C, C, own->attention_bias, "%s.attn1.to_q", path);
  ld_build_linear(b, &l->k, C, C, own->attention_bias, "%s.attn1.to_k", path);
  ld_build_linear(b, &l->v, C, C, own->attention_bias, "%s.attn1.to_v", path);
  ld_build_linear(b, &l->out, C, C, true, "%s.attn1.to_out.0", path);
  l->weight = own->affine ? ld_build_vector(b, C, "%s.norm3.weight", path) : own->ones;
  l->bias = own->affine ? ld_build_vector(b, C, "%s.norm3.bias", path) : own->zeros;
  ld_build_linear(b, &l->up, C, 4 * C, true, "%s.ff.net.0.proj", path);
  ld_build_linear(b, &l->down, 4 * C, C, true, "%s.ff.net.2", path);
}

/* The first layer's embedder serves the last norm too, so it is not in that layer's block. */
static void build_layers(ld_builder *b, dit *own) {
  own->layers = ld_build_alloc(b, (size_t)own->n_layers, sizeof *own->layers);
  for (int i = 0; i < own->n_layers && !b->failed; i++) {
    if (i) ld_build_block_begin(b);
    build_embedder(b, own, &own->layers[i].embedder, i);
    if (!i) ld_build_block_begin(b);
    build_layer(b, own, &own->layers[i], i);
    ld_build_block_end(b);
  }
  ld_build_end(b, "num_layers", "transformer_blocks.%d.attn1.to_q.weight", own->n_layers);
}

static dit *build_transformer(ld_builder *b) {
  if (!ld_build_component_begin(b, "transformer", NULL, keys)) return NULL;
  dit *own = b->model->own = ld_build_alloc(b, 1, sizeof *own);
  read_config(b, own);
  if (b->failed) return NULL;
  const int C = own->width;
  float *norm = ld_build_alloc(b, 2 * (size_t)C, sizeof *norm);
  for (int i = 0; i < C; i++) norm[i] = 1;
  own->ones = norm;
  own->zeros = norm + C;
  b->depth_key = "num_layers";
  ld_build_convolution(b, &own->patches, own->channels, C,
                       (ld_kernel){own->patch, own->patch, own->patch, 0, 0}, true, "pos_embed.proj");
  build_layers(b, own);
  ld_build_block_begin(b);
  ld_build_linear(b, &own->modulation, C, 2 * C, true, "proj_out_1");
  ld_build_linear(b, &own->out, C, own->patch * own->patch * own->outputs, true, "proj_out_2");
  ld_build_block_end(b);
  ld_build_component_end(b);
  return own;
}

/* A pass. */
typedef struct pass {
  const dit *own;
  ld_tape *tape;
  const ld_batch *batch;
  ld_tensor *times;        /* (B, TIME_WIDTH) sines and cosines */
  const ld_field *classes; /* (B) */
  const ld_field *patches; /* a segment for each picture */
  int n_patches;           /* of a picture */
} pass;

static ld_tensor *embed(const pass *p, const embedder *e) {
  ld_tape *tape = p->tape;
  ld_tensor *class = ld_op_embedding(tape, p->classes, &(ld_embedding){.words = &e->classes, .padding = -1});
  ld_tensor *h = ld_op_activation(tape, ld_op_linear(tape, p->times, &e->time1, p->batch), LD_SILU);
  return ld_op_activation(tape, ld_op_linear_accumulate(tape, class, h, &e->time2, p->batch), LD_SILU);
}

/* norm(x) (1 + scale) + shift, which are the columns from `first` on of what a modulation gives. */
static ld_tensor *modulate(const pass *p, ld_tensor *x, ld_tensor *modulation, int first) {
  const int C = p->own->width;
  ld_tensor *shift = ld_tape_columns(p->tape, modulation, first * C, C);
  ld_tensor *scale = ld_tape_columns(p->tape, modulation, (first + 1) * C, C);
  return ld_op_modulate(p->tape, x, shift, scale, p->n_patches);
}

static ld_tensor *add_gated(const pass *p, ld_tensor *x, ld_tensor *h, ld_tensor *modulation, int at) {
  ld_tensor *gate = ld_tape_columns(p->tape, modulation, at * p->own->width, p->own->width);
  return ld_op_gate_accumulate(p->tape, x, h, gate, p->n_patches);
}

static ld_tensor *run_layer(const pass *p, const layer *l, ld_tensor *x, ld_tensor *c) {
  ld_tape *tape = p->tape;
  const dit *own = p->own;
  ld_tensor *modulation = ld_op_linear(tape, c, &l->modulation, p->batch);
  ld_tensor *h = modulate(p, ld_op_layer_norm(tape, x, own->ones, own->zeros, 1e-6f), modulation, 0);
  ld_tensor *q = ld_op_linear(tape, h, &l->q, p->batch);
  ld_tensor *k = ld_op_linear(tape, h, &l->k, p->batch);
  ld_tensor *v = ld_op_linear(tape, h, &l->v, p->batch);
  h = ld_op_attention(tape, q, k, v, &own->attention, p->patches, p->patches);
  x = add_gated(p, x, ld_op_linear(tape, h, &l->out, p->batch), modulation, 2);
  h = modulate(p, ld_op_layer_norm(tape, x, l->weight, l->bias, own->eps), modulation, 3);
  h = ld_op_activation(tape, ld_op_linear(tape, h, &l->up, p->batch), own->activation);
  return add_gated(p, x, ld_op_linear(tape, h, &l->down, p->batch), modulation, 5);
}

static ld_tensor *run_layers(const pass *p, ld_tensor *x, ld_tensor *first) {
  const dit *own = p->own;
  for (int i = 0; i < own->n_layers; i++) {
    ld_tape_block_begin(p->tape);
    x = run_layer(p, &own->layers[i], x, i ? embed(p, &own->layers[i].embedder) : first);
    ld_tape_block_end(p->tape, LD_TENSORS(x));
  }
  return x;
}

static pass begin(const dit *own, ld_tape *tape, const ld_batch *batch, ld_maps patches,
                  const int32_t *classes) {
  ld_field *field = ld_tape_record(tape, sizeof *field);
  *field = (ld_field){.name = LD_CLASSES, .n_rows = patches.n, .ids = classes};
  return (pass){.own = own,
                .tape = tape,
                .batch = batch,
                .classes = field,
                .patches = ld_pixel_rows(tape, patches),
                .n_patches = patches.height * patches.width};
}

static ld_maps denoise(const ld_model *model, ld_tape *tape, ld_maps maps, const float *times,
                       const ld_condition *condition, const ld_batch *batch) {
  const dit *own = model->own;
  const ld_maps patches = ld_op_convolution(tape, maps, &own->patches, batch);
  pass p = begin(own, tape, batch, patches, condition->classes);
  ld_tensor *x = ld_op_rows_of_maps(tape, patches);
  const int side = own->size / own->patch; /* of its training, in whole patches */
  x = ld_op_add_grid(tape, x, patches.height, patches.width, (float)side);
  p.times = ld_op_sinusoids(tape, times, maps.n, TIME_WIDTH, true, 1, 1);
  ld_tensor *c = embed(&p, &own->layers[0].embedder);
  x = run_layers(&p, x, c);
  ld_tape_block_begin(tape);
  ld_tensor *modulation = ld_op_linear(tape, c, &own->modulation, batch);
  x = modulate(&p, ld_op_layer_norm(tape, x, own->ones, own->zeros, 1e-6f), modulation, 0);
  x = ld_op_linear(tape, x, &own->out, batch);
  const ld_maps y = ld_op_unpatch(tape, x, patches.n, patches.height, patches.width, own->patch);
  ld_tape_block_end(tape, LD_TENSORS(y.x));
  return y;
}

static ld_condition condition(const ld_model *model, ld_tape *tape, const ld_batch *batch) {
  (void)model;
  (void)tape;
  return (ld_condition){.classes = ld_batch_field(batch, LD_CLASSES)->ids};
}

static void check_vae(ld_builder *b, const dit *own, const ld_vae *vae) {
  ld_build_component_begin(b, "transformer", NULL, keys);
  if (own->channels != ld_vae_channels(vae))
    ld_build_refuse(b, "in_channels", "(%d) is not the number of the autoencoder's channels (%d)",
                    own->channels, ld_vae_channels(vae));
  ld_build_component_end(b);
}

static void build(ld_builder *b) {
  ld_model *model = b->model;
  dit *own = build_transformer(b);
  ld_build_need(b, own, "transformer");
  const ld_vae *vae = ld_vae_build(b);
  ld_build_need(b, vae, "vae");
  if (!b->failed) check_vae(b, own, vae);
  if (b->failed) return;
  ld_build_diffusion(b, vae,
                     &(ld_diffusion){.channels = own->channels,
                                     .outputs = own->outputs,
                                     .size = own->size,
                                     .multiple = own->patch,
                                     .n_classes = own->n_classes,
                                     .null_class = own->n_classes,
                                     .guidance = 4,
                                     .condition = condition,
                                     .denoise = denoise});
  model->width = own->width;
  model->n_blocks = own->n_layers;
  model->head = &own->out;
}

const ld_family ld_dit = {
    .model_type = "DiTPipeline",
    .architectures = {"DiTPipeline"},
    .keys = {NULL},
    .default_targets = "to_q,to_k,to_v,to_out.0",
    .head = LD_HEAD_NOISE,
    .input = LD_IMAGE,
    .build = build,
};
