/* Where the time of a training job went. */
#ifndef LD_JOB_PROFILE_H
#define LD_JOB_PROFILE_H

#include "job/job.h"

/* With --profile: prints where the time of the steps went as a table, and writes profile.json. Rank 0 only. */
int ld_job_profile(const ld_job *job, ld_error *err);

#endif
