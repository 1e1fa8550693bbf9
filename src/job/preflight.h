/* What a training job prints and checks before its first step. */
#ifndef LD_JOB_PREFLIGHT_H
#define LD_JOB_PREFLIGHT_H

#include "job/job.h"

/* Prints what runs where, whether it fits and what is trained on, a line each. The only error is one of
 * reading the data. Collective. */
int ld_job_preflight(ld_job *job, ld_error *err);

/* Writes a test file to --out, whose run must be open, and checks that there is room for the checkpoints.
 * Rank 0 only. */
int ld_job_try_out(const ld_job *job, ld_error *err);

/* The same for a dry run, which writes nothing: the folder need not exist. Rank 0 only. */
void ld_job_show_out(const ld_job *job);

#endif
