#include "io/dataset/packings.h"

#include <string.h>
#include <strings.h>

#include "base/memory.h"

static const ld_packing *const packings[] = {&ld_packing_gzip, &ld_packing_zstd};

enum { n_packings = sizeof packings / sizeof *packings };

const ld_packing *ld_packing_named(const char *path) {
  const size_t length = strlen(path);
  for (size_t i = 0; i < n_packings; i++) {
    const size_t n = strlen(packings[i]->ending);
    if (length > n && !strcasecmp(path + length - n, packings[i]->ending)) return packings[i];
  }
  return NULL;
}

const ld_packing *ld_packing_of_bytes(const char *bytes, size_t n) {
  for (size_t i = 0; i < n_packings; i++)
    if (n >= packings[i]->n_magic && !memcmp(bytes, packings[i]->magic, packings[i]->n_magic))
      return packings[i];
  return NULL;
}

char *ld_packing_bare_name(const char *path) {
  const ld_packing *packing = ld_packing_named(path);
  return ld_strndup(path, strlen(path) - (packing ? strlen(packing->ending) : 0));
}
