/* The memory that a training job takes.
 */
#ifndef LD_JOB_MEMORY_H
#define LD_JOB_MEMORY_H

#include "job/job.h"

/* Bytes of memory: for the base on a host, and for a rank. */
double ld_job_base_bytes(const ld_job *job);
size_t ld_job_rank_bytes(const ld_job *job);

#endif
