/* Any bytes as the HDF5 part of a checkpoint, under a seal that fits: what is tried is what the seal keeps
 * away from the reader otherwise. An odd first byte leaves the bytes as they are, seal and all. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/checkpoint.h"
#include "io/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);
const char *__asan_default_options(void);

/* HDF5 loses memory on damaged metadata. */
const char *__lsan_default_suppressions(void) {
  return "leak:libhdf5";
}

/* It asks for memory of whatever size stands in a damaged file, and takes no for an answer. */
const char *__asan_default_options(void) {
  return "allocator_may_return_null=1";
}

enum { SEAL = 512 };

static void make_seal(const uint8_t *data, size_t size, char *seal) {
  ld_digest digest;
  char text[LD_DIGEST_DIGITS + 1];
  ld_digest_init(&digest);
  ld_digest_bytes(&digest, data, size);
  ld_digest_text(&digest, text);
  memset(seal, 0, SEAL);
  snprintf(seal, SEAL, "lora_dist checkpoint, sealed: %zu bytes, digest %s; HDF5 follows at byte 512\n",
           size + SEAL, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ld_checkpoint *checkpoint;
  ld_error err = {0};
  if (size < 1) return 0;
  const size_t seal = data[0] % 2 ? 0 : SEAL;
  char *file = malloc(seal + size - 1 + (size == 1));
  if (seal) make_seal(data + 1, size - 1, file);
  memcpy(file + seal, data + 1, size - 1);
  if (ld_checkpoint_parse(file, seal + size - 1, "fuzz", &checkpoint, &err) == 0)
    ld_checkpoint_free(checkpoint);
  else if (!err.text[0] || checkpoint)
    abort();
  free(file);
  return 0;
}
