/* An adapter of an image generator as a file of kohya's sd-scripts, which A1111 and ComfyUI read.
 *
 * Names are a module's (kohya_names.h) and ".lora_down.weight", ".lora_up.weight", ".alpha" and, for DoRA,
 * ".dora_scale", in which each row has a number of its own: (out, 1), or (out, 1, 1, 1) for a convolution.
 * The metadata `ss_network_dim`, `ss_network_alpha`, ... is only shown by these programs. */
#ifndef LD_KOHYA_H
#define LD_KOHYA_H

#include "io/hub/adapter_format.h"

/* Whether it is a file (or the pytorch_lora_weights.safetensors of a folder) with such names. */
bool ld_kohya_is(const char *path);

/* Reads such a file (F32, F16, BF16), for a base with these modules. LD_EMISMATCH when names fit none of
 * them; LD_EUNSUPPORTED without a list (n_modules 0), and for other methods than LoRA and DoRA (LoHa, LoKr,
 * ...). */
int ld_kohya_read(const char *path, const ld_adapter_form *const *forms, const char *const *modules,
                  size_t n_modules, ld_adapter **out, ld_error *err);

/* The same from a file's bytes. */
int ld_kohya_parse(const void *bytes, size_t length, const char *name, const ld_adapter_context *context,
                   ld_adapter **out, ld_error *err);

/* Writes the file (float32). rsLoRA's scale becomes an alpha. LD_EUNSUPPORTED for a module that is trained in
 * full or has no name there. */
int ld_kohya_write(const char *path, const ld_adapter *adapter, const char *const *modules, size_t n_modules,
                   ld_error *err);

#endif
