/* The weight store: where a model's frozen weights are, and when they can be read.
 *
 * A weight is found once, by name, while the model is built. Its address stays the same; the data there can
 * be read while its block is taken. A block is a block of the model (nn/tape.h), numbered from 0 in the order
 * of the forward pass. Weights outside of blocks (embeddings, the head) are always readable, and so are
 * vectors (norms, biases), which are copied when they are found.
 *
 * Weights are read in three places, and each takes the block first: the tape, for a block's forward pass and
 * again for its backward pass; ld_params, for what an adapter kind computes from a layer's weight; and a
 * merge. Everything else that reads the model's folder (digests, listings) reads files, not weights.
 *
 * Today's store is the folder's files, mapped, with one copy for all ranks of a host (load/weights.h): all of
 * it is always there. A base that is too large for a host would be another store, and no change anywhere
 * else. It would give out addresses in a range that it only reserves, and hold a few blocks in memory. `take`
 * would wait until the block is in memory, map it to its addresses, and begin to read the next one: the block
 * above or, in the backward pass, below. `release` would give it up. */
#ifndef LD_WEIGHT_STORE_H
#define LD_WEIGHT_STORE_H

#include <stddef.h>

#include "base/dtype.h"

enum { LD_NO_BLOCK = -1 };

typedef struct ld_weight_store {
  const char *source; /* for errors: the folder's name */
  void *self;         /* passed to the functions */

  /* Finds the tensor of that name, which is from now on a weight of that block, or of none (LD_NO_BLOCK);
   * NULL when there is none. It lives as long as the store. */
  const ld_stored *(*find)(void *self, const char *name, int block);

  /* `take` waits until the block's weights can be read; they can be until `release`. A block may be taken
   * several times. They cannot fail: a store that loses its weights ends the program. Both are NULL where all
   * weights are always there. */
  void (*take)(void *self, int block);
  void (*release)(void *self, int block);

  /* The memory that the weights take on a host, for all its ranks together. */
  size_t (*bytes)(const void *self);
} ld_weight_store;

/* Do nothing for LD_NO_BLOCK, or without a store (NULL): such weights are always there. */
void ld_weights_take(const ld_weight_store *store, int block);
void ld_weights_release(const ld_weight_store *store, int block);

#endif
