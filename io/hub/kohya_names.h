/* The names of modules in kohya's adapter files, which A1111 and ComfyUI read. Dots become underscores there,
 * so that only the base's list of modules tells which module a name is.
 *
 *   unet.down_blocks.1.attentions.0.proj_in            lora_unet_down_blocks_1_attentions_0_proj_in
 *   the same in the layout of the first Stable Diffusion,
 *   which files for SDXL have                          lora_unet_input_blocks_4_1_proj_in
 *   text_encoder.text_model.encoder.layers.0.mlp.fc1   lora_te_text_model_encoder_layers_0_mlp_fc1
 *   with a second text encoder                         lora_te1_..., lora_te2_... */
#ifndef LD_KOHYA_NAMES_H
#define LD_KOHYA_NAMES_H

#include <stdbool.h>
#include <stddef.h>

typedef struct ld_kohya_names ld_kohya_names;

/* The names of a base's modules, which must live as long as the result. */
ld_kohya_names *ld_kohya_names_new(const char *const *modules, size_t n_modules);
void ld_kohya_names_free(ld_kohya_names *names);

/* Whether the base is an SDXL: it has a second text encoder, or takes sizes. */
bool ld_kohya_is_xl(const ld_kohya_names *names);

/* The module that has the name, in any of the spellings; NULL for none, and where several have it, of which
 * *several then is one. */
const char *ld_kohya_module(const ld_kohya_names *names, const char *name, const char **several);

/* The name of a module, as the files for its kind of base have it; NULL for one without a name. The caller
 * frees. */
char *ld_kohya_name(const ld_kohya_names *names, const char *module);

#endif
