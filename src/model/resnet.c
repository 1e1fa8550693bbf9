/* ResNet (He et al., "Deep Residual Learning for Image Recognition", 2015): a stem, layers of two 3x3
 * convolutions or of 1x1, 3x3, 1x1, each convolution with its batch normalisation, and a linear layer on the
 * means of the last maps. The normalisations keep their running mean and variance, so each is one factor and
 * one summand per channel.
 *
 * Names of tensors are those of transformers, of torchvision, or of the networks for CIFAR (section 4.2 of
 * the paper: three stages of 16, 32 and 64 channels, no pooling in the stem). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/build.h"
#include "model/families.h"
#include "nn/ops.h"

enum { MAX_UNITS = 3, MAX_STAGES = 8, PATH = 128 };

/* A convolution and the normalisation after it. */
typedef struct unit {
  ld_linear convolution;
  float *scale, *shift; /* (out) */
} unit;

enum shortcut { IDENTITY, PROJECTION, SUBSAMPLING };

typedef struct resnet_layer {
  int n_units;
  unit units[MAX_UNITS], projection;
  enum shortcut shortcut;
} resnet_layer;

typedef enum scheme { TRANSFORMERS, TORCHVISION, CIFAR } scheme;

typedef struct resnet {
  scheme scheme;
  enum ld_activation activation;
  bool pools; /* after the stem */
  unit stem;
  resnet_layer *layers;
  ld_linear head;
} resnet;

/* What the layers are built from. */
typedef struct plan {
  int n_stages, widths[MAX_STAGES], depths[MAX_STAGES], first_stride;
  bool bottleneck, early_stride; /* the 1x1 convolution has the stride, not the 3x3 one */
  enum shortcut shortcut;        /* where sizes change */
} plan;

static ld_kernel square(int size, int stride) {
  return (ld_kernel){size, size, stride, size / 2, 0};
}

static void build_unit(ld_builder *b, unit *u, int in, int out, ld_kernel kernel, const char *convolution,
                       const char *norm) {
  ld_build_convolution(b, &u->convolution, in, out, kernel, false, "%s", convolution);
  const float *weight = ld_build_vector(b, out, "%s.weight", norm),
              *bias = ld_build_vector(b, out, "%s.bias", norm);
  const float *mean = ld_build_vector(b, out, "%s.running_mean", norm);
  const float *variance = ld_build_vector(b, out, "%s.running_var", norm);
  if (b->failed) return;
  b->model->n_parameters -= 2 * out; /* mean and variance are not parameters */
  u->scale = ld_build_alloc(b, (size_t)out, sizeof *u->scale);
  u->shift = ld_build_alloc(b, (size_t)out, sizeof *u->shift);
  for (int c = 0; c < out; c++) {
    const double scale = (double)weight[c] / sqrt((double)variance[c] + 1e-5);
    u->scale[c] = (float)scale;
    u->shift[c] = (float)((double)bias[c] - (double)mean[c] * scale);
  }
}

static void name_unit(scheme names, int stage, int index, int k, char *convolution, char *norm) {
  if (names == TRANSFORMERS) {
    snprintf(convolution, PATH, "resnet.encoder.stages.%d.layers.%d.layer.%d.convolution", stage, index, k);
    snprintf(norm, PATH, "resnet.encoder.stages.%d.layers.%d.layer.%d.normalization", stage, index, k);
  } else {
    snprintf(convolution, PATH, "layer%d.%d.conv%d", stage + 1, index, k + 1);
    snprintf(norm, PATH, "layer%d.%d.bn%d", stage + 1, index, k + 1);
  }
}

static void name_projection(scheme names, int stage, int index, char *convolution, char *norm) {
  if (names == TRANSFORMERS) {
    snprintf(convolution, PATH, "resnet.encoder.stages.%d.layers.%d.shortcut.convolution", stage, index);
    snprintf(norm, PATH, "resnet.encoder.stages.%d.layers.%d.shortcut.normalization", stage, index);
  } else {
    const char *part = names == CIFAR ? "shortcut" : "downsample";
    snprintf(convolution, PATH, "layer%d.%d.%s.0", stage + 1, index, part);
    snprintf(norm, PATH, "layer%d.%d.%s.1", stage + 1, index, part);
  }
}

static void build_layer(ld_builder *b, const resnet *own, const plan *p, resnet_layer *l, int in, int stage,
                        int index) {
  char convolution[PATH], norm[PATH];
  const int out = p->widths[stage], inner = p->bottleneck ? out / 4 : out;
  const int stride = index ? 1 : stage ? 2 : p->first_stride;
  l->n_units = p->bottleneck ? 3 : 2;
  ld_build_block_begin(b);
  for (int k = 0; k < l->n_units; k++) {
    const bool strides = k == (p->bottleneck && !p->early_stride);
    const int kernel = p->bottleneck && k != 1 ? 1 : 3;
    name_unit(own->scheme, stage, index, k, convolution, norm);
    build_unit(b, &l->units[k], k ? inner : in, k == l->n_units - 1 ? out : inner,
               square(kernel, strides ? stride : 1), convolution, norm);
  }
  l->shortcut = in != out || stride != 1 ? p->shortcut : IDENTITY;
  if (l->shortcut == PROJECTION) {
    name_projection(own->scheme, stage, index, convolution, norm);
    build_unit(b, &l->projection, in, out, square(1, stride), convolution, norm);
  }
  ld_build_block_end(b);
}

static void build_layers(ld_builder *b, resnet *own, const plan *p, int in) {
  int n = 0;
  for (int stage = 0; stage < p->n_stages; stage++) n += p->depths[stage];
  b->model->n_blocks = n;
  b->model->width = p->widths[p->n_stages - 1];
  if (b->failed) return;
  resnet_layer *l = own->layers = ld_build_alloc(b, (size_t)n, sizeof *own->layers);
  for (int stage = 0; stage < p->n_stages; stage++)
    for (int index = 0; index < p->depths[stage] && !b->failed; index++, in = p->widths[stage])
      build_layer(b, own, p, l++, in, stage, index);
  for (int stage = 0; stage <= p->n_stages; stage++) {
    char convolution[PATH], norm[PATH];
    name_unit(own->scheme, stage, stage < p->n_stages ? p->depths[stage] : 0, 0, convolution, norm);
    ld_build_end(b, own->scheme == CIFAR ? "depth" : "depths", "%s.weight", convolution);
  }
}

static void build_head(ld_builder *b, resnet *own, const char *path) {
  const int n = ld_build_outputs(b);
  ld_build_new_linear(b, &own->head, b->model->width, n, (ld_new_weights){b->request.fresh, 0}, "%s", path);
  b->model->head = &own->head;
}

static resnet *begin(ld_builder *b, scheme names, int image_size) {
  resnet *own = b->model->own = ld_build_alloc(b, 1, sizeof *own);
  own->scheme = names;
  b->model->channels = ld_build_size(b, "num_channels", 3);
  b->model->image_size = image_size;
  if (b->model->channels != 1 && b->model->channels != 3)
    ld_build_refuse(b, "num_channels", "must be 1 (grey) or 3 (colours), not %d", b->model->channels);
  return own;
}

static const ld_key keys[] = {
    {"depths", LD_TAKES_INTEGERS, NULL},
    {"downsample_in_bottleneck", LD_TAKES_FLAG, NULL},
    {"downsample_in_first_stage", LD_TAKES_FLAG, NULL},
    {"embedding_size", LD_TAKES_INTEGER, NULL},
    {"hidden_act", LD_TAKES_STRING, NULL},
    {"hidden_sizes", LD_TAKES_INTEGERS, NULL},
    {"layer_type", LD_TAKES_STRING, NULL},
    {"num_channels", LD_TAKES_INTEGER, NULL},
    {"out_features", LD_TAKES_STRINGS | LD_TAKES_NULL, NULL},
    {"out_indices", LD_TAKES_INTEGERS | LD_TAKES_NULL, NULL},
    {NULL, 0, NULL},
};

static const ld_key cifar_keys[] = {
    {"depth", LD_TAKES_INTEGER, NULL},
    {"num_channels", LD_TAKES_INTEGER, NULL},
    {"shortcut", LD_TAKES_STRING, NULL},
    {NULL, 0, NULL},
};

/* out_features and out_indices say which stages a detector would read, and do not affect a classifier. But
 * transformers requires both to name the same ones: "stem" is 0, "stage1" 1. */
static void check_stages(ld_builder *b, int n_stages) {
  const ld_value *names = ld_value_get(b->config, "out_features");
  const ld_value *indices = ld_value_get(b->config, "out_indices");
  for (size_t i = 0; indices && i < indices->n_items; i++)
    if (indices->items[i].integer > n_stages || indices->items[i].integer < -n_stages - 1)
      ld_build_refuse(b, "out_indices", "has %lld, but depths has %d stages",
                      (long long)indices->items[i].integer, n_stages);
  bool same = !names || !indices || names->n_items == indices->n_items;
  for (size_t i = 0; names && i < names->n_items; i++) {
    int stage = 0;
    const char *name = names->items[i].string;
    if (strcmp(name, "stem") && (sscanf(name, "stage%9d", &stage) != 1 || stage < 1 || stage > n_stages))
      ld_build_refuse(b, "out_features", "has \"%.64s\", which is not a stage", name);
    const int64_t index = same && indices ? indices->items[i].integer : stage;
    same = same && (index == stage || index + n_stages + 1 == stage);
  }
  if (!same) ld_build_refuse(b, "out_features", "and out_indices name different stages");
}

static void build_resnet(ld_builder *b) {
  const bool torchvision =
      ld_build_there(b, "conv1.weight") && !ld_build_there(b, "resnet.embedder.embedder.convolution.weight");
  resnet *own = begin(b, torchvision ? TORCHVISION : TRANSFORMERS, 224);
  plan p = {.n_stages = 4, .widths = {256, 512, 1024, 2048}, .depths = {3, 4, 6, 3}, .shortcut = PROJECTION};
  const int n_depths = ld_build_sizes(b, "depths", p.depths, p.n_stages, MAX_STAGES);
  p.n_stages = ld_build_sizes(b, "hidden_sizes", p.widths, p.n_stages, MAX_STAGES);
  const int stem = ld_build_size(b, "embedding_size", 64);
  const char *type = ld_build_string(b, "layer_type", "bottleneck");
  p.bottleneck = type && !strcmp(type, "bottleneck");
  p.early_stride = ld_build_flag(b, "downsample_in_bottleneck", false);
  p.first_stride = ld_build_flag(b, "downsample_in_first_stage", false) ? 2 : 1;
  own->activation = ld_build_activation(b, "hidden_act", "relu");
  own->pools = true;
  b->depth_key = "depths or layer_type";
  if (!p.bottleneck && (!type || strcmp(type, "basic") != 0))
    ld_build_refuse(b, "layer_type", "must be \"basic\" or \"bottleneck\"");
  check_stages(b, n_depths);
  for (int i = 0; i < p.n_stages; i++) {
    ld_build_name_size(b, "hidden_sizes", p.widths[i]);
    if (p.bottleneck && p.widths[i] % 4)
      ld_build_refuse(b, "hidden_sizes", "must be multiples of 4 with bottleneck layers, not %d",
                      p.widths[i]);
    ld_build_name_size(b, "hidden_sizes by layer_type", p.bottleneck ? p.widths[i] / 4 : p.widths[i]);
  }
  if (n_depths != p.n_stages)
    ld_build_refuse(b, "depths", "has %d stages, but hidden_sizes has %d", n_depths, p.n_stages);
  b->model->default_targets =
      torchvision ? p.bottleneck ? "conv1,conv2,conv3" : "conv1,conv2" : "convolution";
  b->model->default_whole = torchvision ? "fc" : "classifier";
  build_unit(b, &own->stem, b->model->channels, stem, square(7, 2),
             torchvision ? "conv1" : "resnet.embedder.embedder.convolution",
             torchvision ? "bn1" : "resnet.embedder.embedder.normalization");
  build_layers(b, own, &p, stem);
  build_head(b, own, torchvision ? "fc" : "classifier.1");
}

static void build_resnet_cifar(ld_builder *b) {
  resnet *own = begin(b, CIFAR, 32);
  const int depth = ld_build_size(b, "depth", 0), n = (depth - 2) / 6;
  const char *shortcut = ld_build_string(b, "shortcut", "A");
  if (depth < 8 || (depth - 2) % 6)
    ld_build_refuse(b, "depth", "must be 6 n + 2 (20, 32, 44, 56, 110), not %d", depth);
  if (strcmp(shortcut, "A") != 0 && strcmp(shortcut, "B") != 0)
    ld_build_refuse(b, "shortcut",
                    "must be \"A\" (subsampled, zero channels) or \"B\" (1x1 convolution), not \"%s\"",
                    shortcut);
  const plan p = {.n_stages = 3,
                  .widths = {16, 32, 64},
                  .depths = {n, n, n},
                  .first_stride = 1,
                  .shortcut = *shortcut == 'A' ? SUBSAMPLING : PROJECTION};
  own->activation = LD_RELU;
  build_unit(b, &own->stem, b->model->channels, 16, square(3, 1), "conv1", "bn1");
  build_layers(b, own, &p, 16);
  build_head(b, own, "linear");
}

/* Convolution, normalisation, the sum with `residual` (if it has maps), and the activation. */
static ld_maps unit_forward(ld_tape *t, const unit *u, ld_maps x, ld_maps residual,
                            enum ld_activation activation, const ld_batch *batch) {
  const bool relu = activation == LD_RELU;
  x = ld_op_convolution_affine(t, x, &u->convolution, &(ld_affine){u->scale, u->shift, residual, relu},
                               batch);
  if (!relu && activation != LD_IDENTITY) x.x = ld_op_activation(t, x.x, activation);
  return x;
}

/* The config's activation comes after the sum; between the units it is always ReLU, as in transformers. */
static ld_maps layer_forward(ld_tape *t, const resnet *own, const resnet_layer *l, ld_maps x,
                             const ld_batch *batch) {
  const ld_maps none = {0};
  const int last = l->n_units - 1;
  ld_maps residual = x;
  if (l->shortcut == PROJECTION) residual = unit_forward(t, &l->projection, x, none, LD_IDENTITY, batch);
  if (l->shortcut == SUBSAMPLING) residual = ld_op_subsample(t, x, l->units[last].convolution.out);
  for (int k = 0; k < last; k++) x = unit_forward(t, &l->units[k], x, none, LD_RELU, batch);
  return unit_forward(t, &l->units[last], x, residual, own->activation, batch);
}

static ld_tensor *features(const ld_model *model, ld_tape *t, const ld_batch *batch) {
  const resnet *own = model->own;
  ld_maps x = unit_forward(t, &own->stem, ld_op_images(t, ld_batch_field(batch, LD_IMAGE)), (ld_maps){0},
                           own->activation, batch);
  if (own->pools) x = ld_op_max_pool(t, x, 3, 2, 1);
  for (int i = 0; i < model->n_blocks; i++) {
    ld_tape_block_begin(t);
    x = layer_forward(t, own, &own->layers[i], x, batch);
    ld_tape_block_end(t, LD_TENSORS(x.x));
  }
  return ld_op_mean_pool(t, x);
}

const ld_family ld_resnet = {
    .model_type = "resnet",
    .architectures = {"ResNetForImageClassification", "ResNetModel", "ResNetBackbone", "ResNet"},
    .keys = {keys},
    .body = "resnet",
    .head = LD_HEAD_RECORD,
    .input = LD_IMAGE,
    .image_processor = "ConvNextImageProcessor",
    .build = build_resnet,
    .features = features,
};

const ld_family ld_resnet_cifar = {
    .model_type = "resnet_cifar",
    .architectures = {"CifarResNetForImageClassification"},
    .keys = {cifar_keys},
    .default_targets = "conv1,conv2",
    .default_whole = "linear",
    .head = LD_HEAD_RECORD,
    .input = LD_IMAGE,
    .build = build_resnet_cifar,
    .features = features,
};
