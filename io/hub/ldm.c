#include "io/hub/ldm.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/hub/ldm_parts.h"

#define UNET "model.diffusion_model."
#define VAE "first_stage_model."

enum { ALL_LAYERS = 1000 };

typedef struct text_kind {
  const char *prefix; /* NULL: none */
  bool open, projects;
  int most; /* layers that are read */
  const char *padding;
} text_kind;

typedef struct kind {
  const char *title, *pipeline;
  text_kind texts[LD_LDM_TEXTS]; /* by the first of which the kind is recognised */
  int size;                      /* pixels of a side */
  const char *scaling;           /* of latents */
  bool upcast;                   /* its autoencoder does not work in f16 */
} kind;

#define EOT "<|endoftext|>"

static const kind kinds[] = {
    {"Stable Diffusion 1",
     "StableDiffusionPipeline",
     {{"cond_stage_model.transformer.text_model.", .padding = EOT}},
     512,
     "0.18215",
     false},
    {"Stable Diffusion 1", /* early files of its descendants */
     "StableDiffusionPipeline",
     {{"cond_stage_model.transformer.", .padding = EOT}},
     512,
     "0.18215",
     false},
    {"Stable Diffusion 2",
     "StableDiffusionPipeline",
     {{"cond_stage_model.model.", .open = true, .most = LD_LDM_SD2_LAYERS, .padding = "!"}},
     512,
     "0.18215",
     false},
    {"SDXL",
     "StableDiffusionXLPipeline",
     {{"conditioner.embedders.0.transformer.text_model.", .padding = EOT},
      {"conditioner.embedders.1.model.", .open = true, .projects = true, .most = ALL_LAYERS, .padding = "!"}},
     1024,
     "0.13025",
     true},
};

/* Beginnings of names, with UNET before them or without, that other models have. */
static const char *const others[][2] = {
    {"joint_blocks.", "a Stable Diffusion 3"},
    {"double_blocks.", "a Flux, or a model like it"},
    {"double_layers.", "an AuraFlow"},
    {"cap_embedder.", "a Lumina or a Z-Image"},
    {"head.modulation", "a Wan"},
    {"transformer_blocks.", "a transformer, or a part of a diffusers folder"},
    {"label_emb.weight", "an upscaler"},
    {"conditioner.embedders.0.model.", "the refiner of SDXL"},
    {"control_model.", "a ControlNet"},
    {"edm_mean", "a Playground v2.5"},
    {"edm_vpred.", "an SDXL with another schedule (EDM)"},
    {"embedder.", "an unCLIP model, which reads pictures"},
    {"lora_unet_", "an adapter, which is given as --adapter"},
    {"lora_te", "an adapter, which is given as --adapter"},
    {"unet.down_blocks.", "an adapter, or has the names of diffusers already"},
    {"down_blocks.", "a part of a diffusers folder, which needs no conversion"},
};

/* What is being read. */
typedef struct reading {
  ld_ldm *ldm;
  const kind *kind;
  ld_ldm_unet unet;
  ld_ldm_vae vae;
  ld_ldm_text texts[LD_LDM_TEXTS];
  ld_error *err;
} reading;

static int refuse_others(const ld_ldm_file *file, ld_error *err) {
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    char *within = ld_format(UNET "%s", others[i][0]);
    const bool found = ld_ldm_begins(file, others[i][0]) || ld_ldm_begins(file, within);
    free(within);
    if (found)
      return ld_fail(err, LD_EUNSUPPORTED,
                     "%s: is %s: only whole files of Stable Diffusion 1 and 2 and of SDXL are converted",
                     file->path, others[i][1]);
  }
  return 0;
}

static const kind *find_kind(const ld_ldm_file *file) {
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    const text_kind *text = &kinds[i].texts[0];
    char *words = ld_format("%s%s", text->prefix, text->open ? "token_embedding." : "embeddings.");
    const bool found = ld_ldm_begins(file, words);
    free(words);
    if (found) return &kinds[i];
  }
  return NULL;
}

static int recognise(reading *r) {
  const ld_ldm_file *file = &r->ldm->file;
  const int rc = refuse_others(file, r->err);
  if (rc) return rc;
  if (!ld_ldm_begins(file, UNET))
    return ld_fail(r->err, LD_EUNSUPPORTED,
                   "%s: is not Stable Diffusion in one file: it has no tensors '" UNET "...'", file->path);
  if (!ld_ldm_begins(file, VAE))
    return ld_fail(r->err, LD_EUNSUPPORTED,
                   "%s: holds no autoencoder ('" VAE "...'): only whole checkpoints are converted",
                   file->path);
  r->kind = find_kind(file);
  if (r->kind) return 0;
  return ld_fail(
      r->err, LD_EUNSUPPORTED,
      "%s: holds no text encoder of a known kind ('cond_stage_model...' or 'conditioner...'): only "
      "whole checkpoints are converted",
      file->path);
}

static ld_ldm_component *begin_component(reading *r, const char *name, const char *prefix) {
  ld_ldm *ldm = r->ldm;
  ld_ldm_component *c = &ldm->components[ldm->n_components++];
  c->name = name;
  c->list = (ld_ldm_list){.file = &ldm->file, .prefix = prefix, .err = r->err};
  return c;
}

static int read_components(reading *r) {
  static const char *const names[LD_LDM_TEXTS] = {"text_encoder", "text_encoder_2"};
  ld_ldm_component *c = begin_component(r, "unet", UNET);
  ld_ldm_unet_read(&c->list, &r->unet);
  if (c->list.failed) return c->list.failed;
  c = begin_component(r, "vae", VAE);
  ld_ldm_vae_read(&c->list, &r->vae);
  for (int i = 0; i < LD_LDM_TEXTS && r->kind->texts[i].prefix && !c->list.failed; i++) {
    const text_kind *text = &r->kind->texts[i];
    c = begin_component(r, names[i], text->prefix);
    if (text->open)
      ld_ldm_open_clip_read(&c->list, &r->texts[i], text->most, text->projects);
    else
      ld_ldm_clip_read(&c->list, &r->texts[i]);
    r->ldm->paddings[i] = text->padding;
    r->ldm->n_texts++;
  }
  return c->list.failed;
}

/* Whether what stands in one component is what another asks for. */
static int check_together(const reading *r) {
  const char *path = r->ldm->file.path;
  const int width = r->texts[0].width + r->texts[1].width;
  const bool two = r->ldm->n_texts == 2;
  const int added = two ? r->texts[1].projected + LD_LDM_SIZES * LD_LDM_SIZE_WIDTH : 0;
  if (r->unet.channels != r->vae.channels)
    return ld_fail(
        r->err, LD_EUNSUPPORTED,
        "%s: its UNet reads %d channels, but the autoencoder has %d: models for inpainting (9), for "
        "editing (8) and with depth (5) are not converted",
        path, r->unet.channels, r->vae.channels);
  if (r->unet.context != width)
    return ld_fail(r->err, LD_EMISMATCH,
                   "%s: its UNet reads texts of %d numbers, but the text encoder gives %d", path,
                   r->unet.context, width);
  if (r->unet.added != added)
    return ld_fail(r->err, LD_EUNSUPPORTED,
                   "%s: 'label_emb' adds %d numbers to the time, where a model with %s adds %d", path,
                   r->unet.added, two ? "two text encoders" : "one text encoder", added);
  return 0;
}

/* The number of steps of training, which only files of the published models have; -1 without it. */
static int64_t read_steps(const ld_ldm_file *file) {
  const ld_stored *steps = ld_safetensors_find(file->tensors, "global_step");
  if (!steps || steps->dtype != LD_I64 || ld_stored_count(steps) != 1) return -1;
  int64_t n;
  memcpy(&n, steps->data, sizeof n);
  return n;
}

/* Of Stable Diffusion 2 both exist, with the same tensors. */
static int ask_prediction(reading *r) {
  ld_ldm *ldm = r->ldm;
  const int64_t steps = read_steps(&ldm->file);
  ldm->because = "by the number of its training steps";
  ldm->prediction = steps == 875000 ? "epsilon" : steps == 110000 || steps == 140000 ? "v_prediction" : NULL;
  if (ldm->prediction) return 0;
  return ld_fail(r->err, LD_EUSAGE,
                 "%s: is a Stable Diffusion 2, whose file does not say what it predicts: give --prediction "
                 "v_prediction (made for 768 x 768 pixels) or --prediction epsilon (a base for 512 x 512)",
                 ldm->file.path);
}

static int find_prediction(reading *r, const char *given) {
  ld_ldm *ldm = r->ldm;
  ldm->prediction = given;
  ldm->because = "as asked for";
  if (given) return 0;
  if (ld_safetensors_find(ldm->file.tensors, "v_pred")) {
    ldm->prediction = "v_prediction";
    ldm->because = "as the file says";
    return 0;
  }
  if (!strcmp(r->kind->title, "Stable Diffusion 2")) return ask_prediction(r);
  ldm->prediction = "epsilon";
  ldm->because = "assumed, as of nearly all; else give --prediction v_prediction";
  return 0;
}

static bool ends(const char *name, const char *end) {
  const size_t n = strlen(name), m = strlen(end);
  return n >= m && !strcmp(name + n - m, end);
}

static bool begins(const char *name, const char *front) {
  return !strncmp(name, front, strlen(front));
}

/* Tensors of a component without effect on what it computes. */
static bool is_idle(const char *name) {
  static const char *const fronts[] = {VAE "loss.", VAE "model_ema.", "cond_stage_model.model.visual.",
                                       "conditioner.embedders.1.model.visual."};
  static const char *const tails[] = {".position_ids", "logit_scale", "text_projection",
                                      "text_projection.weight", ".attn_mask"};
  for (size_t i = 0; i < sizeof fronts / sizeof *fronts; i++)
    if (begins(name, fronts[i])) return true;
  for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
    if (!begins(name, UNET) && !begins(name, VAE) && ends(name, tails[i])) return true;
  return false;
}

/* A layer of the text encoder above those that are read. */
static bool is_above(const reading *r, const char *name) {
  const text_kind *text = &r->kind->texts[0];
  char *front = ld_format("%stransformer.resblocks.%d.", text->prefix, text->most);
  const bool above = text->open && begins(name, front);
  free(front);
  return above;
}

/* What nobody asked for: in a component it would change the numbers, elsewhere it is left out. */
static int check_rest(reading *r) {
  static const char *const components[] = {UNET, VAE, "cond_stage_model.", "conditioner."};
  ld_ldm *ldm = r->ldm;
  for (size_t i = 0; i < ld_safetensors_count(ldm->file.tensors); i++) {
    const char *name = ld_safetensors_name(ldm->file.tensors, i);
    bool within = false;
    for (int k = 0; k < 4; k++) within = within || begins(name, components[k]);
    if (ldm->file.used[i] || (within && (is_idle(name) || is_above(r, name)))) continue;
    if (within)
      return ld_fail(r->err, LD_EUNSUPPORTED,
                     "%s: the tensor '%s' has no place in %s of the shape that the rest of the file has",
                     ldm->file.path, name, ldm->title);
    if (begins(name, "model_ema.")) {
      ldm->n_averages++;
    } else if (!ldm->n_others++) {
      ldm->other = name;
    }
  }
  return 0;
}

static void put_index(const reading *r, ld_text *out) {
  const bool two = r->ldm->n_texts == 2;
  ld_text_printf(out, "{\n  \"_class_name\": \"%s\",\n", r->kind->pipeline);
  ld_text_puts(out, "  \"_diffusers_version\": \"" LD_LDM_VERSION "\",\n");
  ld_text_puts(out, "  \"feature_extractor\": [null, null],\n");
  if (two)
    ld_text_puts(out, "  \"force_zeros_for_empty_prompt\": true,\n");
  else
    ld_text_puts(out, "  \"requires_safety_checker\": false,\n  \"safety_checker\": [null, null],\n");
  ld_text_printf(out, "  \"scheduler\": [\"diffusers\", \"%s\"],\n",
                 two ? "EulerDiscreteScheduler" : "DDIMScheduler");
  ld_text_puts(out, "  \"text_encoder\": [\"transformers\", \"CLIPTextModel\"],\n");
  if (two) ld_text_puts(out, "  \"text_encoder_2\": [\"transformers\", \"CLIPTextModelWithProjection\"],\n");
  ld_text_puts(out, "  \"tokenizer\": [\"transformers\", \"CLIPTokenizer\"],\n");
  if (two) ld_text_puts(out, "  \"tokenizer_2\": [\"transformers\", \"CLIPTokenizer\"],\n");
  ld_text_puts(out, "  \"unet\": [\"diffusers\", \"UNet2DConditionModel\"],\n");
  ld_text_puts(out, "  \"vae\": [\"diffusers\", \"AutoencoderKL\"]\n}\n");
}

/* A mark that the noise of the last step leaves no signal. */
static bool has_zero_snr(const reading *r) {
  return ld_safetensors_find(r->ldm->file.tensors, "ztsnr") != NULL;
}

static void put_scheduler(const reading *r, ld_text *out) {
  const bool two = r->ldm->n_texts == 2, zero = has_zero_snr(r);
  ld_text_printf(out, "{\n  \"_class_name\": \"%s\",\n", two ? "EulerDiscreteScheduler" : "DDIMScheduler");
  ld_text_puts(out, "  \"_diffusers_version\": \"" LD_LDM_VERSION "\",\n  \"beta_end\": 0.012,\n");
  ld_text_puts(out, "  \"beta_schedule\": \"scaled_linear\",\n  \"beta_start\": 0.00085,\n");
  ld_text_puts(out, two ? "  \"interpolation_type\": \"linear\",\n" : "  \"clip_sample\": false,\n");
  ld_text_printf(out, "  \"num_train_timesteps\": 1000,\n  \"prediction_type\": \"%s\",\n",
                 r->ldm->prediction);
  if (zero) ld_text_puts(out, "  \"rescale_betas_zero_snr\": true,\n");
  if (!two) ld_text_puts(out, "  \"set_alpha_to_one\": false,\n");
  ld_text_printf(out, "  \"steps_offset\": 1,\n  \"timestep_spacing\": \"%s\",\n",
                 zero ? "trailing" : "leading");
  ld_text_puts(out, "  \"trained_betas\": null\n}\n");
}

static void put_configs(reading *r) {
  ld_ldm *ldm = r->ldm;
  const bool second = !strcmp(r->kind->title, "Stable Diffusion 2");
  const int size = second && !strcmp(ldm->prediction, "v_prediction") ? 768 : r->kind->size;
  const int latent = size >> (r->vae.n_levels - 1);
  ld_ldm_unet_config(&r->unet, latent, second, &ldm->components[0].config);
  ld_ldm_vae_config(&r->vae, size, r->kind->scaling, r->kind->upcast, &ldm->components[1].config);
  for (int i = 0; i < ldm->n_texts; i++) ld_ldm_text_config(&r->texts[i], &ldm->components[2 + i].config);
  put_index(r, &ldm->index);
  put_scheduler(r, &ldm->scheduler);
}

void ld_ldm_free(ld_ldm *ldm) {
  if (!ldm) return;
  for (int i = 0; i < ldm->n_components; i++) {
    ld_ldm_list_free(&ldm->components[i].list);
    ld_text_free(&ldm->components[i].config);
  }
  ld_text_free(&ldm->index);
  ld_text_free(&ldm->scheduler);
  free(ldm->file.used);
  free(ldm);
}

int ld_ldm_read(const ld_safetensors *tensors, const char *path, const char *prediction, ld_ldm **out,
                ld_error *err) {
  ld_ldm *ldm = ld_alloc(1, sizeof *ldm);
  reading r = {.ldm = ldm, .err = err};
  ldm->file = (ld_ldm_file){tensors, path, ld_alloc(ld_safetensors_count(tensors), sizeof(bool))};
  int rc = recognise(&r);
  if (!rc) ldm->title = r.kind->title;
  if (!rc) rc = read_components(&r);
  if (!rc) rc = check_together(&r);
  if (!rc) rc = check_rest(&r);
  if (!rc) rc = find_prediction(&r, prediction);
  if (!rc) put_configs(&r);
  if (rc) {
    ld_ldm_free(ldm);
    ldm = NULL;
  }
  *out = ldm;
  return rc;
}
