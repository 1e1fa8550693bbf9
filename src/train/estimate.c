#include "train/estimate.h"

#include <math.h>

#include "base/machine.h"

/* A trial pass: its floating-point operations, those of them that make what later passes reuse, and its seconds and those
 * of its forward half. */
typedef struct trial {
  double work, kept, seconds, forward;
} trial;

enum { SHORT = 64, GROWTH = 4, REPEATED = 5 }; /* tokens of the first pass; growth from one to the next */
static const double LONG = 0.2;                /* seconds: a pass this long is measured well enough */

/* One pass over `n_rows` blank rows that read n_tokens each. */
static int try_pass(ld_trainer *t, int64_t n_rows, int n_tokens, trial *out, ld_error *err) {
  ld_batch batch;
  const int rc = ld_corpus_blank(t->data, n_rows, ld_corpus_shape(t->data, n_tokens), &t->feed, &batch, err);
  if (rc) return rc;
  double loss;
  const double began = ld_clock();
  ld_tape_begin(t->tape, LD_PASS_TRAIN, false, t->options->recompute);
  t->base->objective->loss(t->base->model, t->tape, &batch, &loss);
  out->forward = ld_clock() - began;
  out->work = ld_tape_work(t->tape);
  out->kept = ld_tape_kept_work(t->tape);
  ld_tape_backward(t->tape);
  out->seconds = ld_clock() - began;
  return 0;
}

/* Larger and larger passes, up to a whole microbatch. The last one is repeated while that is quick, and the
 * fastest counts: what only a first pass pays for (page faults of the model) and chance delays (other
 * programs) are not part of a step's cost. Not where a pass reuses what the one before it made. */
static int try_passes(ld_trainer *t, trial *out, ld_error *err) {
  const int64_t longest = ld_corpus_longest(t->data).n_input, micro = t->options->micro_batch;
  const int64_t most = micro < t->data->plan->n_rows ? micro : t->data->plan->n_rows;
  const double began = ld_clock();
  int64_t n_rows = 1, n_tokens = longest < SHORT ? longest : SHORT;
  int rc = try_pass(t, n_rows, (int)n_tokens, out, err);
  while (!rc && out->seconds < LONG && (n_tokens < longest || n_rows < most)) {
    if (n_tokens < longest)
      n_tokens = n_tokens * GROWTH < longest ? n_tokens * GROWTH : longest;
    else
      n_rows = n_rows * GROWTH < most ? n_rows * GROWTH : most;
    rc = try_pass(t, n_rows, (int)n_tokens, out, err);
  }
  for (int i = 1; i < REPEATED && !rc && !out->kept && ld_clock() - began < 2 * LONG; i++) {
    trial again;
    rc = try_pass(t, n_rows, (int)n_tokens, &again, err);
    if (!rc && again.seconds < out->seconds) *out = again;
  }
  return rc;
}

/* The work of the busiest rank, averaged over the remaining steps or the first of them. */
static double mean_load(ld_trainer *t) {
  enum { MOST = 50 };
  const int64_t first = t->progress.step, left = t->total_steps - first, n = left < MOST ? left : MOST;
  double sum = 0;
  for (int64_t i = 0; i < n; i++) {
    const int64_t *rows, n_rows = ld_trainer_rows(t, first + i, &rows);
    int64_t most = 0;
    ld_assign_step(&t->assignment, rows, n_rows);
    for (int r = 0; r < t->assignment.n_ranks; r++)
      if (t->assignment.load[r] > most) most = t->assignment.load[r];
    sum += (double)most;
  }
  return n > 0 ? sum / (double)n : 0;
}

/* The evaluations still to come: between steps, at the end, and before the first step. */
static double n_evaluations(const ld_trainer *t, int64_t left) {
  const int64_t every = t->options->eval_every ? t->options->eval_every : t->steps_per_epoch;
  if (!t->valid || left < 1) return 0;
  return ceil((double)left / (double)every) + (t->progress.step == 0);
}

int ld_estimate_make(ld_trainer *t, double network, ld_estimate *e, ld_error *err) {
  const double began = ld_clock();
  trial found = {0};
  ld_trainer_count_gradients(t, false);
  const int rc = ld_comm_agree(t->comm, try_passes(t, &found, err), err);
  ld_trainer_count_gradients(t, true);
  if (rc) return rc;
  double rate = found.work > 0 ? found.seconds / found.work : 0; /* seconds per operation */
  ld_comm_max_f64(t->comm, &rate, 1);
  const int64_t left = t->total_steps - t->progress.step;
  const double pass = rate * mean_load(t), epoch = pass * (double)t->steps_per_epoch;
  const double kept = found.work > 0 ? found.kept / found.work : 0;
  *e = (ld_estimate){
      .step = pass * (1 - kept) + network, .first = pass + network, .steps = left > 0 ? left : 0};
  const int64_t first = e->steps < t->steps_per_epoch ? e->steps : t->steps_per_epoch;
  e->rest = e->first * (double)first + e->step * (double)(e->steps - first);
  if (t->valid && found.seconds > 0)
    e->rest += n_evaluations(t, left) * epoch * fmax(found.forward / found.seconds - kept, 0) *
               (double)t->valid->plan->n_tokens / (double)t->data->plan->n_tokens;
  e->trial = ld_clock() - began;
  return 0;
}
