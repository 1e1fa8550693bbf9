#include "train/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "data/fetch.h"
#include "data/walk.h"
#include "train/exact.h"

/* At least as long as both. */
static ld_row_shape wider(ld_row_shape a, ld_row_shape b) {
  return (ld_row_shape){a.n_input > b.n_input ? a.n_input : b.n_input,
                        a.n_targets > b.n_targets ? a.n_targets : b.n_targets, 0};
}

/* A dry pass over rows of that shape. */
static int try_shape(const ld_session *session, enum ld_pass pass, bool recompute, const ld_corpus *corpus,
                     int64_t rows, ld_row_shape shape, ld_error *err) {
  ld_tape *tape = session->tape;
  ld_batch batch;
  double loss;
  const int rc = ld_corpus_blank(corpus, rows, shape, session->feed, &batch, err);
  if (rc) return rc;
  ld_tape_begin(tape, pass, true, recompute);
  corpus->base->objective->loss(session->model, tape, &batch, &loss);
  if (pass == LD_PASS_TRAIN) ld_tape_backward(tape);
  return 0;
}

int64_t ld_session_rows(const ld_session *session, const ld_corpus *corpus, const ld_corpus *second) {
  int64_t rows = corpus->plan->n_rows;
  if (second && second->plan->n_rows > rows) rows = second->plan->n_rows;
  return rows > session->micro_batch ? session->micro_batch : rows;
}

int ld_session_fit(const ld_session *session, enum ld_pass pass, bool recompute, const ld_corpus *corpus,
                   const ld_corpus *second, size_t *bytes, ld_error *err) {
  ld_row_shape shape = ld_corpus_longest(corpus);
  if (second) shape = wider(shape, ld_corpus_longest(second));
  const int64_t rows = ld_session_rows(session, corpus, second);
  ld_tape_room most = {0};
  for (int size = 0; size < (corpus->n_sizes ? corpus->n_sizes : 1); size++) {
    if (!ld_corpus_has_size(corpus, size) && !(second && ld_corpus_has_size(second, size))) continue;
    shape.size = size;
    const int rc = try_shape(session, pass, recompute, corpus, rows, shape, err);
    if (rc) return rc;
    ld_tape_need_most(session->tape, &most);
  }
  *bytes = ld_tape_bytes(session->tape);
  if (ld_tape_reserve(session->tape)) return 0;
  return ld_fail(err, LD_EMEMORY,
                 "out of memory: activations need %.1f MiB per rank, more than is available: lower "
                 "--micro-batch or --seq-len, use --recompute, or " LD_MEMORY_REMEDY,
                 (double)*bytes / 0x1p20);
}

/* A microbatch after its forward pass. */
typedef struct pass {
  ld_batch batch;
  const ld_tensor *outputs; /* NULL for none */
  double loss;
} pass;

/* Makes the batch of rows [first, first + n) and runs it. */
static int run(const ld_session *session, const ld_corpus *corpus, int64_t first, int n, pass *out,
               ld_error *err) {
  int64_t *rows = ld_alloc((size_t)n, sizeof *rows);
  for (int i = 0; i < n; i++) rows[i] = first + i;
  const int rc = ld_corpus_batch(corpus, rows, n, -1, session->feed, &out->batch, err);
  free(rows);
  if (rc) return rc;
  ld_tape_begin(session->tape, LD_PASS_INFER, false, false);
  out->outputs = corpus->base->objective->loss(session->model, session->tape, &out->batch, &out->loss);
  return 0;
}

/* Where each row's answers begin in the list of all; the caller frees. */
static int64_t *first_answers(const ld_plan *plan) {
  int64_t *first = ld_alloc((size_t)plan->n_rows + 1, sizeof *first);
  for (int64_t i = 0; i < plan->n_rows; i++) first[i + 1] = first[i] + plan->rows[i].n_targets;
  return first;
}

enum { LOSS, TARGETS = LOSS + LD_LOSS_WORDS, NOT_FINITE, COUNTS, N_SUMS = COUNTS + LD_MAX_COUNTS };

/* Sums over all ranks, and joins the answers: each rank has those of its own rows, and zeros elsewhere. */
static void join(const ld_session *session, const ld_corpus *corpus, int64_t *sums,
                 const int64_t *first_answer, ld_evaluation *out) {
  const ld_objective *objective = corpus->base->objective;
  const int64_t n_rows = corpus->plan->n_rows, n_answers = objective->answer ? first_answer[n_rows] : 0;
  ld_comm_sum_i64(session->comm, sums, (size_t)(N_SUMS + n_answers));
  out->n_targets = sums[TARGETS];
  out->loss = sums[NOT_FINITE] ? NAN : ld_exact_loss(sums + LOSS) / (double)sums[TARGETS];
  const ld_answers answers = {.list = (const ld_answer *)(sums + N_SUMS),
                              .first = first_answer,
                              .n = n_answers,
                              .n_records = n_rows,
                              .counts = sums + COUNTS,
                              .loss = out->loss,
                              .n_classes = session->model->head->out,
                              .labels = &corpus->base->labels};
  if (objective->score) objective->score(&answers, &out->scores);
}

/* The outputs of the i-th row of a batch, which has one sequence and is the corpus's row `row`. */
static ld_outputs outputs_of(const pass *done, const ld_corpus *corpus, int i, int64_t row) {
  const ld_tensor *all = done->outputs;
  const ld_field *targets = ld_batch_field(&done->batch, LD_TARGETS);
  const ld_field *lines = targets->n_segments ? targets : &done->batch.fields[0];
  const bool several = lines->n_segments && all->rows != lines->n_segments;
  const int first = several ? lines->segment[i] : i, end = several ? lines->segment[i + 1] : i + 1;
  return (ld_outputs){.data = all->data + (size_t)first * (size_t)all->stride,
                      .rows = end - first,
                      .cols = all->cols,
                      .stride = all->stride,
                      .parts = targets->positions + first,
                      .n_parts = ld_corpus_record(corpus, row)->n_parts,
                      .sentences = (int)corpus->options->sentences};
}

/* Reads the record of a row again, for an objective that counts in it. */
static int add_sample(const ld_corpus *corpus, int64_t row, ld_sample *sample, ld_outputs *outputs,
                      ld_error *err) {
  if (!corpus->base->objective->count) return 0;
  outputs->sample = sample;
  return ld_dataset_read(corpus->dataset, ld_corpus_record(corpus, row), sample, err);
}

static int count_rows(const ld_corpus *corpus, const pass *done, int64_t first, int n, int64_t *sums,
                      ld_error *err) {
  ld_sample sample = {0};
  int rc = 0;
  for (int i = 0; i < n && !rc && corpus->base->objective->count; i++) {
    int64_t counts[LD_MAX_COUNTS] = {0};
    ld_outputs outputs = outputs_of(done, corpus, i, first + i);
    rc = add_sample(corpus, first + i, &sample, &outputs, err);
    if (!rc) corpus->base->objective->count(&outputs, counts);
    for (int k = 0; k < LD_MAX_COUNTS; k++) sums[k] += counts[k];
  }
  ld_sample_free(&sample);
  return rc;
}

int ld_evaluate(const ld_session *session, const ld_corpus *corpus, ld_evaluation *out, ld_error *err) {
  ld_comm *comm = session->comm;
  const ld_objective *objective = corpus->base->objective;
  const ld_plan *plan = corpus->plan;
  const int micro_batch = session->micro_batch;
  int64_t *first_answer = first_answers(plan);
  const int64_t n_rows = plan->n_rows, n_answers = objective->answer ? first_answer[n_rows] : 0;
  int64_t *sums = ld_alloc((size_t)(N_SUMS + n_answers), sizeof *sums);
  int64_t until = 0;
  int rc = 0, n;
  *out = (ld_evaluation){.n_rows = n_rows};
  for (int64_t first = 0; first < n_rows; first += n) {
    ld_comm_poll(comm);
    rc = ld_corpus_fetch_next(corpus, comm, first, micro_batch, &until, rc, err);
    n = (int)ld_plan_take(plan, NULL, first, n_rows - first, micro_batch);
    if (rc || ld_corpus_owner(first, micro_batch, comm) != ld_comm_rank(comm)) continue;
    pass done = {0};
    rc = run(session, corpus, first, n, &done, err);
    if (rc) continue; /* the other ranks still wait for the records that are fetched together */
    sums[NOT_FINITE] += !ld_exact_add_loss(sums + LOSS, done.loss);
    sums[TARGETS] += first_answer[first + n] - first_answer[first];
    if (objective->answer)
      objective->answer(done.outputs, &done.batch, (ld_answer *)(sums + N_SUMS + first_answer[first]));
    rc = count_rows(corpus, &done, first, n, sums + COUNTS, err);
  }
  rc = ld_comm_agree(comm, rc, err);
  if (!rc) join(session, corpus, sums, first_answer, out);
  free(sums);
  free(first_answer);
  return rc;
}

void ld_evaluation_free(ld_evaluation *evaluation) {
  ld_scores_free(&evaluation->scores);
}

void ld_evaluation_put(const ld_evaluation *e, const ld_objective *objective, int more, ld_text *out) {
  ld_text_printf(out, "loss %.*f", 4 + more, e->loss);
  for (int i = 0; objective->metrics[i].key; i++)
    ld_text_printf(out, "  %s %.*f", objective->metrics[i].name, objective->metrics[i].digits + more,
                   e->scores.value[i]);
}

static int check_finite(const ld_corpus *corpus, int64_t row, const ld_outputs *outputs, ld_error *err) {
  for (int r = 0; r < outputs->rows; r++)
    for (int i = 0; i < outputs->cols; i++)
      if (!isfinite(outputs->data[(size_t)r * (size_t)outputs->stride + (size_t)i]))
        return ld_fail(err, LD_ENUMERIC,
                       "%s: the model's output for record %lld is not finite: the model or the adapter holds "
                       "NaN or infinite values",
                       ld_dataset_path(corpus->dataset), (long long)row + 1);
  return 0;
}

/* What ld_predict works with. */
typedef struct predictor {
  const ld_session *session;
  const ld_corpus *corpus;
} predictor;

static int predict_rows(int64_t first, int n, ld_text *out, void *user, ld_error *err) {
  const predictor *p = user;
  const ld_corpus *corpus = p->corpus;
  pass done = {0};
  ld_sample sample = {0};
  int rc = run(p->session, corpus, first, n, &done, err);
  for (int i = 0; i < n && !rc; i++) {
    ld_outputs outputs = outputs_of(&done, corpus, i, first + i);
    rc = check_finite(corpus, first + i, &outputs, err);
    if (!rc) rc = add_sample(corpus, first + i, &sample, &outputs, err);
    if (!rc) corpus->base->objective->put_prediction(&corpus->base->labels, &outputs, out);
    if (!rc) ld_text_append(out, "", 1);
  }
  ld_sample_free(&sample);
  return rc;
}

int ld_predict(const ld_session *session, const ld_corpus *corpus, ld_prediction_sink sink, void *user,
               ld_error *err) {
  predictor p = {session, corpus};
  const ld_walk walk = {predict_rows, sink, &p, user};
  return ld_corpus_walk(corpus, session->comm, session->micro_batch, &walk, err);
}
