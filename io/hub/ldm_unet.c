/* The UNet. The first layout numbers its blocks through, a step of the U at a time: io/hub/kohya_names.c draws
 * the steps beside the blocks. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/hub/ldm_parts.h"

enum { MOST_UNITS = 6, HEAD = 64, HEADS_OF_FIRST = 8 };

/* Layers of the transformer that stands at the path, if any. */
static int read_layers(ld_ldm_list *list, ld_ldm_unet *unet, const char *path) {
  if (!ld_ldm_has(list, "%s.transformer_blocks.", path)) return 0;
  char *format = ld_format("%s.transformer_blocks.%%d.", path);
  const int n = ld_ldm_count(list, 0, format);
  free(format);
  if (!n) {
    ld_ldm_fail(list, LD_EFORMAT, "the tensor '%s%s.transformer_blocks.0.norm1.weight' is missing",
                list->prefix, path);
    return 0;
  }
  unet->linear = ld_ldm_rank(list, "%s.proj_in.weight", path) == 2;
  unet->context = ld_ldm_size(list, 1, "%s.transformer_blocks.0.attn2.to_k.weight", path);
  return n;
}

/* A step with a resnet, the `unit`-th of its level. */
static void read_step(ld_ldm_list *list, ld_ldm_unet *unet, int level, int unit, int step) {
  char *path = ld_format("input_blocks.%d.1", step);
  if (!unit) unet->widths[level] = ld_ldm_size(list, 0, "input_blocks.%d.0.in_layers.2.weight", step);
  if (!unit) unet->layers[level] = read_layers(list, unet, path);
  free(path);
}

/* The way down, in which a step without a resnet halves the maps and ends a level. */
static void read_levels(ld_ldm_list *list, ld_ldm_unet *unet) {
  const int steps = ld_ldm_count(list, 0, "input_blocks.%d.");
  int level = 0, unit = 0;
  for (int step = 1; step < steps && !list->failed; step++) {
    if (!ld_ldm_has(list, "input_blocks.%d.0.op.", step)) {
      if (unit == MOST_UNITS)
        ld_ldm_fail(list, LD_EUNSUPPORTED, "its UNet has more than %d blocks in a level", MOST_UNITS);
      else
        read_step(list, unet, level, unit++, step);
      continue;
    }
    if (!level) unet->units = unit;
    unit = 0;
    if (++level == LD_LDM_LEVELS)
      ld_ldm_fail(list, LD_EUNSUPPORTED, "its UNet has more than %d levels", LD_LDM_LEVELS);
  }
  if (!level) unet->units = unit;
  unet->n_levels = level + 1;
  if (!list->failed && (!unit || !unet->units))
    ld_ldm_fail(list, LD_EFORMAT, "the tensor '%sinput_blocks.%d.0.in_layers.2.weight' is missing: %s",
                list->prefix, steps, "the file is incomplete, or of an unknown model");
}

/* How many heads there are cannot be seen: always 8 in the first version, later heads of 64 numbers. */
static void find_heads(ld_ldm_list *list, ld_ldm_unet *unet) {
  for (int i = 0; i < unet->n_levels && !list->failed; i++) {
    const int width = unet->widths[i];
    unet->heads[i] = unet->linear ? width / HEAD : HEADS_OF_FIRST;
    if (width % (unet->linear ? HEAD : HEADS_OF_FIRST))
      ld_ldm_fail(list, LD_EUNSUPPORTED, "its UNet is %d channels wide, which are no heads of a known model",
                  width);
  }
}

static void read_shape(ld_ldm_list *list, ld_ldm_unet *unet) {
  unet->channels = ld_ldm_size(list, 1, "input_blocks.0.0.weight");
  unet->outputs = ld_ldm_size(list, 0, "out.2.weight");
  read_levels(list, unet);
  if (!list->failed) unet->middle_layers = read_layers(list, unet, "middle_block.1");
  if (ld_ldm_has(list, "label_emb.")) unet->added = ld_ldm_size(list, 1, "label_emb.0.0.weight");
  if (!list->failed && !unet->context) ld_ldm_fail(list, LD_EUNSUPPORTED, "its UNet reads no text");
  find_heads(list, unet);
}

static void take_resnet(ld_ldm_list *list, const ld_ldm_unet *unet, int in, int out, ld_ldm_at at) {
  ld_ldm_norm(list, in, at, "norm1", "in_layers.0");
  ld_ldm_conv(list, in, out, 3, at, "conv1", "in_layers.2");
  ld_ldm_linear(list, 4 * unet->widths[0], out, true, at, "time_emb_proj", "emb_layers.1");
  ld_ldm_norm(list, out, at, "norm2", "out_layers.0");
  ld_ldm_conv(list, out, out, 3, at, "conv2", "out_layers.3");
  if (in != out) ld_ldm_conv(list, in, out, 1, at, "conv_shortcut", "skip_connection");
}

/* Both layouts have the same names from here on. */
static void take_attention(ld_ldm_list *list, int C, int context, ld_ldm_at at, const char *name) {
  char *q = ld_format("%s.to_q", name), *k = ld_format("%s.to_k", name), *v = ld_format("%s.to_v", name),
       *out = ld_format("%s.to_out.0", name);
  ld_ldm_linear(list, C, C, false, at, q, q);
  ld_ldm_linear(list, context, C, false, at, k, k);
  ld_ldm_linear(list, context, C, false, at, v, v);
  ld_ldm_linear(list, C, C, true, at, out, out);
  free(q), free(k), free(v), free(out);
}

static void take_layer(ld_ldm_list *list, int C, int context, ld_ldm_at above, int i) {
  char *to = ld_format("%s.transformer_blocks.%d", above.to, i),
       *from = ld_format("%s.transformer_blocks.%d", above.from, i);
  const ld_ldm_at at = {to, from};
  take_attention(list, C, C, at, "attn1");
  take_attention(list, C, context, at, "attn2");
  ld_ldm_linear(list, C, 8 * C, true, at, "ff.net.0.proj", "ff.net.0.proj");
  ld_ldm_linear(list, 4 * C, C, true, at, "ff.net.2", "ff.net.2");
  ld_ldm_norm(list, C, at, "norm1", "norm1");
  ld_ldm_norm(list, C, at, "norm2", "norm2");
  ld_ldm_norm(list, C, at, "norm3", "norm3");
  free(to);
  free(from);
}

static void take_projection(ld_ldm_list *list, const ld_ldm_unet *unet, int C, ld_ldm_at at,
                            const char *name) {
  if (unet->linear)
    ld_ldm_linear(list, C, C, true, at, name, name);
  else
    ld_ldm_conv(list, C, C, 1, at, name, name);
}

static void take_transformer(ld_ldm_list *list, const ld_ldm_unet *unet, int C, int layers, ld_ldm_at at) {
  ld_ldm_norm(list, C, at, "norm", "norm");
  take_projection(list, unet, C, at, "proj_in");
  for (int i = 0; i < layers && !list->failed; i++) take_layer(list, C, unet->context, at, i);
  take_projection(list, unet, C, at, "proj_out");
}

/* A resnet of a level and the transformer after it: the k-th of `block` in diffusers' layout. */
typedef struct unit {
  const char *block; /* "down_blocks.0" */
  int k;
  const char *steps; /* "input_blocks" */
  int step, in, level;
} unit;

static void take_unit(ld_ldm_list *list, const ld_ldm_unet *unet, const unit *u) {
  char *resnet = ld_format("%s.resnets.%d", u->block, u->k),
       *attention = ld_format("%s.attentions.%d", u->block, u->k);
  char *first = ld_format("%s.%d.0", u->steps, u->step), *second = ld_format("%s.%d.1", u->steps, u->step);
  const int C = unet->widths[u->level];
  take_resnet(list, unet, u->in, C, (ld_ldm_at){resnet, first});
  if (unet->layers[u->level])
    take_transformer(list, unet, C, unet->layers[u->level], (ld_ldm_at){attention, second});
  free(resnet), free(attention), free(first), free(second);
}

static void take_down(ld_ldm_list *list, const ld_ldm_unet *unet) {
  int step = 1, in = unet->widths[0];
  for (int i = 0; i < unet->n_levels && !list->failed; i++) {
    char *block = ld_format("down_blocks.%d", i);
    for (int k = 0; k < unet->units && !list->failed; k++, in = unet->widths[i])
      take_unit(list, unet, &(unit){block, k, "input_blocks", step++, in, i});
    char *from = ld_format("input_blocks.%d.0", step);
    if (i + 1 < unet->n_levels) {
      ld_ldm_conv(list, in, in, 3, (ld_ldm_at){block, from}, "downsamplers.0.conv", "op");
      step++;
    }
    free(block);
    free(from);
  }
}

static void take_middle(ld_ldm_list *list, const ld_ldm_unet *unet) {
  const int C = unet->widths[unet->n_levels - 1];
  take_resnet(list, unet, C, C, (ld_ldm_at){"mid_block.resnets.0", "middle_block.0"});
  take_transformer(list, unet, C, unet->middle_layers,
                   (ld_ldm_at){"mid_block.attentions.0", "middle_block.1"});
  take_resnet(list, unet, C, C, (ld_ldm_at){"mid_block.resnets.1", "middle_block.2"});
}

/* Each resnet on the way up reads a skipped output of the way down as well; the last of a level one from above. */
static void take_up(ld_ldm_list *list, const ld_ldm_unet *unet) {
  int step = 0, before = unet->widths[unet->n_levels - 1];
  for (int i = 0; i < unet->n_levels && !list->failed; i++) {
    const int level = unet->n_levels - 1 - i, C = unet->widths[level],
              above = unet->widths[level ? level - 1 : 0];
    char *block = ld_format("up_blocks.%d", i);
    for (int k = 0; k <= unet->units && !list->failed; k++, before = C)
      take_unit(list, unet,
                &(unit){block, k, "output_blocks", step++, before + (k < unet->units ? C : above), level});
    char *from = ld_format("output_blocks.%d.%d", step - 1, unet->layers[level] ? 2 : 1);
    if (level) ld_ldm_conv(list, C, C, 3, (ld_ldm_at){block, from}, "upsamplers.0.conv", "conv");
    free(block);
    free(from);
  }
}

void ld_ldm_unet_read(ld_ldm_list *list, ld_ldm_unet *unet) {
  const ld_ldm_at top = {"", ""};
  read_shape(list, unet);
  if (list->failed) return;
  const int C = unet->widths[0], wide = 4 * C;
  ld_ldm_conv(list, unet->channels, C, 3, top, "conv_in", "input_blocks.0.0");
  ld_ldm_linear(list, C, wide, true, top, "time_embedding.linear_1", "time_embed.0");
  ld_ldm_linear(list, wide, wide, true, top, "time_embedding.linear_2", "time_embed.2");
  if (unet->added) {
    ld_ldm_linear(list, unet->added, wide, true, top, "add_embedding.linear_1", "label_emb.0.0");
    ld_ldm_linear(list, wide, wide, true, top, "add_embedding.linear_2", "label_emb.0.2");
  }
  take_down(list, unet);
  take_middle(list, unet);
  take_up(list, unet);
  ld_ldm_norm(list, C, top, "conv_norm_out", "out.0");
  ld_ldm_conv(list, C, unet->outputs, 3, top, "conv_out", "out.2");
}

void ld_ldm_put_sizes(ld_text *out, const char *key, const int *sizes, int n) {
  ld_text_printf(out, "  \"%s\": [", key);
  for (int i = 0; i < n; i++) ld_text_printf(out, "%s%d", i ? ", " : "", sizes[i]);
  ld_text_puts(out, "],\n");
}

static void put_types(ld_text *out, const ld_ldm_unet *unet, const char *key, const char *direction,
                      bool up) {
  ld_text_printf(out, "  \"%s\": [", key);
  for (int i = 0; i < unet->n_levels; i++)
    ld_text_printf(out, "%s\"%s%sBlock2D\"", i ? ", " : "",
                   unet->layers[up ? unet->n_levels - 1 - i : i] ? "CrossAttn" : "", direction);
  ld_text_puts(out, "],\n");
}

/* A level without attention has no layers to count; the last one's number is that of the middle. */
static void put_layers(ld_text *out, const ld_ldm_unet *unet) {
  int layers[LD_LDM_LEVELS], most = 1;
  for (int i = 0; i < unet->n_levels; i++) {
    layers[i] = unet->layers[i] ? unet->layers[i] : 1;
    if (i == unet->n_levels - 1) layers[i] = unet->middle_layers;
    if (layers[i] > most) most = layers[i];
  }
  if (most > 1) ld_ldm_put_sizes(out, "transformer_layers_per_block", layers, unet->n_levels);
}

static void put_additions(ld_text *out, const ld_ldm_unet *unet) {
  if (!unet->added) return;
  ld_text_puts(out, "  \"addition_embed_type\": \"text_time\",\n");
  ld_text_printf(out, "  \"addition_time_embed_dim\": %d,\n", LD_LDM_SIZE_WIDTH);
  ld_text_printf(out, "  \"projection_class_embeddings_input_dim\": %d,\n", unet->added);
}

void ld_ldm_unet_config(const ld_ldm_unet *unet, int size, bool upcast, ld_text *out) {
  ld_text_puts(out, "{\n  \"_class_name\": \"UNet2DConditionModel\",\n");
  ld_text_puts(out, "  \"_diffusers_version\": \"" LD_LDM_VERSION "\",\n  \"act_fn\": \"silu\",\n");
  put_additions(out, unet);
  if (unet->linear)
    ld_ldm_put_sizes(out, "attention_head_dim", unet->heads, unet->n_levels);
  else
    ld_text_printf(out, "  \"attention_head_dim\": %d,\n", HEADS_OF_FIRST);
  ld_ldm_put_sizes(out, "block_out_channels", unet->widths, unet->n_levels);
  ld_text_printf(out, "  \"center_input_sample\": false,\n  \"cross_attention_dim\": %d,\n", unet->context);
  put_types(out, unet, "down_block_types", "Down", false);
  ld_text_puts(out, "  \"downsample_padding\": 1,\n  \"flip_sin_to_cos\": true,\n  \"freq_shift\": 0,\n");
  ld_text_printf(out, "  \"in_channels\": %d,\n  \"layers_per_block\": %d,\n", unet->channels, unet->units);
  ld_text_puts(out, "  \"mid_block_scale_factor\": 1,\n  \"norm_eps\": 1e-05,\n  \"norm_num_groups\": 32,\n");
  ld_text_printf(out, "  \"out_channels\": %d,\n  \"sample_size\": %d,\n", unet->outputs, size);
  put_layers(out, unet);
  put_types(out, unet, "up_block_types", "Up", true);
  if (upcast) ld_text_puts(out, "  \"upcast_attention\": true,\n");
  ld_text_printf(out, "  \"use_linear_projection\": %s\n}\n", unet->linear ? "true" : "false");
}
