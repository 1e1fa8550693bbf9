/* What a training job says and checks before its first step.
 */
#ifndef LD_JOB_PREFLIGHT_H
#define LD_JOB_PREFLIGHT_H

#include "job/job.h"

/* What runs where, whether it fits and what is trained on, a line each. Collective. An error is one of
 * reading the data. */
int ld_job_preflight(ld_job *job, ld_error *err);

/* A test write to --out, whose run must be open, and whether it has room for the checkpoints. Rank 0 only. */
int ld_job_try_out(const ld_job *job, ld_error *err);

/* The same of a dry run, which writes nothing: the folder need not be there. Rank 0 only. */
void ld_job_show_out(const ld_job *job);

#endif
