/* A training job, as the files of the train command have it in common.
 */
#ifndef LD_JOB_H
#define LD_JOB_H

#include "data/distribute.h"
#include "generate/prompt.h"
#include "io/hub/digests.h"
#include "job/run.h"
#include "mpi/comm.h"
#include "train/estimate.h"

typedef struct ld_job {
  ld_options options; /* with what an initial adapter decides; strings are borrowed */
  ld_comm *comm;
  ld_digests *digests;
  char settings[LD_DIGEST_TEXT + 1];    /* digest of the base's config and tokenizer */
  char init_digest[LD_DIGEST_TEXT + 1]; /* of --init-adapter's adapter; empty without one */
  ld_base base;
  ld_distributed model;    /* how the base came here */
  ld_corpus *data, *valid; /* valid may be NULL */
  ld_prompts prompts;      /* of which texts are shown; rank 0's */
  bool writes;             /* whether there are any */
  ld_trainer trainer;
  ld_run run; /* rank 0's */
  char *config;
  double began, started, last_line; /* seconds on ld_clock: of the program, the first step, the last line */
  double in_steps;                  /* seconds spent in steps, for the time left */
  double longest;                   /* of the steps, with what came after it */
  double report_due;                /* when report.html may be written again; rank 0's */
  ld_estimate estimate;             /* of the time to come, made by the preflight */
  ld_waits waits;                   /* of all steps */
  int64_t first_step;
  char why_stopped[48]; /* "SIGTERM", "time limit of 60 s reached"; empty for a run that goes on */
} ld_job;

#endif
