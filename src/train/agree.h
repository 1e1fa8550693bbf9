/* Whether all ranks hold the same state: every one of them updates the same parameters by the same sums, so a
 * difference is a fault of memory, of a processor or of the network.
 */
#ifndef LD_AGREE_H
#define LD_AGREE_H

#include "train/trainer.h"

/* LD_ENUMERIC, naming ranks and hosts, when parameters, moments or the trainer's place are not the same bits on
 * every rank: before a checkpoint is written, so that no good one is lost. It takes one pass over the state,
 * and 8 bytes of each rank. Collective. */
int ld_agree_on_state(const ld_trainer *trainer, ld_error *err);

#endif
