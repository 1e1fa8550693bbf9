/* A run folder: the files that training leaves, written by rank 0.
 *
 *   run.yaml  metrics.jsonl  checkpoints/step-00000100.h5 ...  best.h5  adapter.h5  peft/  report.html
 *   samples/step-00000100-1.png ... (of an image generator, with --sample-prompts) */
#ifndef LD_RUN_H
#define LD_RUN_H

#include "io/report/metrics.h"
#include "train/trainer.h"

typedef struct ld_run {
  const ld_options *options;
  const char *out;   /* options->out */
  char *checkpoints; /* folder */
  char *config;      /* JSON text: the options that define the adapter, and digests of base and data */
  ld_metrics *metrics;
  int lock;    /* keeps two jobs from writing to one folder */
  bool locked; /* whether it is held; without locks in the file system it counts as held */
} ld_run;

/* Checks that --out is a run's folder, or holds nothing that a run would replace (run_claim.c). A folder that
 * is a run's already is locked, before anybody looks for a checkpoint in it. The options are borrowed.
 * LD_EFILE when another job holds the folder or another program's file is in the way; LD_EUSAGE when an input
 * is. */
int ld_run_lock(ld_run *run, const ld_options *options, ld_error *err);

/* Makes the folder, locks it unless ld_run_lock did (LD_EFILE when another job has left checkpoints in it
 * meanwhile), removes what a killed run left, opens metrics.jsonl (dropping records after step `step`) and
 * writes run.yaml. `run` comes from ld_run_lock. */
int ld_run_open(ld_run *run, const char *config, const char *yaml, int64_t step, ld_error *err);
void ld_run_close(ld_run *run); /* a zeroed one is fine */

/* Saves a checkpoint of the trainer's current step; older ones beyond `keep` are removed. */
int ld_run_save(ld_run *run, const ld_trainer *trainer, ld_error *err);

/* best.h5: the adapter with the best evaluation so far. */
int ld_run_save_best(ld_run *run, const ld_trainer *trainer, ld_error *err);

/* Checks that PEFT can store what is trained, so that the job fails before the first step and not after the
 * last. LD_EUNSUPPORTED names the module that PEFT could not load. */
int ld_run_check(const ld_base *base, const ld_options *options, ld_error *err);

/* The name of the folder in a run's in which others find the adapter: "peft", or "diffusers". */
const char *ld_run_hub_folder(const ld_base *base, const ld_options *options);

/* Writes adapter.h5 and that folder. */
int ld_run_finish(ld_run *run, const ld_trainer *trainer, ld_error *err);

#endif
