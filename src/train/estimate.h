/* How long a training job will take, before its first step.
 */
#ifndef LD_ESTIMATE_H
#define LD_ESTIMATE_H

#include "train/trainer.h"

typedef struct ld_estimate {
  double step;   /* seconds of a step, on the slowest rank, with its sums over the network */
  double rest;   /* of all steps still to do, with their evaluations */
  double trial;  /* that finding out took */
  int64_t steps; /* still to do */
} ld_estimate;

/* Tries forward and backward passes over blank microbatches, larger ones until one takes long enough to be
 * measured, and scales their time to the work of the steps to come. `network` is what ld_trainer_probe said.
 * No number of the training depends on it. Collective. */
int ld_estimate_make(ld_trainer *trainer, double network, ld_estimate *estimate, ld_error *err);

#endif
