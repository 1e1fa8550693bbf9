/* Opening what a training job works on: base, data and adapter.
 */
#ifndef LD_JOB_OPEN_H
#define LD_JOB_OPEN_H

#include "job/job.h"

/* Opens base, data and adapter: a fresh one, --init-adapter's, or that of the checkpoint to go on from.
 * Collective. */
int ld_job_open(ld_job *job, ld_error *err);

/* Frees all that the job holds, also after an error. */
void ld_job_close(ld_job *job);

/* Where digests of the job's files are kept. */
const char *ld_job_cache(const ld_job *job);

#endif
