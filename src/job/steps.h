/* The steps of a training job, with the evaluations, samples and checkpoints between them. */
#ifndef LD_JOB_STEPS_H
#define LD_JOB_STEPS_H

#include "job/job.h"

/* The program's exit status for a job that a signal or its time limit stopped after a checkpoint: not an
 * error, but not done either. */
enum { LD_STOPPED = 75 };

/* Runs an opened job (job/open.h) to its end. Returns 0, LD_STOPPED or an error. Collective. */
int ld_job_run(ld_job *job, ld_error *err);

#endif
