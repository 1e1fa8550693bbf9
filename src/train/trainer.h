/* Training: one step, and the position in training. */
#ifndef LD_TRAINER_H
#define LD_TRAINER_H

#include "data/feed.h"
#include "data/reuse.h"
#include "io/state/checkpoint.h"
#include "load/base.h"
#include "mpi/comm.h"
#include "train/adamw.h"
#include "train/assign.h"
#include "train/evaluate.h"
#include "train/exact.h"
#include "train/reduce.h"

/* Where the time of the steps goes. The first step is a warm-up and is left out once there is a second. */
typedef struct ld_step_profile {
  ld_profile rows; /* the rest of `seconds` was spent between them */
  double seconds;  /* of all steps counted, in full */
  int64_t steps, started;
  double since;
} ld_step_profile;

/* Where this process began: a step, and the position in the data, which is epoch `epoch` after `position`
 * rows. From there its batches follow each other to the end of the epoch. In a run whose settings never
 * changed they lie where they would from the beginning of the epoch. `turn` counts the batches since the
 * beginning of the first epoch; it equals the step except after a change of --batch-size or of the data. */
typedef struct ld_origin {
  int64_t step, epoch, position, turn;
} ld_origin;

typedef struct ld_trainer {
  const ld_options *options;
  ld_comm *comm;
  ld_base *base;
  const ld_corpus *data, *valid; /* valid may be NULL */
  ld_tape *tape;
  ld_feed feed;
  ld_assignment assignment;
  ld_exact exact;
  ld_reduce reduce;
  ld_adamw adamw;
  ld_progress progress;
  int64_t steps_per_epoch, total_steps;
  ld_origin origin;
  ld_reuse *reuse;         /* NULL: nothing is kept */
  double kept_floats;      /* of a sample of the largest kind */
  size_t activation_bytes; /* of this rank, with scratch */
  int64_t *order;          /* of the rows in the current epoch */
  int64_t *scratch;        /* for ld_plan_balance */
  int64_t order_epoch;
  int64_t fetched_until;   /* each rank has the records that it needs for all steps before this one */
  ld_step_profile profile; /* filled with --profile */
} ld_trainer;

/* The result of a step. */
typedef struct ld_step_report {
  int64_t step; /* from 1 */
  double loss;  /* mean over the batch's target tokens */
  double lr, grad_norm;
  int64_t n_targets, n_tokens;
  int64_t stop_requests; /* ranks that were asked to stop */
  int tries;             /* 1; more when the exact sum needed other exponents */
  ld_waits waits;
} ld_step_report;

/* Sizes all memory by a dry pass. The base must have its adapter. LD_EMEMORY when the machine does not have
 * enough; LD_EMISMATCH when the data is shorter than one batch. Collective. */
int ld_trainer_create(ld_trainer *trainer, const ld_options *options, ld_comm *comm, ld_base *base,
                      const ld_corpus *data, const ld_corpus *valid, ld_error *err);
void ld_trainer_free(ld_trainer *trainer);

/* The trainer's parts, for an evaluation between steps. */
ld_session ld_trainer_session(ld_trainer *trainer);

/* Bytes of this rank's parameters with gradients, moments and exact sums. */
size_t ld_trainer_state_bytes(const ld_trainer *trainer);

/* Bytes of this rank's index of the data: where the records are, which rows they make, and the rows' order.
 */
size_t ld_trainer_index_bytes(const ld_trainer *trainer);

/* Bytes that one rank contributes to the sums of a step, and the seconds that the sums take when all ranks
 * wait for them, measured between steps. The second call is collective. */
size_t ld_trainer_traffic(const ld_trainer *trainer);
double ld_trainer_probe(ld_trainer *trainer);

/* One optimizer step over one batch of the whole job. `stop_asked` says that this rank received a signal.
 * LD_ENUMERIC, naming the step, for a loss or a gradient that is not finite; the parameters are then
 * unchanged. Collective. */
int ld_trainer_step(ld_trainer *trainer, bool stop_asked, ld_step_report *report, ld_error *err);

/* The state as a checkpoint with `config` (JSON text). The caller frees it. */
ld_checkpoint *ld_trainer_save(const ld_trainer *trainer, const char *config);

/* Takes optimizer state and position from a checkpoint whose adapter is already on the base. With `restart`
 * the current epoch begins again, because the position means nothing for other data. LD_EMISMATCH when the
 * checkpoint has no optimizer state. */
int ld_trainer_resume(ld_trainer *trainer, const ld_checkpoint *checkpoint, bool restart, const char *path,
                      ld_error *err);

/* The rows of a step's batch, borrowed from the epoch's order, and their number. */
int64_t ld_trainer_rows(ld_trainer *trainer, int64_t step, const int64_t **rows);

/* Whether the gradients of a backward pass are added to the sums of a step. They are by default; not those of
 * a pass that is only timed. */
void ld_trainer_count_gradients(ld_trainer *trainer, bool count);

/* The progress so far, in epochs. */
double ld_trainer_epochs(const ld_trainer *trainer);

#endif
