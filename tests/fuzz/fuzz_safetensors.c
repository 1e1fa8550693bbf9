/* Any bytes as a safetensors file: errors, never a read beyond the bytes. What is accepted is read to its
 * last byte. */
#include <stdint.h>
#include <stdlib.h>

#include "io/hub/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ld_safetensors *file;
  ld_error err = {0};
  if (ld_safetensors_parse(data, size, "fuzz", &file, &err)) return 0;
  unsigned sum = 0;
  for (size_t i = 0; i < ld_safetensors_count(file); i++) {
    const ld_stored *tensor = ld_safetensors_find(file, ld_safetensors_name(file, i));
    if (tensor != ld_safetensors_tensor(file, i)) abort();
    const size_t bytes = ld_stored_bytes(tensor);
    if ((uintptr_t)tensor->data % ld_dtype_size(tensor->dtype)) abort();
    for (size_t k = 0; k < bytes; k++) sum += ((const unsigned char *)tensor->data)[k];
  }
  ld_safetensors_close(file);
  volatile unsigned used = sum; /* so that the reading is not optimised away */
  (void)used;
  return 0;
}
