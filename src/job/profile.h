/* Where the time of a training job went.
 */
#ifndef LD_JOB_PROFILE_H
#define LD_JOB_PROFILE_H

#include "job/job.h"

/* With --profile, rank 0 only: where the time of its steps went, as a table and as profile.json. */
int ld_job_profile(const ld_job *job, ld_error *err);

#endif
