/* The table of the kinds of compressed files. */
#ifndef LD_PACKINGS_H
#define LD_PACKINGS_H

#include "io/dataset/packing.h"

/* The packing that the name ends in, or with which the bytes begin; NULL for none. */
const ld_packing *ld_packing_named(const char *path);
const ld_packing *ld_packing_of_bytes(const char *bytes, size_t n);

/* The name without the ending of its packing. The caller frees. */
char *ld_packing_bare_name(const char *path);

#endif
