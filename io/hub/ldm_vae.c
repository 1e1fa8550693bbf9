/* The autoencoder. In the first layout the levels of the decoder are numbered from the picture's side. */
#include <stdlib.h>

#include "base/memory.h"
#include "io/hub/ldm_parts.h"

static void read_shape(ld_ldm_list *list, ld_ldm_vae *vae) {
  vae->channels = ld_ldm_size(list, 1, "decoder.conv_in.weight");
  vae->pictures = ld_ldm_size(list, 1, "encoder.conv_in.weight");
  vae->n_levels = ld_ldm_count(list, 0, "encoder.down.%d.block.0.");
  vae->units = ld_ldm_count(list, 0, "encoder.down.0.block.%d.");
  if (vae->n_levels < 1 || vae->n_levels > LD_LDM_LEVELS)
    ld_ldm_fail(list, LD_EFORMAT, "'%sencoder.down' must have 1 to %d levels, found %d", list->prefix,
                LD_LDM_LEVELS, vae->n_levels);
  for (int i = 0; i < vae->n_levels && !list->failed; i++)
    vae->widths[i] = ld_ldm_size(list, 0, "encoder.down.%d.block.0.conv1.weight", i);
}

static void take_resnet(ld_ldm_list *list, int in, int out, ld_ldm_at at) {
  ld_ldm_norm(list, in, at, "norm1", "norm1");
  ld_ldm_conv(list, in, out, 3, at, "conv1", "conv1");
  ld_ldm_norm(list, out, at, "norm2", "norm2");
  ld_ldm_conv(list, out, out, 3, at, "conv2", "conv2");
  if (in != out) ld_ldm_conv(list, in, out, 1, at, "conv_shortcut", "nin_shortcut");
}

/* Here 1 x 1 convolutions become linear layers. */
static void take_attention(ld_ldm_list *list, int C, ld_ldm_at at) {
  static const char *const rows[][2] = {
      {"to_q", "q"}, {"to_k", "k"}, {"to_v", "v"}, {"to_out.0", "proj_out"}};
  ld_ldm_norm(list, C, at, "group_norm", "norm");
  for (int i = 0; i < 4; i++) ld_ldm_linear(list, C, C, true, at, rows[i][0], rows[i][1]);
}

static void take_middle(ld_ldm_list *list, int C, const char *coder) {
  static const char *const rows[][2] = {
      {"resnets.0", "block_1"}, {"attentions.0", "attn_1"}, {"resnets.1", "block_2"}};
  for (int i = 0; i < 3; i++) {
    char *to = ld_format("%s.mid_block.%s", coder, rows[i][0]),
         *from = ld_format("%s.mid.%s", coder, rows[i][1]);
    if (i == 1)
      take_attention(list, C, (ld_ldm_at){to, from});
    else
      take_resnet(list, C, C, (ld_ldm_at){to, from});
    free(to);
    free(from);
  }
}

/* The n resnets of a level. */
static void take_level(ld_ldm_list *list, int in, int out, int n, ld_ldm_at above) {
  for (int k = 0; k < n && !list->failed; k++) {
    char *to = ld_format("%s.resnets.%d", above.to, k), *from = ld_format("%s.block.%d", above.from, k);
    take_resnet(list, k ? out : in, out, (ld_ldm_at){to, from});
    free(to);
    free(from);
  }
}

static void take_encoder(ld_ldm_list *list, const ld_ldm_vae *vae) {
  const ld_ldm_at top = {"encoder", "encoder"};
  int in = vae->widths[0];
  ld_ldm_conv(list, vae->pictures, in, 3, top, "conv_in", "conv_in");
  for (int i = 0; i < vae->n_levels && !list->failed; i++) {
    char *to = ld_format("encoder.down_blocks.%d", i), *from = ld_format("encoder.down.%d", i);
    const ld_ldm_at at = {to, from};
    take_level(list, in, vae->widths[i], vae->units, at);
    in = vae->widths[i];
    if (i + 1 < vae->n_levels) ld_ldm_conv(list, in, in, 3, at, "downsamplers.0.conv", "downsample.conv");
    free(to);
    free(from);
  }
  take_middle(list, in, "encoder");
  ld_ldm_norm(list, in, top, "conv_norm_out", "norm_out");
  ld_ldm_conv(list, in, 2 * vae->channels, 3, top, "conv_out", "conv_out");
}

static void take_decoder(ld_ldm_list *list, const ld_ldm_vae *vae) {
  const ld_ldm_at top = {"decoder", "decoder"};
  int in = vae->widths[vae->n_levels - 1];
  ld_ldm_conv(list, vae->channels, in, 3, top, "conv_in", "conv_in");
  take_middle(list, in, "decoder");
  for (int i = 0; i < vae->n_levels && !list->failed; i++) {
    const int level = vae->n_levels - 1 - i;
    char *to = ld_format("decoder.up_blocks.%d", i), *from = ld_format("decoder.up.%d", level);
    const ld_ldm_at at = {to, from};
    take_level(list, in, vae->widths[level], vae->units + 1, at);
    in = vae->widths[level];
    if (level) ld_ldm_conv(list, in, in, 3, at, "upsamplers.0.conv", "upsample.conv");
    free(to);
    free(from);
  }
  ld_ldm_norm(list, in, top, "conv_norm_out", "norm_out");
  ld_ldm_conv(list, in, vae->pictures, 3, top, "conv_out", "conv_out");
}

void ld_ldm_vae_read(ld_ldm_list *list, ld_ldm_vae *vae) {
  const ld_ldm_at top = {"", ""};
  read_shape(list, vae);
  if (list->failed) return;
  take_encoder(list, vae);
  take_decoder(list, vae);
  ld_ldm_conv(list, 2 * vae->channels, 2 * vae->channels, 1, top, "quant_conv", "quant_conv");
  ld_ldm_conv(list, vae->channels, vae->channels, 1, top, "post_quant_conv", "post_quant_conv");
}

static void put_types(ld_text *out, const char *key, const char *type, int n) {
  ld_text_printf(out, "  \"%s\": [", key);
  for (int i = 0; i < n; i++) ld_text_printf(out, "%s\"%s\"", i ? ", " : "", type);
  ld_text_puts(out, "],\n");
}

void ld_ldm_vae_config(const ld_ldm_vae *vae, int size, const char *scaling, bool upcast, ld_text *out) {
  ld_text_puts(out, "{\n  \"_class_name\": \"AutoencoderKL\",\n");
  ld_text_puts(out, "  \"_diffusers_version\": \"" LD_LDM_VERSION "\",\n  \"act_fn\": \"silu\",\n");
  ld_ldm_put_sizes(out, "block_out_channels", vae->widths, vae->n_levels);
  put_types(out, "down_block_types", "DownEncoderBlock2D", vae->n_levels);
  ld_text_printf(out, "  \"force_upcast\": %s,\n", upcast ? "true" : "false");
  ld_text_printf(out, "  \"in_channels\": %d,\n  \"latent_channels\": %d,\n", vae->pictures, vae->channels);
  ld_text_printf(out, "  \"layers_per_block\": %d,\n  \"norm_num_groups\": 32,\n", vae->units);
  ld_text_printf(out, "  \"out_channels\": %d,\n  \"sample_size\": %d,\n", vae->pictures, size);
  ld_text_printf(out, "  \"scaling_factor\": %s,\n", scaling);
  put_types(out, "up_block_types", "UpDecoderBlock2D", vae->n_levels);
  out->length -= 2; /* the last comma */
  ld_text_puts(out, "\n}\n");
}
