/* Judges a training job at its end. */
#ifndef LD_JOB_JUDGE_H
#define LD_JOB_JUDGE_H

#include "job/job.h"

/* Warns when a run's loss ends far above where it began. Rank 0 only, once metrics.jsonl is complete. */
void ld_job_judge(const ld_job *job);

#endif
