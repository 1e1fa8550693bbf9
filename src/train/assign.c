#include "train/assign.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "data/feed.h"
#include "objective/objectives.h"

/* Lengths are rounded up to one of so many kinds, so that data of any size needs few passes. */
enum { KINDS = 48 };

/* The work of a row by its shape, found on demand. */
typedef struct costs {
  const ld_corpus *corpus;
  const ld_options *options;
  ld_tape *tape;
  ld_feed feed;
  int unit;                             /* tokens from one kind to the next */
  double (*work)[KINDS + 1][KINDS + 1]; /* by size of the image, kind of input and of targets; 0: not known */
} costs;

static int find_work(costs *c, ld_row_shape shape, double *work, ld_error *err) {
  ld_batch batch;
  double loss;
  const int rc = ld_corpus_blank(c->corpus, 1, shape, &c->feed, &batch, err);
  if (rc) return rc;
  ld_tape_begin(c->tape, LD_PASS_TRAIN, true, c->options->recompute);
  c->corpus->base->objective->loss(c->corpus->base->model, c->tape, &batch, &loss);
  *work = ld_tape_work(c->tape);
  return 0;
}

static int kind_of(const costs *c, int n) {
  return (n + c->unit - 1) / c->unit;
}

/* Adds the work of a sequence: its kind's work, scaled to its length. */
static int add_sequence(costs *c, ld_row_shape shape, double *sum, ld_error *err) {
  const int input = kind_of(c, shape.n_input), targets = kind_of(c, shape.n_targets);
  double *work = &c->work[shape.size][input][targets];
  const ld_row_shape rounded = {input * c->unit, targets * c->unit, shape.size};
  const int rc = *work > 0 ? 0 : find_work(c, rounded, work, err);
  *sum += *work * shape.n_input / (input * c->unit);
  return rc;
}

static int add_row(costs *c, const ld_row *row, double *sum, ld_error *err) {
  const ld_plan *plan = c->corpus->plan;
  const ld_corpus *corpus = c->corpus;
  if (plan->continuous)
    return add_sequence(c, ld_corpus_shape_of(corpus, row->n_tokens, row->n_targets, 0), sum, err);
  int rc = 0;
  for (int p = 0; p < row->n_pieces && !rc; p++) {
    const ld_row_piece *piece = &plan->pieces[row->first_piece + (size_t)p];
    const ld_record *record = &corpus->records[piece->record];
    rc = add_sequence(c, ld_corpus_shape_of(corpus, piece->count, record->n_targets, record->size), sum, err);
  }
  return rc;
}

int ld_assignment_create(ld_assignment *a, const ld_corpus *corpus, ld_tape *tape, const ld_options *options,
                         int n_ranks, ld_error *err) {
  const ld_plan *plan = corpus->plan;
  const size_t most = (size_t)ld_plan_most_microbatches(plan, options->batch_size, options->micro_batch);
  costs *c = ld_alloc(1, sizeof *c);
  int rc = 0;
  *a = (ld_assignment){.plan = plan, .micro = options->micro_batch, .n_ranks = n_ranks};
  a->row_work = ld_alloc((size_t)plan->n_rows, sizeof *a->row_work);
  a->work = ld_alloc(most, sizeof *a->work);
  a->load = ld_alloc((size_t)n_ranks, sizeof *a->load);
  a->owner = ld_alloc(most, sizeof *a->owner);
  c->corpus = corpus;
  c->options = options;
  c->tape = tape;
  c->work = ld_alloc(corpus->n_sizes ? (size_t)corpus->n_sizes : 1, sizeof *c->work);
  c->unit = (plan->longest + KINDS - 1) / KINDS;
  for (int64_t i = 0; i < plan->n_rows && !rc; i++) {
    double work = 0;
    rc = add_row(c, &plan->rows[i], &work, err);
    a->row_work[i] = llround(work);
  }
  ld_feed_free(&c->feed);
  free(c->work);
  free(c);
  return rc;
}

void ld_assignment_free(ld_assignment *a) {
  free(a->row_work);
  free(a->work);
  free(a->load);
  free(a->owner);
  *a = (ld_assignment){0};
}

const int *ld_assign_step(ld_assignment *a, const int64_t *rows, int64_t n_rows) {
  int64_t n = 0;
  for (int64_t first = 0, taken; first < n_rows; first += taken, n++) {
    taken = ld_plan_take(a->plan, rows, first, n_rows - first, a->micro);
    a->work[n] = (ld_work){0, n};
    for (int64_t i = first; i < first + taken; i++) a->work[n].amount += a->row_work[rows[i]];
  }
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
