#include "train/assign.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "data/feed.h"
#include "nn/tape.h"

/* What a segment of n tokens, m of them targets, costs: token n + pair n^2 + target m. */
typedef struct rates {
  double token, pair, target;
} rates;

/* The work of one row of n tokens, all of them targets or none. */
static int work_of(const ld_corpus *corpus, ld_tape *tape, const ld_options *options, int n, bool targets,
                   double *work, ld_error *err) {
  ld_feed feed = {0};
  ld_batch batch;
  double loss;
  const int rc = ld_corpus_blank(corpus, 1, &feed, &batch, err);
  if (!rc) {
    batch.n_tokens = feed.segment[1] = n;
    for (int t = 0; !targets && t < n; t++) feed.targets[t] = -1;
    ld_tape_begin(tape, LD_PASS_TRAIN, true, options->recompute);
    ld_objective_loss(corpus->base->model, tape, &batch, &loss);
    *work = ld_tape_work(tape);
  }
  ld_feed_free(&feed);
  return rc;
}

/* From three passes: all targets, none, and half the length. */
static int find_rates(const ld_corpus *corpus, ld_tape *tape, const ld_options *options, rates *out,
                      ld_error *err) {
  const int n = corpus->plan->longest, half = n / 2;
  double all, none, shorter;
  int rc = work_of(corpus, tape, options, n, true, &all, err);
  if (!rc) *out = (rates){.token = all / n};
  if (half < 1) return rc; /* an image each, all the same */
  if (!rc) rc = work_of(corpus, tape, options, n, false, &none, err);
  if (!rc) rc = work_of(corpus, tape, options, half, false, &shorter, err);
  if (rc) return rc;
  out->target = (all - none) / n;
  out->pair = (none / n - shorter / half) / (n - half);
  out->token = none / n - out->pair * n;
  return 0;
}

static int64_t estimate(const ld_plan *plan, const ld_row *row, const rates *r) {
  double work = r->target * (double)row->n_targets;
  for (int p = 0; p < row->n_pieces; p++) {
    const double n = plan->continuous ? row->n_tokens : plan->pieces[row->first_piece + (size_t)p].count;
    work += r->token * n + r->pair * n * n;
    if (plan->continuous) break;
  }
  return llround(work);
}

int ld_assignment_create(ld_assignment *a, const ld_corpus *corpus, ld_tape *tape, const ld_options *options,
                         int n_ranks, ld_error *err) {
  const ld_plan *plan = corpus->plan;
  const size_t most = (size_t)((options->batch_size + options->micro_batch - 1) / options->micro_batch);
  rates found;
  *a = (ld_assignment){.micro = options->micro_batch, .n_ranks = n_ranks};
  const int rc = find_rates(corpus, tape, options, &found, err);
  if (rc) return rc;
  a->row_work = ld_alloc((size_t)plan->n_rows, sizeof *a->row_work);
  for (int64_t i = 0; i < plan->n_rows; i++) a->row_work[i] = estimate(plan, &plan->rows[i], &found);
  a->work = ld_alloc(most, sizeof *a->work);
  a->load = ld_alloc((size_t)n_ranks, sizeof *a->load);
  a->owner = ld_alloc(most, sizeof *a->owner);
  return 0;
}

void ld_assignment_free(ld_assignment *a) {
  free(a->row_work);
  free(a->work);
  free(a->load);
  free(a->owner);
  *a = (ld_assignment){0};
}

const int *ld_assign_step(ld_assignment *a, const int64_t *rows, int64_t n_rows) {
  const int64_t n = (n_rows + a->micro - 1) / a->micro;
  for (int64_t i = 0; i < n; i++) a->work[i] = (ld_work){0, i};
  for (int64_t i = 0; i < n_rows; i++) a->work[i / a->micro].amount += a->row_work[rows[i]];
  ld_assign_work(a->work, n, a->load, a->n_ranks, a->owner);
  return a->owner;
}

static int larger_first(const void *a, const void *b) {
  const ld_work *x = a, *y = b;
  if (x->amount != y->amount) return x->amount < y->amount ? 1 : -1;
  return x->number < y->number ? -1 : 1;
}

void ld_assign_work(ld_work *work, int64_t n, int64_t *load, int n_ranks, int *owner) {
  qsort(work, (size_t)n, sizeof *work, larger_first);
  for (int r = 0; r < n_ranks; r++) load[r] = 0;
  for (int64_t i = 0; i < n; i++) {
    int least = 0;
    for (int r = 1; r < n_ranks; r++)
      if (load[r] < load[least]) least = r;
    owner[work[i].number] = least;
    load[least] += work[i].amount;
  }
}
