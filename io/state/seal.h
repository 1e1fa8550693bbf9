/* The seal of a checkpoint: a line of text before the HDF5 data, in the user block that the format allows. It
 * holds the file's length and a digest of all its bytes, and is checked before HDF5 sees the file: our own
 * arithmetic finds damage before a library follows a damaged pointer. For the same reason a file that another
 * program has changed is refused. */
#ifndef LD_SEAL_H
#define LD_SEAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { LD_SEAL_BYTES = 512 };

/* The seal of a file of `length` bytes, for its first LD_SEAL_BYTES, whatever their current contents. */
void ld_seal_make(const char *bytes, size_t length, char seal[LD_SEAL_BYTES]);

/* LD_EFORMAT when the file does not begin with a seal, or has changed since it was sealed. `name` is for
 * errors. */
int ld_seal_check(const char *bytes, size_t length, const char *name, ld_error *err);

/* Whether the file begins like a sealed one. */
bool ld_seal_begins(const char *bytes, size_t length);

#endif
