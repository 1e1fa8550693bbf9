/* Converts a store to the bytes of an HDF5 file and back. */
#ifndef LD_STORE_HDF5_H
#define LD_STORE_HDF5_H

#include <stddef.h>

#include "base/error.h"
#include "io/state/store.h"

/* Builds the file in memory and passes it to `take`, which may use its first `user_block` bytes (512, 1024,
 * ...) freely. `bytes` are valid only during the call. `name` is for errors. */
int ld_store_encode(const ld_store *store, size_t user_block, const char *name,
                    int (*take)(const char *bytes, size_t length, void *user, ld_error *err), void *user,
                    ld_error *err);

/* Reads a file of `length` bytes into an empty store, which the caller frees, also after an error. LD_EFORMAT
 * for a damaged file, or one that ld_store_encode would not write: other filters than the checksum, links,
 * other types. */
int ld_store_decode(const void *bytes, size_t length, const char *name, ld_store *store, ld_error *err);

#endif
