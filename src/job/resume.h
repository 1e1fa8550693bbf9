/* The checkpoint that a training job resumes from. */
#ifndef LD_JOB_RESUME_H
#define LD_JOB_RESUME_H

#include "job/job.h"

/* Rank 0 finds the checkpoint to resume from and leaves it in *found. *path is set on every rank, to NULL
 * when training starts from the beginning. The caller frees both. Collective. */
int ld_job_find_checkpoint(ld_job *job, char **path, ld_checkpoint **found, ld_error *err);

/* Compares options, data and base with the checkpoint's: with others, the adapter would be the result of
 * neither. LD_EMISMATCH lists all differences that --resume-override does not name; those that it names give
 * a warning. *restart says that the epoch begins again because the position in the data lost its meaning.
 * Collective. */
int ld_job_compare(ld_job *job, ld_checkpoint *checkpoint, const char *path, bool *restart, ld_error *err);

#endif
