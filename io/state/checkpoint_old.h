/* Reads checkpoints of versions 1 and 2. Only for use in io/state. */
#ifndef LD_CHECKPOINT_OLD_H
#define LD_CHECKPOINT_OLD_H

#include "io/hub/adapter.h"
#include "io/state/store.h"

/* Fills the modules of an adapter and, if the store has them, their moments, as in ld_checkpoint, from
 *
 *   /lora/<module>/A    (rank, in)    attributes of the group: rank, alpha, scaling; of a convolution also kernel
 *                                     (height, width), and then in is channels * height * width
 *   /lora/<module>/B    (out, rank)
 *   /full/<module>.<role>
 *   /optimizer/m/<module>/A ..., /optimizer/m/<module>.<role>, and v
 *
 * Errors do not name the file. */
int ld_checkpoint_take_old(ld_store *store, ld_adapter *adapter, float ***m, float ***v, ld_error *err);

#endif
