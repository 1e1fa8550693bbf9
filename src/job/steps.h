/* The steps of a training job, with the evaluations, samples and checkpoints between them.
 */
#ifndef LD_JOB_STEPS_H
#define LD_JOB_STEPS_H

#include "job/job.h"

/* How a job ends that was stopped by a signal or its time limit, after a checkpoint: no error, but not done either. The
 * program then exits with this status. */
enum { LD_STOPPED = 75 };

/* Runs a job that was opened (job/open.h) to its end: 0, LD_STOPPED or an error. Collective. */
int ld_job_run(ld_job *job, ld_error *err);

#endif
