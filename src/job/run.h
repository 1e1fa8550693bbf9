/* A run folder: what training leaves behind, written by rank 0.
 *
 *   run.yaml  metrics.jsonl  checkpoints/step-00000100.h5 ...  best.h5  adapter.h5  peft/  report.html
 */
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
  int lock;    /* so that two jobs never write to one folder */
  bool locked; /* whether it is held; where the file system has no locks, it counts as held */
} ld_run;

/* Makes sure that --out is a run's folder, or holds nothing that a run would replace (run_claim.c), and locks
 * it when it is a run's already, before anybody looks for a checkpoint in it. The options are borrowed. LD_EFILE
 * when another job holds it, or when a file of another is in the way; LD_EUSAGE when an input is. */
int ld_run_lock(ld_run *run, const ld_options *options, ld_error *err);

/* Makes the folder, locks it unless ld_run_lock did (LD_EFILE when another job has meanwhile left checkpoints
 * in it), sweeps what a killed run left, opens metrics.jsonl (records behind step `step` are dropped) and
 * writes run.yaml. `run` comes from ld_run_lock. */
int ld_run_open(ld_run *run, const char *config, const char *yaml, int64_t step, ld_error *err);
void ld_run_close(ld_run *run); /* a zeroed one is fine */

/* The checkpoint of the trainer's present step; older ones beyond `keep` go. */
int ld_run_save(ld_run *run, const ld_trainer *trainer, ld_error *err);

/* best.h5: the adapter with the best evaluation so far. */
int ld_run_save_best(ld_run *run, const ld_trainer *trainer, ld_error *err);

/* Whether PEFT has a form for what is trained: LD_EUNSUPPORTED, naming the module, for what it could not
 * load, which is a thing to know before the first step. */
int ld_run_check(const ld_base *base, const ld_options *options, ld_error *err);

/* adapter.h5 and peft/. */
int ld_run_finish(ld_run *run, const ld_trainer *trainer, ld_error *err);

#endif
