/* The checkpoint that a training job goes on from.
 */
#ifndef LD_JOB_RESUME_H
#define LD_JOB_RESUME_H

#include "job/job.h"

/* Rank 0 finds the checkpoint to go on from and leaves it in *found; *path, on every rank, is NULL when
 * training begins anew. The caller frees both. Collective. */
int ld_job_find_checkpoint(ld_job *job, char **path, ld_checkpoint **found, ld_error *err);

/* Options, data and base must be those of the checkpoint: with others its adapter would be the function of
 * neither. Collective. LD_EMISMATCH lists all that differs and --resume-override does not name; what it names is warned
 * of. *restart says that the epoch begins again, as the place in the data has lost its meaning. */
int ld_job_compare(ld_job *job, ld_checkpoint *checkpoint, const char *path, bool *restart, ld_error *err);

#endif
