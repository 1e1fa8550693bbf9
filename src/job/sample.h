/* Texts that a model writes while it is trained, for people to see what it has learnt.
 */
#ifndef LD_JOB_SAMPLE_H
#define LD_JOB_SAMPLE_H

#include "job/job.h"

/* Finds the prompts, on rank 0, of --sample-prompts, else of the validation data; none where the model does not write.
 * Collective. */
int ld_job_open_prompts(ld_job *job, ld_error *err);

/* Goes on from each prompt with the adapter as it is now, greedily, on rank 0, and records the texts in metrics.jsonl. Changes
 * nothing of the training. Collective. */
int ld_job_sample(ld_job *job, ld_error *err);

#endif
