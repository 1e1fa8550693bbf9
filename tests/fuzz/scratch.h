/* A folder for this process, for parsers that open files by name; it is removed when the target ends. */
#ifndef FUZZ_SCRATCH_H
#define FUZZ_SCRATCH_H

#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char scratch[] = "/tmp/ld-fuzz-XXXXXX";

static inline int scratch_remove(const char *path, const struct stat *info, int kind, struct FTW *where) {
  (void)info, (void)kind, (void)where;
  return remove(path);
}

static inline void scratch_end(void) {
  nftw(scratch, scratch_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* The folder, made on the first call. */
static inline const char *scratch_folder(void) {
  static int made;
  if (!made && !mkdtemp(scratch)) abort();
  if (!made++) atexit(scratch_end);
  return scratch;
}

/* Writes a file of that name there; `path` has room for 128 bytes. */
static inline void scratch_write(const char *name, const void *bytes, size_t size, char *path) {
  snprintf(path, 128, "%s/%s", scratch_folder(), name);
  const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0 || write(fd, bytes, size) != (ssize_t)size || close(fd) != 0) abort();
}

#endif
