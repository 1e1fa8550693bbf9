/* An adapter of an image generator as diffusers' file, pytorch_lora_weights.safetensors, which a pipeline's
 * load_lora_weights loads.
 *
 * Names are "unet.<path>.lora_A.weight" and ".lora_B.weight" (also "transformer."), and in text encoders
 * "text_encoder.<path>.lora_linear_layer.down.weight" and ".up.weight", the one spelling that diffusers takes
 * for each of their modules; DoRA adds "<path>.lora_magnitude_vector". The metadata `lora_adapter_metadata`
 * is a JSON object with the members of PEFT's adapter_config.json for each part: "unet.r", "unet.lora_alpha",
 * ... Only from there does diffusers (0.35 at least) know an alpha: without it, alpha is the rank. */
#ifndef LD_DIFFUSERS_LORA_H
#define LD_DIFFUSERS_LORA_H

#include "io/hub/adapter.h"

#define LD_DIFFUSERS_LORA_NAME "pytorch_lora_weights.safetensors"
#define LD_DIFFUSERS_METADATA "lora_adapter_metadata"

/* Reads the file, or that of a folder (F32, F16, BF16). Also older spellings: ".lora.down.weight",
 * ".processor.to_q_lora.down.weight", without "unet.", with a tensor ".alpha" and without metadata; and a
 * text encoder without its "text_model.". Strict as ld_peft_read. */
int ld_diffusers_lora_read(const char *path, const ld_adapter_form *const *forms, ld_adapter **out,
                           ld_error *err);

/* The same from a file's bytes. */
int ld_diffusers_lora_parse(const void *bytes, size_t length, const char *name,
                            const ld_adapter_form *const *forms, ld_adapter **out, ld_error *err);

/* Writes a folder with the file (float32), as ld_peft_write does. LD_EUNSUPPORTED for a module that is
 * trained in full, or in no part of an image generator. */
int ld_diffusers_lora_write(const char *folder, const ld_adapter *adapter,
                            const ld_adapter_form *const *forms, ld_error *err);

/* Checks in advance what ld_diffusers_lora_write would refuse. */
int ld_diffusers_lora_check(const ld_adapter *adapter, const char *name, ld_error *err);

#endif
