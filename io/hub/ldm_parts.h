/* The components of a checkpoint in the first layout, one file each: the network's shape is recognised from the
 * tensors, then each tensor of it is taken by name, and config.json is written as diffusers writes it. */
#ifndef LD_LDM_PARTS_H
#define LD_LDM_PARTS_H

#include "base/text.h"
#include "io/hub/ldm_list.h"

#define LD_LDM_VERSION "0.42.1" /* of diffusers, whose files these are */

/* SDXL adds 6 sizes of the picture to the time, as so many numbers each. */
enum { LD_LDM_LEVELS = 8, LD_LDM_SIZES = 6, LD_LDM_SIZE_WIDTH = 256 };

/* ldm_unet.c. Layers of a transformer are 0 where a level has no attention. */
typedef struct ld_ldm_unet {
  int channels, outputs, n_levels, units;
  int widths[LD_LDM_LEVELS], layers[LD_LDM_LEVELS], middle_layers;
  int heads[LD_LDM_LEVELS];
  int context; /* width of the text's states */
  bool linear; /* projections are linear layers, not convolutions */
  int added;   /* width of what is added to the time's embedding; 0: nothing */
} ld_ldm_unet;

void ld_ldm_unet_read(ld_ldm_list *list, ld_ldm_unet *unet);
void ld_ldm_unet_config(const ld_ldm_unet *unet, int size, bool upcast, ld_text *out);

/* ldm_vae.c */
typedef struct ld_ldm_vae {
  int channels, pictures, n_levels, units, widths[LD_LDM_LEVELS];
} ld_ldm_vae;

void ld_ldm_vae_read(ld_ldm_list *list, ld_ldm_vae *vae);
void ld_ldm_vae_config(const ld_ldm_vae *vae, int size, const char *scaling, bool upcast, ld_text *out);

/* ldm_text.c: CLIP's text models, with the names of transformers or of open_clip. */
typedef struct ld_ldm_text {
  int vocab, length, width, inner, n_layers, projected; /* projected: width of texts as wholes; 0: as it is */
  ld_dtype dtype;
  bool open; /* of open_clip */
} ld_ldm_text;

enum { LD_LDM_SD2_LAYERS = 23 }; /* Stable Diffusion 2 reads the states before the last of 24 layers */

/* `most` limits the layers that are taken. With `projects` there is a projection, which open_clip stores
 * transposed. */
void ld_ldm_clip_read(ld_ldm_list *list, ld_ldm_text *text);
void ld_ldm_open_clip_read(ld_ldm_list *list, ld_ldm_text *text, int most, bool projects);
void ld_ldm_text_config(const ld_ldm_text *text, ld_text *out);

/* "key": [1, 2], as in diffusers' files. */
void ld_ldm_put_sizes(ld_text *out, const char *key, const int *sizes, int n);

#endif
