/* The autoencoder of latent diffusion (Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion
 * Models", 2022, section 3.1): between pictures and latents. Frozen. */
#ifndef LD_VAE_H
#define LD_VAE_H

#include "model/build.h"

typedef struct ld_vae ld_vae;

/* The component "vae"; NULL without one. */
ld_vae *ld_vae_build(ld_builder *builder);

int ld_vae_channels(const ld_vae *vae); /* of latents */
int ld_vae_factor(const ld_vae *vae);   /* pixels of a side over its latents */
int ld_vae_size(const ld_vae *vae);     /* sample_size: pixels of a side in its training */

/* A denoiser's number is (latent - shift) * scaling. */
float ld_vae_scaling(const ld_vae *vae);
float ld_vae_shift(const ld_vae *vae);

/* Pictures (3, B H W) in [-1, 1] to the means and log-variances of their latents (2 channels, B H/f W/f). */
ld_maps ld_vae_encode(const ld_vae *vae, ld_tape *tape, ld_maps pictures, const ld_batch *batch);

/* Latents to pictures, which may leave [-1, 1]. */
ld_maps ld_vae_decode(const ld_vae *vae, ld_tape *tape, ld_maps latents, const ld_batch *batch);

#endif
