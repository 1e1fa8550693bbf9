/* What a kind of compressed file provides: a stream of what is in it. A new kind is one file with such a table, and a line in packings.c. */
#ifndef LD_PACKING_H
#define LD_PACKING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* Takes the next unpacked bytes. A code other than 0 ends the unpacking, which returns it. */
typedef int (*ld_unpacked)(void *user, const char *bytes, size_t n, ld_error *err);

typedef struct ld_packing {
  const char *name;   /* in messages: "gzip" */
  const char *ending; /* of the file's name: ".gz" */
  unsigned char magic[4];
  size_t n_magic; /* how a file begins */
  /* Unpacks a whole file, piece by piece; several members (frames) one after the other are one text. LD_EFORMAT, naming
   * `path`, for one that is damaged or cut short. It needs memory for a window, however large the text is. */
  int (*unpack)(const char *bytes, size_t n, const char *path, ld_unpacked put, void *user, ld_error *err);
} ld_packing;

extern const ld_packing ld_packing_gzip, ld_packing_zstd;

#endif
