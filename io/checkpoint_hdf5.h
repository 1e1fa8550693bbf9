/* The HDF5 side of checkpoints, without HDF5's types: internal to io/checkpoint.c. */
#ifndef LD_CHECKPOINT_HDF5_H
#define LD_CHECKPOINT_HDF5_H

#include <stddef.h>

#include "io/checkpoint.h"

enum { LD_CHECKPOINT_VERSION = 2, LD_USER_BLOCK = 512 };

/* The least version that can say what the adapter holds: 2 where there are kernels or labels. */
int ld_checkpoint_version(const ld_adapter *adapter);

/* Builds the file in memory and hands it to `take`, its first LD_USER_BLOCK bytes free for the taker's use;
 * `bytes` is only valid during the call. */
int ld_hdf5_encode(const ld_checkpoint *checkpoint, const char *digest, const char *name,
                   int (*take)(const char *bytes, size_t length, void *user, ld_error *err), void *user,
                   ld_error *err);

/* Reads the tree of a file of `length` bytes; `name` is for error texts. `digest` (the caller frees) is what
 * the file claims. */
int ld_hdf5_decode(const void *bytes, size_t length, const char *name, ld_checkpoint **out, char **digest,
                   ld_error *err);

#endif
