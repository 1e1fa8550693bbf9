/* Diffusion models with a UNet, from a diffusers folder.
 *
 *   Stable Diffusion 1 and 2 (Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models",
 *   2022): the latents of an autoencoder, and a text.
 *   SDXL (Podell et al., "SDXL", 2023): the same with two text encoders, whose states stand side by side, and with
 *   the sizes of the pictures.
 *   DDPM (Ho et al., "Denoising Diffusion Probabilistic Models", 2020): pixels, with a class or without. */
#include <string.h>

#include "model/build.h"
#include "model/clip.h"
#include "model/diffusion.h"
#include "model/families.h"
#include "model/unet.h"
#include "model/vae.h"

typedef struct parts {
  ld_unet *unet;
  ld_vae *vae; /* NULL: it works on pixels */
  ld_clip *texts[LD_MOST_TEXT_ENCODERS];
  int n_texts;
} parts;

static ld_maps denoise(const ld_model *model, ld_tape *tape, ld_maps x, const float *times,
                       const ld_condition *condition, const ld_batch *batch) {
  const parts *own = model->own;
  return ld_unet_run(own->unet, tape, x, times, condition, batch);
}

/* The texts as the second tokenizer reads them. */
static const ld_field *second_text(ld_tape *tape, const ld_field *text) {
  ld_field *again = ld_tape_record(tape, sizeof *again);
  *again = *text;
  again->ids = text->types;
  again->types = NULL;
  return again;
}

static ld_condition condition(const ld_model *model, ld_tape *tape, const ld_batch *batch) {
  const parts *own = model->own;
  ld_condition c = {0};
  if (own->n_texts) {
    c.text = ld_batch_field(batch, LD_TEXT);
    const bool two = own->n_texts == 2;
    const ld_clip_wanted wanted = {.last = !two, .before = two};
    const ld_clip_states first = ld_clip_run(own->texts[0], tape, c.text, wanted, batch);
    c.states = two ? first.before : first.last;
  }
  if (own->n_texts == 2) {
    const ld_clip_states second = ld_clip_run(own->texts[1], tape, second_text(tape, c.text),
                                              (ld_clip_wanted){.before = true, .pooled = true}, batch);
    c.states = ld_op_join_columns(tape, c.states, second.before);
    c.pooled = second.pooled;
    c.sizes = ld_batch_field(batch, LD_SIZES)->numbers;
  }
  if (model->diffusion->n_classes) c.classes = ld_batch_field(batch, LD_CLASSES)->ids;
  return c;
}

/* Refuses what the UNet asks for and the folder does not have. */
static void check_parts(ld_builder *b, const parts *own) {
  const int context = ld_unet_context_width(own->unet);
  int width = 0;
  for (int i = 0; i < own->n_texts; i++) width += ld_clip_width(own->texts[i]);
  ld_build_component_begin(b, "unet", NULL, (const ld_key[]){{NULL, 0, NULL}});
  if (context && context != width)
    ld_build_refuse(b, "cross_attention_dim", "(%d) is not the width of the text encoder's states (%d)",
                    context, width);
  if (own->vae && ld_unet_channels(own->unet) != ld_vae_channels(own->vae))
    ld_build_refuse(b, "in_channels", "(%d) is not the number of the autoencoder's channels (%d)",
                    ld_unet_channels(own->unet), ld_vae_channels(own->vae));
  if (!own->vae && ld_unet_channels(own->unet) != 3 && ld_unet_channels(own->unet) != 1)
    ld_build_refuse(b, "in_channels", "(%d) must be 1 (grey) or 3 (colours) without an autoencoder",
                    ld_unet_channels(own->unet));
  if (ld_unet_size_width(own->unet) &&
      (own->n_texts != 2 || ld_unet_added_width(own->unet) != ld_clip_pooled_width(own->texts[1])))
    ld_build_refuse(b, "projection_class_embeddings_input_dim",
                    "asks for a second text encoder whose texts have %d numbers",
                    ld_unet_added_width(own->unet));
  if (own->n_texts == 2 && !ld_unet_size_width(own->unet))
    ld_build_refuse(b, "addition_embed_type", "is missing: two text encoders need \"text_time\"");
  ld_build_component_end(b);
}

/* A setting of the pipeline. */
static void read_zero_empty(ld_builder *b, ld_diffusion *d) {
  const int rc = ld_value_bool(b->whole, LD_ZERO_EMPTY, true, &d->zero_empty, b->err);
  if (rc) b->failed = ld_fail_prefix(b->err, rc, "%s/model_index.json", b->weights->source);
}

static void describe(ld_builder *b, const parts *own, bool conditional) {
  const int size = ld_unet_size(own->unet);
  ld_build_diffusion(b, own->vae,
                     &(ld_diffusion){.channels = ld_unet_channels(own->unet),
                                     .outputs = ld_unet_outputs(own->unet),
                                     .size = size          ? size
                                             : conditional ? 64
                                                           : 32,
                                     .multiple = ld_unet_multiple(own->unet),
                                     .n_texts = own->n_texts,
                                     .text_len = own->n_texts ? ld_clip_length(own->texts[0]) : 0,
                                     .n_classes = ld_unet_n_classes(own->unet),
                                     .guidance = own->n_texts == 2 ? 5 : 7.5F,
                                     .sizes = ld_unet_size_width(own->unet) > 0,
                                     .overrule = own->n_texts == 1,
                                     .condition = condition,
                                     .denoise = denoise});
  ld_model *model = b->model;
  if (!b->failed && own->n_texts == 2) read_zero_empty(b, model->diffusion);
  model->n_blocks = b->n_blocks;
  model->width = ld_unet_context_width(own->unet);
  model->vocab = own->n_texts ? ld_clip_vocab(own->texts[0]) : 0;
  if (own->n_texts) model->text_targets = "q_proj,k_proj,v_proj,out_proj";
  model->head = ld_unet_head(own->unet);
}

static parts *build_parts(ld_builder *b) {
  parts *own = b->model->own = ld_build_alloc(b, 1, sizeof *own);
  own->unet = ld_unet_build(b);
  ld_build_need(b, own->unet, "unet");
  return own;
}

static void build_latent(ld_builder *b) {
  static const char *const names[LD_MOST_TEXT_ENCODERS] = {"text_encoder", "text_encoder_2"};
  parts *own = build_parts(b);
  const bool two = !strcmp(b->model->family->model_type, "StableDiffusionXLPipeline");
  own->vae = ld_vae_build(b);
  ld_build_need(b, own->vae, "vae");
  for (int i = 0; i < (two ? 2 : 1); i++) {
    own->texts[i] = ld_clip_build(b, names[i]);
    ld_build_need(b, own->texts[i], names[i]);
  }
  own->n_texts = two ? 2 : 1;
  if (!b->failed) check_parts(b, own);
  if (!b->failed) describe(b, own, true);
}

static void build_pixels(ld_builder *b) {
  parts *own = build_parts(b);
  if (!b->failed) check_parts(b, own);
  if (!b->failed) describe(b, own, false);
}

#define FAMILY(type, targets, building, ...)                                                                 \
  {                                                                                                          \
    .model_type = type, .architectures = {type, __VA_ARGS__}, .keys = {NULL}, .default_targets = targets,    \
    .head = LD_HEAD_NOISE, .input = LD_IMAGE, .build = building                                              \
  }

const ld_family ld_stable_diffusion =
    FAMILY("StableDiffusionPipeline", "to_q,to_k,to_v,to_out.0", build_latent, NULL);
const ld_family ld_sdxl = FAMILY("StableDiffusionXLPipeline", "to_q,to_k,to_v,to_out.0", build_latent, NULL);
const ld_family ld_ddpm = FAMILY("DDPMPipeline", "to_q,to_k,to_v,to_out.0", build_pixels, NULL);
const ld_family ld_ddim = FAMILY("DDIMPipeline", "to_q,to_k,to_v,to_out.0", build_pixels, NULL);
