/* The weight store: where a model's frozen weights lie, and when they are there.
 *
 * A weight is found once, by name, while the model is built. Its address stays; what lies there can be read while
 * its block is taken. A block is a block of the model (nn/tape.h), by number from 0 in the order of the forward
 * pass. What lies in no block (embeddings, the head) is always there, and so are vectors (norms, biases), which
 * are copied as they are found.
 *
 * Weights are read in three places, and each takes the block first: the tape, for a block's way forward and again
 * for its way back; ld_params, for what an adapter kind works out from a layer's weight; and a merge. All else that
 * reads the model's folder (digests, listings) reads files, not weights.
 *
 * Today's store is the folder's files, mapped, one copy for all ranks of a host (load/weights.h): all of it is
 * always there. A base that is too large for a host is another one, and no change anywhere else. It gives out
 * addresses in a range that it only reserves, and keeps a few blocks' worth of memory; `take` waits until the block
 * is in one of them, maps that to the block's addresses and begins to read what comes next, the block above or, on
 * the way back, below; `release` gives it up.
 */
#ifndef LD_WEIGHT_STORE_H
#define LD_WEIGHT_STORE_H

#include <stddef.h>

#include "base/dtype.h"

enum { LD_NO_BLOCK = -1 };

typedef struct ld_weight_store {
  const char *source; /* for error texts: the folder's name */
  void *self;         /* what the functions are given */

  /* The tensor of that name, from now on a weight of that block, or of none (LD_NO_BLOCK); NULL when there is none.
   * Lives as long as the store. */
  const ld_stored *(*find)(void *self, const char *name, int block);

  /* `take` waits until the block's weights can be read, which lasts until `release`. The same block may be taken
   * again before that. They cannot fail: a store that loses its weights ends the program. NULL, both, where all
   * is always there. */
  void (*take)(void *self, int block);
  void (*release)(void *self, int block);

  /* What the weights take of a host's memory, for all its ranks together. */
  size_t (*bytes)(const void *self);
} ld_weight_store;

/* Nothing happens for LD_NO_BLOCK, or without a store (NULL): such weights are always there. */
void ld_weights_take(const ld_weight_store *store, int block);
void ld_weights_release(const ld_weight_store *store, int block);

#endif
