#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/machine.h"
#include "base/memory.h"
#include "data/fetch.h"
#include "load/base_adapter.h"

enum { RESULTS = 4 /* that are kept of a sample, in most cases */ };

/* The counters that travel before the gradients' exact sums. */
enum { LOSS, TARGETS = LOSS + LD_LOSS_WORDS, TOKENS, NOT_FINITE, FAILED, STOP, BUSY };
_Static_assert((int)BUSY < (int)LD_EXACT_COUNTERS, "the sums hold all counters");

static void count_steps(ld_trainer *t) {
  const ld_options *options = t->options;
  t->steps_per_epoch = ld_plan_steps(t->data->plan, options->batch_size);
  t->total_steps = options->steps ? options->steps
                                  : (int64_t)ceil(options->epochs * (double)t->steps_per_epoch) +
                                        t->origin.step - t->origin.turn;
}

static ld_profile *profile_of(ld_trainer *t) {
  return t->options->profile ? &t->profile.rows : NULL;
}

static void poll(void *self) {
  const ld_trainer *t = self;
  ld_comm_poll(t->comm);
}

static void layer_trained(void *self, const ld_linear *layer) {
  ld_trainer *t = self;
  double since = ld_profile_clock(profile_of(t));
  ld_reduce_layer(&t->reduce, layer);
  ld_profile_lap(profile_of(t), &since, "sum gradients", NULL, LD_PROFILE_OUTSIDE, 0);
}

void ld_trainer_count_gradients(ld_trainer *t, bool count) {
  ld_tape_on_trained(t->tape, count ? layer_trained : NULL, t);
}

/* Results of frozen layers are kept where a later epoch reads them. */
static void open_reuse(ld_trainer *t) {
  const char *how = t->options->reuse;
  if (!strcmp(how, "no") || t->options->dry_run || t->total_steps <= t->steps_per_epoch) return;
  const int64_t variants = t->options->flip ? 2 : 1, n_valid = t->valid ? t->valid->n_records : 0;
  t->reuse = ld_reuse_open(t->comm, t->options->scratch, RESULTS * (variants * t->data->n_records + n_valid),
                           !strcmp(how, "yes"));
  if (t->reuse) ld_tape_keep(t->tape, ld_reuse_keeper(t->reuse));
}

int ld_trainer_create(ld_trainer *t, const ld_options *options, ld_comm *comm, ld_base *base,
                      const ld_corpus *data, const ld_corpus *valid, ld_error *err) {
  *t = (ld_trainer){
      .options = options, .comm = comm, .base = base, .data = data, .valid = valid, .order_epoch = -1};
  t->progress = (ld_progress){.seed = (uint64_t)options->seed, .best_loss = INFINITY, .best_cost = INFINITY};
  count_steps(t);
  t->order = ld_alloc((size_t)data->plan->n_rows, sizeof *t->order);
  t->scratch = ld_alloc(2 * (size_t)options->batch_size, sizeof *t->scratch);
  ld_exact_create(&t->exact, base->params->list, base->params->n);
  ld_reduce_create(&t->reduce, comm, &t->exact);
  ld_adamw_create(&t->adamw, options, base->params->n_floats);
  t->tape = ld_tape_create();
  open_reuse(t);
  ld_tape_on_poll(t->tape, poll, t);
  ld_trainer_count_gradients(t, true);
  int rc = ld_assignment_create(&t->assignment, data, t->tape, options, ld_comm_size(comm), err);
  const ld_session session = ld_trainer_session(t);
  if (!rc)
    rc = ld_session_fit(&session, LD_PASS_TRAIN, options->recompute, data, valid, &t->activation_bytes, err);
  t->kept_floats = (double)ld_tape_kept_floats(t->tape) / (double)ld_session_rows(&session, data, valid);
  return ld_comm_agree(comm, rc, err);
}

ld_session ld_trainer_session(ld_trainer *t) {
  return (ld_session){t->comm, t->tape, &t->feed, t->base->model, (int)t->options->micro_batch};
}

void ld_trainer_free(ld_trainer *t) {
  ld_tape_free(t->tape);
  ld_reuse_close(t->reuse);
  ld_feed_free(&t->feed);
  ld_reduce_free(&t->reduce);
  ld_exact_free(&t->exact);
  ld_assignment_free(&t->assignment);
  ld_adamw_free(&t->adamw);
  ld_profile_free(&t->profile.rows);
  free(t->order);
  free(t->scratch);
  free(t->progress.exponents);
  *t = (ld_trainer){0};
}

size_t ld_trainer_state_bytes(const ld_trainer *t) {
  return t->base->params->n_floats * (4 * sizeof(float) + sizeof(int64_t));
}

size_t ld_trainer_index_bytes(const ld_trainer *t) {
  const size_t orders = (size_t)t->data->plan->n_rows * (sizeof *t->order + sizeof *t->assignment.row_work);
  return ld_corpus_bytes(t->data) + (t->valid ? ld_corpus_bytes(t->valid) : 0) + orders;
}

size_t ld_trainer_traffic(const ld_trainer *t) {
  return (LD_EXACT_COUNTERS + t->exact.n_floats) * sizeof *t->exact.sums +
         (t->exact.n_params + 1) * sizeof *t->exact.peak;
}

/* Times the second sum: the first one also connects the ranks. */
double ld_trainer_probe(ld_trainer *t) {
  double seconds = 0;
  for (int i = 0; i < 2; i++) {
    ld_waits waits = {0};
    ld_reduce_begin(&t->reduce);
    ld_comm_barrier(t->comm);
    const double began = ld_clock();
    ld_reduce_end(&t->reduce, 0, BUSY, &waits);
    seconds = ld_clock() - began;
  }
  ld_comm_max_f64(t->comm, &seconds, 1);
  return seconds;
}

/* Adds what was done since the last lap to the row `name`; NULL: to no row. */
static void lap(ld_trainer *t, const char *name) {
  if (name)
    ld_profile_lap(profile_of(t), &t->profile.since, name, NULL, LD_PROFILE_OUTSIDE, 0);
  else
    t->profile.since = ld_profile_clock(profile_of(t));
}

static int64_t rows_from(const ld_trainer *t, int64_t first) {
  const int64_t batch = t->options->batch_size, rest = t->data->plan->n_rows - first;
  return rest < batch ? rest : batch;
}

static void order_epoch(ld_trainer *t, int64_t epoch) {
  const ld_plan *plan = t->data->plan;
  ld_plan_order(plan, (uint64_t)t->options->seed, epoch, t->options->shuffle, t->order);
  const int64_t begin = epoch == t->origin.epoch ? t->origin.position : 0;
  for (int64_t first = begin; first < plan->n_rows; first += t->options->batch_size)
    ld_plan_balance(plan, t->options->micro_batch, t->order + first, rows_from(t, first), t->scratch);
  t->order_epoch = epoch;
}

/* Where a step's batch begins: its epoch, and its first row in the order of that epoch. */
static void find_batch(const ld_trainer *t, int64_t step, int64_t *epoch, int64_t *first) {
  const ld_origin *o = &t->origin;
  const int64_t turn = step - o->step + o->turn, in_epoch = turn % t->steps_per_epoch;
  *epoch = turn / t->steps_per_epoch;
  *first = *epoch == o->epoch ? o->position + (turn - o->turn) * t->options->batch_size
                              : in_epoch * t->options->batch_size;
}

int64_t ld_trainer_rows(ld_trainer *t, int64_t step, const int64_t **rows) {
  int64_t epoch, first;
  find_batch(t, step, &epoch, &first);
  if (epoch != t->order_epoch) order_epoch(t, epoch);
  *rows = t->order + first;
  return rows_from(t, first);
}

static int64_t n_microbatches(const ld_trainer *t, const int64_t *rows, int64_t n_rows) {
  return ld_plan_microbatches(t->data->plan, rows, n_rows, t->options->micro_batch);
}

/* Fetches the records of the steps from `step` on, as many as fit in one exchange, in the epoch's current
 * order. */
static int fetch_records(ld_trainer *t, int64_t step, ld_error *err) {
  const int64_t batch = t->options->batch_size;
  int64_t epoch, first;
  if (step < t->fetched_until || !ld_corpus_is_fetched(t->data)) return 0;
  find_batch(t, step, &epoch, &first);
  const int64_t rest = t->data->plan->n_rows - first, to_do = (t->total_steps - step) * batch;
  const int64_t *rows = t->order + first;
  const int64_t n = ld_corpus_window(t->data, rows, rest < to_do ? rest : to_do, batch);
  int *owners = ld_alloc((size_t)n, sizeof *owners);
  for (int64_t begin = 0; begin < n; begin += batch) {
    const int64_t count = n - begin < batch ? n - begin : batch;
    const int *owner = ld_assign_step(&t->assignment, rows + begin, count);
    for (int64_t i = 0, taken; i < count; i += taken, owner++) {
      taken = ld_plan_take(t->data->plan, rows + begin, i, count - i, t->options->micro_batch);
      for (int64_t k = i; k < i + taken; k++) owners[begin + k] = *owner;
    }
  }
  t->fetched_until = step + (n + batch - 1) / batch;
  const int rc = ld_corpus_fetch(t->data, t->comm, rows, owners, n, err);
  free(owners);
  return rc;
}

/* Forward and backward pass of one whole microbatch, and its addition to the sums. */
static int microbatch(ld_trainer *t, const int64_t *rows, int n_rows, uint64_t number, bool last,
                      ld_error *err) {
  const ld_model *model = t->base->model;
  ld_params *params = t->base->params;
  ld_batch batch;
  const int rc = ld_corpus_batch(t->data, rows, n_rows, t->order_epoch, &t->feed, &batch, err);
  lap(t, "data");
  if (rc) return rc;
  batch.seed = (uint64_t)t->options->seed;
  batch.number = number;
  double loss = 0;
  memset(params->grad, 0, params->n_floats * sizeof(float));
  lap(t, "sum gradients");
  ld_reduce_microbatch(&t->reduce, last);
  ld_tape_begin(t->tape, LD_PASS_TRAIN, false, t->options->recompute);
  t->base->objective->loss(model, t->tape, &batch, &loss);
  ld_tape_backward(t->tape);
  lap(t, NULL);
  ld_reduce_rest(&t->reduce);
  lap(t, "sum gradients");
  int64_t *counters = t->exact.sums;
  counters[NOT_FINITE] += !ld_exact_add_loss(counters + LOSS, loss);
  for (int i = 0; i < n_rows; i++) {
    counters[TOKENS] += t->data->plan->rows[rows[i]].n_tokens;
    counters[TARGETS] += t->data->plan->rows[rows[i]].n_targets;
  }
  return 0;
}

/* This rank's microbatches of the step. */
static int my_microbatches(ld_trainer *t, int64_t step, const int64_t *rows, int64_t n_rows, ld_error *err) {
  const ld_plan *plan = t->data->plan;
  const int64_t micro = t->options->micro_batch, n = n_microbatches(t, rows, n_rows);
  const int64_t per_step = ld_plan_most_microbatches(plan, t->options->batch_size, micro);
  const int *owner = ld_assign_step(&t->assignment, rows, n_rows), me = ld_comm_rank(t->comm);
  int64_t last = n - 1;
  while (last >= 0 && owner[last] != me) last--;
  for (int64_t i = 0, first = 0, count; i <= last; i++, first += count) {
    count = ld_plan_take(plan, rows, first, n_rows - first, micro);
    if (owner[i] != me) continue;
    const int rc = microbatch(t, rows + first, (int)count, (uint64_t)(step * per_step + i), i == last, err);
    if (rc) return rc;
  }
  return 0;
}

/* Sums over all ranks; an error on one becomes everyone's. */
static int reduce(ld_trainer *t, int rc, bool stop_asked, double began, ld_waits *waits, ld_error *err) {
  int64_t *counters = t->exact.sums;
  counters[FAILED] = rc != 0;
  counters[STOP] = stop_asked;
  ld_reduce_end(&t->reduce, ld_clock() - began, BUSY, waits);
  if (counters[FAILED]) return ld_comm_agree(t->comm, rc, err);
  const ld_param *broken = ld_exact_not_finite(&t->exact);
  const long long step = (long long)t->progress.step + 1;
  if (counters[NOT_FINITE])
    return ld_fail(err, LD_ENUMERIC,
                   "step %lld: the loss is not finite, and the step is not saved: lower --lr, or check the "
                   "data and the base model",
                   step);
  if (broken)
    return ld_fail(
        err, LD_ENUMERIC,
        "step %lld: the gradient of %s.%s is not finite, and the step is not saved: lower --lr, or "
        "check the data and the base model",
        step, broken->module, broken->role);
  return 0;
}

static int take_step(ld_trainer *t, bool stop_asked, ld_step_report *report, ld_error *err) {
  const int64_t step = t->progress.step, *rows, n_rows = ld_trainer_rows(t, step, &rows);
  ld_params *params = t->base->params;
  const int fetched = fetch_records(t, step, err);
  lap(t, "data");
  if (fetched) return fetched;
  *report = (ld_step_report){.step = step + 1};
  ld_comm_at(t->comm, "step %lld", (long long)step + 1);
  do {
    const double began = ld_clock();
    ld_reduce_begin(&t->reduce);
    lap(t, "sum gradients");
    const int local = my_microbatches(t, step, rows, n_rows, err);
    lap(t, NULL);
    const int rc = reduce(t, local, stop_asked, began, &report->waits, err);
    lap(t, "allreduce");
    if (rc) return rc;
    report->tries++;
  } while (!ld_exact_fit(&t->exact, n_microbatches(t, rows, n_rows)));
  const int64_t *counters = t->exact.sums;
  ld_exact_mean(&t->exact, (double)counters[TARGETS]);
  lap(t, "sum gradients");
  report->grad_norm = ld_clip(params->grad, params->n_floats, t->options->clip);
  report->lr = ld_learning_rate(t->options, step, t->total_steps);
  ld_adamw_step(&t->adamw, params->data, params->grad, report->lr, step + 1);
  ld_params_update(params);
  lap(t, "optimizer");
  report->loss = ld_exact_loss(counters + LOSS) / (double)counters[TARGETS];
  report->n_targets = counters[TARGETS];
  report->n_tokens = counters[TOKENS];
  report->stop_requests = counters[STOP];
  t->progress.step = step + 1;
  find_batch(t, step + 1, &t->progress.epoch, &t->progress.position);
  t->progress.tokens += report->n_targets;
  return 0;
}

int ld_trainer_step(ld_trainer *t, bool stop_asked, ld_step_report *report, ld_error *err) {
  ld_step_profile *p = &t->profile;
  if (!profile_of(t)) return take_step(t, stop_asked, report, err);
  if (p->started++ == 1) {
    ld_profile_zero(&p->rows);
    p->seconds = 0;
    p->steps = 0;
  }
  const double began = p->since = ld_profile_clock(&p->rows);
  ld_tape_profile(t->tape, &p->rows);
  const int rc = take_step(t, stop_asked, report, err);
  ld_tape_profile(t->tape, NULL); /* evaluations are not part of a step */
  p->seconds += ld_profile_clock(&p->rows) - began;
  p->steps++;
  return rc;
}

/* One array per parameter, copied out of the flat array. */
static float **split(const ld_params *params, const float *flat) {
  float **parts = ld_alloc(params->n, sizeof *parts);
  for (size_t i = 0; i < params->n; i++) {
    const size_t n = params->list[i].count;
    parts[i] = memcpy(ld_alloc(n, sizeof(float)), flat, n * sizeof(float));
    flat += n;
  }
  return parts;
}

static void join(const ld_params *params, float *const *parts, float *flat) {
  for (size_t i = 0; i < params->n; i++) {
    const size_t n = params->list[i].count;
    memcpy(flat, parts[i], n * sizeof(float));
    flat += n;
  }
}

ld_checkpoint *ld_trainer_save(const ld_trainer *t, const char *config) {
  ld_checkpoint *checkpoint = ld_alloc(1, sizeof *checkpoint);
  const size_t n = t->exact.n_params;
  checkpoint->adapter = ld_base_adapter(t->base, t->options);
  checkpoint->config = ld_strdup(config);
  checkpoint->has_trainer = true;
  checkpoint->m = split(t->base->params, t->adamw.m);
  checkpoint->v = split(t->base->params, t->adamw.v);
  checkpoint->progress = t->progress;
  checkpoint->progress.n_exponents = n;
  checkpoint->progress.exponents =
      memcpy(ld_alloc(n, sizeof(int32_t)), t->exact.exponent, n * sizeof(int32_t));
  return checkpoint;
}

/* Finds the checkpoint's position in the current batches. */
static int take_place(ld_trainer *t, const ld_progress *p, bool restart, const char *path, ld_error *err) {
  const int64_t rows = t->data->plan->n_rows, batch = t->options->batch_size;
  ld_origin o = {.step = p->step, .epoch = p->epoch, .position = restart ? 0 : p->position};
  if (o.position >= rows || o.epoch > INT64_MAX / 4 / t->steps_per_epoch || o.step > INT64_MAX / 4)
    return ld_fail(err, LD_EMISMATCH,
                   "%s: its position in the data, row %lld of epoch %lld, does not exist "
                   "in %s",
                   path, (long long)o.position, (long long)o.epoch, ld_dataset_path(t->data->dataset));
  o.turn = (o.epoch + 1) * t->steps_per_epoch - (rows - o.position + batch - 1) / batch;
  t->origin = o;
  t->order_epoch = -1;
  count_steps(t);
  t->progress = *p;
  t->progress.position = o.position;
  t->progress.seed = (uint64_t)t->options->seed;
  t->progress.exponents = NULL;
  t->progress.n_exponents = 0;
  return 0;
}

double ld_trainer_epochs(const ld_trainer *t) {
  const ld_progress *p = &t->progress;
  return (double)(p->step - t->origin.step + t->origin.turn) / (double)t->steps_per_epoch;
}

int ld_trainer_resume(ld_trainer *t, const ld_checkpoint *checkpoint, bool restart, const char *path,
                      ld_error *err) {
  if (!checkpoint->has_trainer)
    return ld_fail(err, LD_EMISMATCH,
                   "%s: holds a finished adapter without optimizer state: use it with --init-adapter", path);
  if (checkpoint->progress.n_exponents != t->exact.n_params)
    return ld_fail(err, LD_EMISMATCH, "%s: belongs to a run that adapts other modules", path);
  join(t->base->params, checkpoint->m, t->adamw.m);
  join(t->base->params, checkpoint->v, t->adamw.v);
  memcpy(t->exact.exponent, checkpoint->progress.exponents, t->exact.n_params * sizeof(int32_t));
  return take_place(t, &checkpoint->progress, restart, path, err);
}
