/* Checks that all ranks hold the same state. They all update the same parameters by the same sums, so a
 * difference means faulty memory, a faulty processor or a faulty network. */
#ifndef LD_AGREE_H
#define LD_AGREE_H

#include "train/trainer.h"

/* Returns LD_ENUMERIC, naming ranks and hosts, unless parameters, moments and the position in training have
 * the same bits on every rank. Called before a checkpoint is written, so that a bad state never replaces a
 * good one. Takes one pass over the state and exchanges 8 bytes per rank. Collective. */
int ld_agree_on_state(const ld_trainer *trainer, ld_error *err);

#endif
