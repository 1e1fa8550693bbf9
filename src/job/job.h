/* The state of a training job, shared by the files of this folder. */
#ifndef LD_JOB_H
#define LD_JOB_H

#include "data/distribute.h"
#include "generate/pictures.h"
#include "generate/prompts.h"
#include "generate/settings.h"
#include "io/hub/digests.h"
#include "job/run.h"
#include "mpi/comm.h"
#include "train/estimate.h"

typedef struct ld_job {
  ld_options options; /* with what an initial adapter decides; strings are borrowed */
  ld_comm *comm;
  ld_digests *digests;
  bool new_out;                         /* on rank 0: --out did not exist before */
  char settings[LD_DIGEST_TEXT + 1];    /* digest of the base's config and tokenizer */
  char init_digest[LD_DIGEST_TEXT + 1]; /* digest of --init-adapter's adapter; empty without one */
  ld_base base;
  ld_distributed model;           /* how the base reached this host */
  ld_corpus *data, *valid;        /* valid may be NULL */
  ld_prompts prompts;             /* prompts whose texts are shown; rank 0's */
  ld_generation_settings samples; /* how those texts are written; rank 0's */
  ld_picture_prompts shown;       /* prompts whose pictures are shown; every rank's */
  ld_picture_settings drawing;    /* how those pictures are made */
  bool writes;                    /* whether there are any texts or pictures */
  ld_corpus *asked;               /* the validation data as prompts, for --eval-generate; NULL without */
  ld_generation_settings writing; /* how their texts are written */
  ld_trainer trainer;
  ld_run run; /* rank 0's */
  char *config;
  double began, started, last_line; /* seconds on ld_clock: program, first step, last line */
  double in_steps;                  /* seconds spent in steps, for the time left */
  double longest;                   /* of the steps, each with what came after it */
  double report_due;                /* when report.html may be written again; rank 0's */
  ld_estimate estimate;             /* of the remaining time, made by the preflight */
  ld_waits waits;                   /* of all steps */
  int64_t first_step;
  char why_stopped[48]; /* "SIGTERM", "time limit of 60 s reached"; empty while the run continues */
} ld_job;

#endif
