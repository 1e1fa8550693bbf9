/* Opens what a training job works on: base, data and adapter. */
#ifndef LD_JOB_OPEN_H
#define LD_JOB_OPEN_H

#include "job/job.h"

/* Opens base, data and adapter: a fresh one, --init-adapter's, or the checkpoint's when the job resumes.
 * Collective. */
int ld_job_open(ld_job *job, ld_error *err);

/* Frees all that the job holds, also after an error. */
void ld_job_close(ld_job *job);

/* The folder that keeps digests of the job's files. */
const char *ld_job_cache(const ld_job *job);

#endif
