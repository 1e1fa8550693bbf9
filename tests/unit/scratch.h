/* A folder for one test, and small files in it. */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/file.h"

static inline char *scratch_new(void) {
  char *folder = ld_strdup("/tmp/ld-test-XXXXXX");
  cr_assert(mkdtemp(folder));
  return folder;
}

static inline int scratch_unlink(const char *path, const struct stat *info, int kind, struct FTW *where) {
  (void)info, (void)kind, (void)where;
  return remove(path);
}

static inline void scratch_end(char *folder) {
  nftw(folder, scratch_unlink, 8, FTW_DEPTH | FTW_PHYS);
  free(folder);
}

/* Writes a file in the folder; returns its path, which the caller frees. */
static inline char *scratch_file(const char *folder, const char *name, const void *bytes, size_t length) {
  char *path = ld_path_join(folder, name);
  FILE *file = fopen(path, "wb");
  cr_assert(file, "%s", path);
  cr_assert_eq(fwrite(bytes, 1, length, file), length);
  cr_assert_eq(fclose(file), 0);
  return path;
}

static inline void scratch_text(const char *folder, const char *name, const char *text) {
  free(scratch_file(folder, name, text, strlen(text)));
}

/* All bytes of a file, and a NUL; the caller frees. */
static inline char *scratch_read(const char *path, size_t *length) {
  ld_map map;
  ld_error err = {0};
  cr_assert_eq(ld_map_open(path, &map, &err), 0, "%s", err.text);
  char *bytes = ld_strndup(map.bytes ? map.bytes : "", map.length);
  *length = map.length;
  ld_map_close(&map);
  return bytes;
}

#endif
