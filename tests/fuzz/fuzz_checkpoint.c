/* Any bytes as the HDF5 part of a checkpoint, under a seal that fits: what is tried is what the seal keeps
 * away from the reader otherwise. An odd first byte leaves the bytes as they are, seal and all. HDF5 opens by
 * name, so there is a file; it is removed at the end. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/checkpoint.h"
#include "io/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* HDF5 loses memory on damaged metadata. */
const char *__lsan_default_suppressions(void) {
  return "leak:libhdf5";
}

static void make_seal(const uint8_t *data, size_t size, char seal[512]) {
  ld_digest digest;
  char text[LD_DIGEST_DIGITS + 1];
  ld_digest_init(&digest);
  ld_digest_bytes(&digest, data, size);
  ld_digest_text(&digest, text);
  memset(seal, 0, 512);
  snprintf(seal, 512, "lora_dist checkpoint, sealed: %zu bytes, digest %s; HDF5 follows at byte 512\n",
           size + 512, text);
}

static char path[] = "/tmp/ld-fuzz-XXXXXX";

static void remove_file(void) {
  unlink(path);
}

/* The one file of this process, empty. */
static int open_empty(void) {
  static int fd = -1;
  if (fd < 0) {
    fd = mkstemp(path);
    atexit(remove_file);
  }
  if (fd < 0 || ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0) abort();
  return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char seal[512];
  ld_checkpoint *checkpoint;
  ld_error err = {0};
  if (size < 1) return 0;
  const int fd = open_empty();
  make_seal(data + 1, size - 1, seal);
  if (data[0] % 2 == 0 && write(fd, seal, sizeof seal) != sizeof seal) abort();
  if (write(fd, data + 1, size - 1) != (ssize_t)size - 1) abort();
  if (ld_checkpoint_read(path, &checkpoint, &err) == 0)
    ld_checkpoint_free(checkpoint);
  else if (!err.text[0] || checkpoint)
    abort();
  return 0;
}
