/* Pictures that a model makes during training, to show what it has learnt: OUT/samples/step-00000100-1.png for the first
 * line of --sample-prompts. */
#ifndef LD_JOB_SAMPLE_PICTURES_H
#define LD_JOB_SAMPLE_PICTURES_H

#include "job/job.h"

/* Reads the prompts of --sample-prompts, if it is given, and the settings. Collective. */
int ld_job_open_pictures(ld_job *job, ld_error *err);

/* Makes a picture for each prompt with the current adapter; rank 0 writes them and their records in metrics.jsonl. The
 * noise of a prompt is the same each time, so that its pictures can be compared. Does not affect the training.
 * Collective. */
int ld_job_sample_pictures(ld_job *job, ld_error *err);

#endif
