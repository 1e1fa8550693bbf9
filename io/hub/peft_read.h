/* Reading an adapter from a PEFT folder.
 */
#ifndef LD_PEFT_READ_H
#define LD_PEFT_READ_H

#include "io/hub/adapter.h"

/* Reads a PEFT folder of any of the forms (F32, F16, BF16). Modules come in the order of their names, numbers by
 * value. Strict: unknown keys in the safetensors file, a module without one of its tensors, a shape that does not
 * fit its rank, an adapter on a module that the config does not select are errors. Whether the labels are as many as
 * the head's rows is for those to check who know the model. LD_EUNSUPPORTED, naming the field or module, for what
 * would change the numbers and is not known: lora_bias, bias other than none, other peft_type, layer_replication,
 * ...; also for an unknown field that is switched on, and for convolutions in 1 or 3 dimensions or in groups. */
int ld_peft_read(const char *folder, const ld_adapter_form *const *forms, ld_adapter **out, ld_error *err);

/* The same from two files' bytes, which must live as long as the adapter's copies; without labels. */
typedef struct ld_peft_bytes {
  const char *config, *tensors;
  size_t config_length, tensors_length;
} ld_peft_bytes;

int ld_peft_parse(const ld_peft_bytes *bytes, const char *name, const ld_adapter_form *const *forms,
                  ld_adapter **out, ld_error *err);

/* Warns where the file of a PEFT adapter seems cut short, as far as that shows without the base: a layer has
 * LoRA in a module, the layer before it has none there, and adapter_config.json selects both. */
int ld_peft_warn_of_gaps(const ld_adapter *adapter, const char *name, ld_error *err);

#endif
