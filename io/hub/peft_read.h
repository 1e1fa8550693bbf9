/* Reading an adapter from a PEFT folder.
 */
#ifndef LD_PEFT_READ_H
#define LD_PEFT_READ_H

#include "io/hub/adapter.h"

/* Reads a PEFT folder of any of the forms (F32, F16, BF16). Modules come in the order of their names, with
 * numbers by value. Strict: unknown keys in the safetensors file, a module without one of its tensors, a
 * shape that does not fit its rank, and an adapter on a module that the config does not select are errors.
 * Callers that know the model must check that the labels match the head's rows. LD_EUNSUPPORTED, naming the
 * field or module, for anything unknown that would change the numbers: lora_bias, bias other than none, other
 * peft_type, layer_replication, ...; for an unknown field that is switched on; and for convolutions in 1 or 3
 * dimensions or in groups. */
int ld_peft_read(const char *folder, const ld_adapter_form *const *forms, ld_adapter **out, ld_error *err);

/* The same from two files' bytes, which must live as long as the adapter's copies; without labels. */
typedef struct ld_peft_bytes {
  const char *config, *tensors;
  size_t config_length, tensors_length;
} ld_peft_bytes;

int ld_peft_parse(const ld_peft_bytes *bytes, const char *name, const ld_adapter_form *const *forms,
                  ld_adapter **out, ld_error *err);

/* Warns when the file of a PEFT adapter seems incomplete, as far as can be seen without the base: a layer has
 * LoRA in a module, the layer before it does not, and adapter_config.json selects both. */
int ld_peft_warn_of_gaps(const ld_adapter *adapter, const char *name, ld_error *err);

#endif
