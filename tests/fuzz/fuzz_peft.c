/* Any bytes as a PEFT folder: the first two say how long adapter_config.json is, the rest is
 * adapter_model.safetensors. What is accepted must pass the writer's checks. */
#include <stdint.h>
#include <stdlib.h>

#include "io/adapter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ld_adapter *adapter;
  ld_error err = {0};
  if (size < 2) return 0;
  size_t config = data[0] | (size_t)data[1] << 8;
  if (config > size - 2) config = size - 2;
  const uint8_t *tensors = data + 2 + config;
  if (ld_peft_parse((const char *)data + 2, config, tensors, size - 2 - config, "fuzz", &adapter, &err)) {
    if (!err.text[0] || adapter) abort();
    return 0;
  }
  if (ld_adapter_check(adapter, "fuzz", &err)) abort();
  ld_adapter_free(adapter);
  return 0;
}
