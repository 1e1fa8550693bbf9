/* What a model provides that makes pictures out of noise: it predicts the noise in a noised picture, mostly in
 * the latents of an autoencoder. The objective "denoise" and the sampler see nothing else of it.
 *
 * Pictures are maps (3, B H W) in [-1, 1]; what is denoised are maps (channels, B h w). */
#ifndef LD_DIFFUSION_H
#define LD_DIFFUSION_H

#include "diffusion/schedule.h"
#include "model/model.h"
#include "nn/ops.h"

/* The key of model_index.json that is zero_empty. */
#define LD_ZERO_EMPTY "force_zeros_for_empty_prompt"

enum {
  LD_MOST_TEXT_ENCODERS = 2,
  LD_N_SIZES = 6,
  LD_SECOND_TEXT = -1 /* between the tokens of two encoders */
};

/* What a picture is to show. Members that do not apply are NULL. */
typedef struct ld_condition {
  ld_tensor *states;    /* (S, C) of the texts */
  const ld_field *text; /* whose segments say which states belong to which picture */
  ld_tensor *pooled;    /* (B, C') of the texts as wholes */
  const float
      *sizes; /* (B, LD_N_SIZES) height and width of the picture's file, top and left of its cut, height
                             and width of the cut */
  const int32_t *classes; /* (B) */
} ld_condition;

struct ld_diffusion {
  const ld_value *scheduler; /* scheduler_config.json */
  ld_schedule schedule;      /* of training */
  int channels;              /* of what is denoised */
  int outputs;               /* channels of a prediction */
  int factor;                /* pixels of a side over its maps'; 1: there is no autoencoder */
  int size;                  /* pixels of a side in the base's training */
  int multiple;              /* sides of pictures must be multiples of this many pixels */
  int n_texts, text_len;     /* text encoders, and tokens of a text with its padding; 0 without */
  int n_classes;             /* of pictures; 0: none */
  int null_class;            /* the class of a picture that may show anything; 0: there is none */
  float guidance;            /* when nobody says otherwise, as in diffusers' pipeline of the family */
  bool sizes;                /* it reads the pictures' sizes */
  bool overrule;             /* its pipeline overrules scheduler_config.json: diffusion/sampler.h */
  bool zero_empty; /* without a negative prompt guidance starts from zeros, not the empty text's states */
  /* Ids of the tokenizers' tokens; set by who opens them. */
  int32_t bos, eos, padding[LD_MOST_TEXT_ENCODERS];
  float scaling, shift;     /* maps are (latent - shift) scaling */
  const struct ld_vae *vae; /* NULL: it works on pixels */

  /* Pictures to means and log-variances of latents (2 channels, B h w), and latents to pictures; NULL without
   * an autoencoder. */
  ld_maps (*encode)(const ld_model *model, ld_tape *tape, ld_maps pictures, const ld_batch *batch);
  ld_maps (*decode)(const ld_model *model, ld_tape *tape, ld_maps latents, const ld_batch *batch);

  /* What the batch's fields say of its pictures. */
  ld_condition (*condition)(const ld_model *model, ld_tape *tape, const ld_batch *batch);

  /* The prediction for maps at `times` (B), which live on the tape. The first `channels` of its maps count;
   * others are variances. */
  ld_maps (*denoise)(const ld_model *model, ld_tape *tape, ld_maps x, const float *times,
                     const ld_condition *condition, const ld_batch *batch);
};

/* Adds a text of n tokens, with the first and the end token around it, as a segment of text_len tokens: the end token
 * is the last of a text that is too long, and a shorter one is padded. n = 0: the empty text. Of two text encoders, the
 * tokens of the second follow LD_SECOND_TEXT, and become the segment's types. */
void ld_diffusion_lay_text(const ld_diffusion *d, const int32_t *ids, size_t n, ld_lane *text);

/* Adds the sizes of a picture. */
void ld_diffusion_lay_sizes(const int sizes[LD_N_SIZES], ld_lane *lane);

/* For a family's build function: the model's diffusion, with what all such models have in common, the schedule and
 * the autoencoder (NULL: none). The family sets `known`: channels, outputs, condition, denoise, and what applies of
 * the rest, `size` and `multiple` in pixels of the maps that are denoised. */
void ld_build_diffusion(ld_builder *builder, const struct ld_vae *vae, const ld_diffusion *known);

/* Refuses a folder without this component, whose part is NULL then. */
void ld_build_need(ld_builder *builder, const void *part, const char *name);

#endif
