/* A run folder: what training leaves behind, written by rank 0.
 *
 *   run.yaml  metrics.jsonl  checkpoints/step-00000100.h5 ...  best.h5  adapter.h5  peft/  report.html
 */
#ifndef LD_RUN_H
#define LD_RUN_H

#include "io/metrics.h"
#include "train/trainer.h"

typedef struct ld_run {
  const char *out;
  char *checkpoints; /* folder */
  char *config;      /* JSON text: the options that define the adapter, and digests of base and data */
  ld_metrics *metrics;
  int lock; /* so that two jobs never write to one folder */
} ld_run;

/* Makes the folder, locks it, sweeps what a killed run left, opens metrics.jsonl (records behind step `step`
 * are dropped) and writes run.yaml. */
int ld_run_open(ld_run *run, const char *out, const char *config, const char *yaml, int64_t step,
                ld_error *err);
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
