#include "io/state/seal.h"

#include <stdio.h>
#include <string.h>

#include "io/digest.h"

#define BEGINS "lora_dist checkpoint, sealed: "

void ld_seal_make(const char *bytes, size_t length, char seal[LD_SEAL_BYTES]) {
  ld_digest digest;
  char text[LD_DIGEST_DIGITS + 1];
  ld_digest_init(&digest);
  ld_digest_bytes(&digest, bytes + LD_SEAL_BYTES, length - LD_SEAL_BYTES);
  ld_digest_text(&digest, text);
  memset(seal, 0, LD_SEAL_BYTES);
  snprintf(seal, LD_SEAL_BYTES, BEGINS "%zu bytes, digest %s; HDF5 follows at byte %d\n", length, text,
           (int)LD_SEAL_BYTES);
}

bool ld_seal_begins(const char *bytes, size_t length) {
  return length >= LD_SEAL_BYTES && memcmp(bytes, BEGINS, strlen(BEGINS)) == 0;
}

int ld_seal_check(const char *bytes, size_t length, const char *name, ld_error *err) {
  char seal[LD_SEAL_BYTES];
  if (!ld_seal_begins(bytes, length))
    return ld_fail(err, LD_EFORMAT, "%s: not a lora_dist checkpoint (or its header is damaged)", name);
  ld_seal_make(bytes, length, seal);
  if (memcmp(seal, bytes, LD_SEAL_BYTES) == 0) return 0;
  return ld_fail(err, LD_EFORMAT, "%s: damaged or changed since it was written: use an older checkpoint",
                 name);
}
