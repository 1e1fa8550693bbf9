/* A last look at a training job.
 */
#ifndef LD_JOB_JUDGE_H
#define LD_JOB_JUDGE_H

#include "job/job.h"

/* Warns of a run whose loss ends far above what it was; rank 0 only, when metrics.jsonl is whole. */
void ld_job_judge(const ld_job *job);

#endif
