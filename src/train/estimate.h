/* Estimates how long a training job will take, before its first step. */
#ifndef LD_ESTIMATE_H
#define LD_ESTIMATE_H

#include "train/trainer.h"

typedef struct ld_estimate {
  double step;   /* seconds of a step, on the slowest rank, with its sums over the network */
  double first;  /* of one that makes what later epochs reuse; the same as `step` where nothing is kept */
  double rest;   /* seconds for all remaining steps, with their evaluations */
  double trial;  /* seconds that the trial took */
  int64_t steps; /* remaining */
} ld_estimate;

/* Tries forward and backward passes over blank microbatches, larger and larger until one takes long enough to
 * be measured, and scales their time to the work of the remaining steps. `network` is what ld_trainer_probe
 * returned. The training does not depend on the result. Collective. */
int ld_estimate_make(ld_trainer *trainer, double network, ld_estimate *estimate, ld_error *err);

#endif
