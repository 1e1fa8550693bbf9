/* Any bytes as the HDF5 part of a checkpoint, under a matching seal, which would normally keep damage away
 * from the reader. After an odd first byte the bytes stay as they are, seal and all. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/state/checkpoint.h"
#include "io/state/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);
const char *__asan_default_options(void);

/* HDF5 leaks memory on damaged metadata. */
const char *__lsan_default_suppressions(void) {
  return "leak:libhdf5";
}

/* It asks for memory of any size that a damaged file states, and does not check the result. */
const char *__asan_default_options(void) {
  return "allocator_may_return_null=1";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ld_checkpoint *checkpoint;
  ld_error err = {0};
  if (size < 1) return 0;
  const size_t seal = data[0] % 2 ? 0 : LD_SEAL_BYTES, length = seal + size - 1;
  char *file = malloc(length + (size == 1));
  memcpy(file + seal, data + 1, size - 1);
  if (seal) ld_seal_make(file, length, file);
  if (ld_checkpoint_parse(file, length, "fuzz", &checkpoint, &err) == 0)
    ld_checkpoint_free(checkpoint);
  else if (!err.text[0] || checkpoint)
    abort();
  free(file);
  return 0;
}
