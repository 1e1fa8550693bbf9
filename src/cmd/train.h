/* A training job, as the files of the train command share it.
 */
#ifndef LD_CMD_TRAIN_H
#define LD_CMD_TRAIN_H

#include "cmd/command.h"
#include "train/estimate.h"
#include "train/run.h"
#include "train/share.h"

typedef struct ld_job {
  ld_options options; /* with what an initial adapter decides; strings are borrowed */
  ld_comm *comm;
  ld_digests *digests;
  char settings[LD_DIGEST_TEXT + 1];    /* digest of the base's config and tokenizer */
  char init_digest[LD_DIGEST_TEXT + 1]; /* of --init-adapter's adapter; empty without one */
  ld_base base;
  ld_share model;          /* how the base came here */
  ld_corpus *data, *valid; /* valid may be NULL */
  ld_trainer trainer;
  ld_run run; /* rank 0's */
  char *config;
  double began, started, last_line; /* seconds on ld_clock: of the program, the first step, the last line */
  double in_steps;                  /* seconds spent in steps, for the time left */
  double longest;                   /* of the steps, with what came behind it */
  double report_due;                /* when report.html may be written again; rank 0's */
  ld_estimate estimate;             /* of the time to come, made by the preflight */
  ld_waits waits;                   /* of all steps */
  int64_t first_step;
  char why_stopped[48]; /* "SIGTERM", "time limit of 60 s reached"; empty for a run that goes on */
} ld_job;

/* Opens base, data and adapter: a fresh one, --init-adapter's, or that of the checkpoint to go on from.
 * Collective. */
int ld_job_open(ld_job *job, ld_error *err);

/* Where digests of the job's files are kept. */
const char *ld_job_cache(const ld_job *job);

/* Rank 0 finds the checkpoint to go on from and leaves it in *found; *path, on every rank, is NULL when
 * training begins anew. The caller frees both. Collective. */
int ld_job_find_checkpoint(ld_job *job, char **path, ld_checkpoint **found, ld_error *err);

/* Options, data and base must be those of the checkpoint: with others its adapter would be the function of
 * neither. Collective. LD_EMISMATCH lists all that differs and --resume-override does not name; what it names is warned
 * of. *restart says that the epoch begins again, as the place in the data has lost its meaning. */
int ld_job_compare(ld_job *job, ld_checkpoint *checkpoint, const char *path, bool *restart,
                   ld_error *err);

/* What runs where, whether it fits and what is trained on, a line each. Collective. An error is one of
 * reading the data. */
int ld_job_preflight(ld_job *job, ld_error *err);

/* "2h05m", "3m07s", "12 s", "1.2 s" or "85 ms". */
void ld_put_duration(char *text, size_t size, double seconds);

/* A test write to --out, whose run must be open, and whether it has room for the checkpoints. Rank 0 only. */
int ld_job_try_out(const ld_job *job, ld_error *err);

/* The same of a dry run, which writes nothing: the folder need not be there. Rank 0 only. */
void ld_job_show_out(const ld_job *job);

/* Memory: of the base, as its tensors are stored, and of a rank. */
double ld_job_base_bytes(const ld_job *job);
size_t ld_job_rank_bytes(const ld_job *job);

/* What a person is told: the job before it starts, each step (a progress line on a terminal, few lines
 * elsewhere), the dry run. */
void ld_job_describe(const ld_job *job);
void ld_job_show_step(ld_job *job, const ld_step_report *report, double seconds);
void ld_job_show_eval(const ld_job *job, const ld_evaluation *evaluation);
void ld_job_show_end(const ld_job *job);
void ld_job_print_plan(const ld_job *job);

/* Warns of a run whose loss ends far above what it was; rank 0 only, when metrics.jsonl is whole. */
void ld_job_judge(const ld_job *job);

/* With --profile, rank 0 only: where the time of its steps went, as a table and as profile.json. */
int ld_job_profile(const ld_job *job, ld_error *err);

/* What metrics.jsonl is told; rank 0 only. */
int ld_job_record_start(ld_job *job, ld_error *err);
int ld_job_record_step(ld_job *job, const ld_step_report *report, double seconds, ld_error *err);
int ld_job_record_eval(ld_job *job, const ld_evaluation *evaluation, double seconds, ld_error *err);
int ld_job_record_end(ld_job *job, ld_error *err);
int ld_job_record_stop(ld_job *job, ld_error *err);

#endif
