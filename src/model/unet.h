/* The UNet of diffusion models (Ronneberger et al., "U-Net", 2015; Ho et al., "Denoising Diffusion Probabilistic
 * Models", 2020, appendix B; Rombach et al., 2022, section 3.3): predicts the noise in maps. diffusers'
 * UNet2DConditionModel and UNet2DModel. */
#ifndef LD_UNET_H
#define LD_UNET_H

#include "model/build.h"
#include "model/diffusion.h"

typedef struct ld_unet ld_unet;

/* The component "unet". */
ld_unet *ld_unet_build(ld_builder *builder);

int ld_unet_channels(const ld_unet *unet); /* of its input */
int ld_unet_outputs(const ld_unet *unet);
int ld_unet_size(const ld_unet *unet);          /* sample_size: of a side of the maps; 0: not known */
int ld_unet_context_width(const ld_unet *unet); /* of the texts' states; 0: it has no attention to them */
int ld_unet_n_classes(const ld_unet *unet);     /* 0: none */
int ld_unet_multiple(const ld_unet *unet); /* sides that every level divides evenly are multiples of this */

/* Of what is added to the time's embedding, in SDXL: the width of its text part, and of the embedding of each of the
 * picture's sizes; 0 without. */
int ld_unet_added_width(const ld_unet *unet);
int ld_unet_size_width(const ld_unet *unet);

/* The prediction (outputs, B H W) for maps at times (B, on the tape). */
ld_maps ld_unet_run(const ld_unet *unet, ld_tape *tape, ld_maps x, const float *times,
                    const ld_condition *condition, const ld_batch *batch);

/* The last layer. */
ld_linear *ld_unet_head(ld_unet *unet);

#endif
