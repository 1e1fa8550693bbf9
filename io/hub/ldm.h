/* Stable Diffusion as most people have it: one file with the tensors' names of its first program, "latent
 * diffusion models".
 *
 *   model.diffusion_model.input_blocks.0.0.weight                          unet/             conv_in.weight
 *   first_stage_model.encoder.mid.attn_1.q.weight                          vae/              encoder.mid_block.attentions.0.to_q.weight
 *   cond_stage_model.transformer.text_model.final_layer_norm.weight        text_encoder/     text_model.final_layer_norm.weight
 *   cond_stage_model.model.ln_final.weight (version 2)                     text_encoder/     the same
 *   conditioner.embedders.0.transformer..., conditioner.embedders.1.model...  text_encoder/, text_encoder_2/ (SDXL)
 *
 * The network's shape is recognised from the tensors. What cannot be seen there (heads, what is predicted, the
 * schedule) is that of the published models, which fine-tuned ones keep. */
#ifndef LD_LDM_H
#define LD_LDM_H

#include <stdint.h>

#include "base/text.h"
#include "io/hub/ldm_list.h"

enum { LD_LDM_COMPONENTS = 4, LD_LDM_TEXTS = 2 };

typedef struct ld_ldm_component {
  const char *name; /* its folder */
  ld_ldm_list list;
  ld_text config; /* the contents of config.json */
} ld_ldm_component;

typedef struct ld_ldm {
  const char *title; /* "Stable Diffusion 1" */
  const char *prediction;
  const char *because; /* why it is that */
  ld_ldm_file file;
  ld_ldm_component components[LD_LDM_COMPONENTS];
  int n_components, n_texts;
  ld_text index, scheduler;           /* model_index.json, scheduler_config.json */
  const char *paddings[LD_LDM_TEXTS]; /* padding tokens of the text encoders' tokenizers */
  size_t n_averages, n_others;        /* tensors that are left out: averages of the weights, and others */
  const char *other;                  /* the first of them */
} ld_ldm;

/* Recognises the model and takes the file apart; `path` stands for it in errors. `prediction` is "epsilon" or
 * "v_prediction"; NULL: as the file says, or as its kind of model has it. LD_EUNSUPPORTED names another kind of
 * model; LD_EUSAGE when the prediction must be given. The result refers to `tensors`. The caller frees. */
int ld_ldm_read(const ld_safetensors *tensors, const char *path, const char *prediction, ld_ldm **out,
                ld_error *err);
void ld_ldm_free(ld_ldm *ldm);

#endif
