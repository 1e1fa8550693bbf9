/* Texts that a model writes during training, or pictures (sample_pictures.h), to show what it has learnt. */
#ifndef LD_JOB_SAMPLE_H
#define LD_JOB_SAMPLE_H

#include "job/job.h"

/* Finds the prompts on rank 0: --sample-prompts, else from the validation data; none for a model that makes neither
 * texts nor pictures. Collective. */
int ld_job_open_prompts(ld_job *job, ld_error *err);

/* Continues each prompt with the current adapter, greedily, on rank 0, and records the texts in
 * metrics.jsonl. Does not affect the training. Collective. */
int ld_job_sample(ld_job *job, ld_error *err);

#endif
