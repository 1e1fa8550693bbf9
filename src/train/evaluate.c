#include "train/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "linalg/rows.h"
#include "train/exact.h"
#include "train/fetch.h"

int ld_session_fit(const ld_session *session, enum ld_pass pass, bool recompute, const ld_corpus *corpus,
                   const ld_corpus *second, size_t *bytes, ld_error *err) {
  ld_tape *tape = session->tape;
  const ld_corpus *widest = second && second->plan->longest > corpus->plan->longest ? second : corpus;
  int64_t rows = corpus->plan->n_rows;
  if (second && second->plan->n_rows > rows) rows = second->plan->n_rows;
  if (rows > session->micro_batch) rows = session->micro_batch;
  ld_batch batch;
  double loss;
  const int rc = ld_corpus_blank(widest, rows, session->feed, &batch, err);
  if (rc) return rc;
  ld_tape_begin(tape, pass, true, recompute);
  ld_model_loss(session->model, tape, &batch, &loss);
  if (pass == LD_PASS_TRAIN) ld_tape_backward(tape);
  *bytes = ld_tape_bytes(tape);
  if (ld_tape_reserve(tape)) return 0;
  return ld_fail(err, LD_EMEMORY,
                 "out of memory: activations need %.1f MiB per rank, more than is available: lower "
                 "--micro-batch or --seq-len, use --recompute, or " LD_MEMORY_REMEDY,
                 (double)*bytes / 0x1p20);
}

/* Makes the batch of rows [first, first + n) and runs it forward. */
static int run(const ld_session *session, const ld_corpus *corpus, int64_t first, int n,
               const ld_tensor **outputs, double *loss, ld_error *err) {
  int64_t *rows = ld_alloc((size_t)n, sizeof *rows);
  for (int i = 0; i < n; i++) rows[i] = first + i;
  ld_batch batch;
  const int rc = ld_corpus_batch(corpus, rows, n, -1, session->feed, &batch, err);
  free(rows);
  if (rc) return rc;
  ld_tape_begin(session->tape, LD_PASS_INFER, false, false);
  *outputs = ld_model_loss(session->model, session->tape, &batch, loss);
  return 0;
}

static int rows_from(const ld_corpus *corpus, int64_t first, int micro_batch) {
  const int64_t rest = corpus->plan->n_rows - first;
  return rest < micro_batch ? (int)rest : micro_batch;
}

static int64_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static float float_of(int64_t bits) {
  const uint32_t word = (uint32_t)bits;
  float x;
  memcpy(&x, &word, sizeof x);
  return x;
}

/* What came out for each row: the class, or the number's bits. */
static void score(const ld_model *model, const ld_corpus *corpus, const int64_t *found, ld_scores *scores) {
  const int64_t n_rows = corpus->plan->n_rows;
  int32_t *truth = ld_alloc((size_t)n_rows, sizeof *truth), *class = ld_alloc((size_t)n_rows, sizeof *class);
  float *values = ld_alloc((size_t)n_rows, sizeof *values),
        *predicted = ld_alloc((size_t)n_rows, sizeof *predicted);
  for (int64_t i = 0; i < n_rows; i++) {
    truth[i] = ld_corpus_class(corpus, i);
    values[i] = ld_corpus_value(corpus, i);
    class[i] = (int32_t)found[i];
    predicted[i] = float_of(found[i]);
  }
  if (model->task == LD_TASK_CLASSES)
    ld_score_classes(truth, class, (size_t)n_rows, model->head->out, scores);
  else
    ld_score_values(values, predicted, (size_t)n_rows, scores);
  free(truth);
  free(class);
  free(values);
  free(predicted);
}

enum { LOSS, TARGETS = LOSS + LD_LOSS_WORDS, NOT_FINITE, N_SUMS };

int ld_evaluate(const ld_session *session, const ld_corpus *corpus, ld_evaluation *out, ld_error *err) {
  ld_comm *comm = session->comm;
  const ld_model *model = session->model;
  const int micro_batch = session->micro_batch;
  const int64_t n_rows = corpus->plan->n_rows, n_found = model->task == LD_TASK_LANGUAGE ? 0 : n_rows;
  int64_t *sums = ld_alloc((size_t)(N_SUMS + n_found), sizeof *sums), *found = sums + N_SUMS;
  int64_t number = 0, until = 0;
  int rc = 0;
  *out = (ld_evaluation){.n_rows = n_rows};
  for (int64_t first = 0; first < n_rows; first += micro_batch, number++) {
    ld_comm_poll(comm);
    rc = ld_corpus_fetch_next(corpus, comm, first, micro_batch, &until, rc, err);
    if (rc || number % ld_comm_size(comm) != ld_comm_rank(comm)) continue;
    const int n = rows_from(corpus, first, micro_batch);
    const ld_tensor *outputs;
    double loss;
    rc = run(session, corpus, first, n, &outputs, &loss, err);
    if (rc) continue; /* the others still wait for what is fetched together */
    sums[NOT_FINITE] += !ld_exact_add_loss(sums + LOSS, loss);
    for (int i = 0; i < n; i++) {
      sums[TARGETS] += corpus->plan->rows[first + i].n_targets;
      if (!outputs) continue;
      const float *row = outputs->data + (size_t)i * (size_t)outputs->cols;
      found[first + i] = model->task == LD_TASK_CLASSES ? ld_row_argmax(row, outputs->cols) : bits_of(*row);
    }
  }
  rc = ld_comm_agree(comm, rc, err);
  if (!rc) {
    ld_comm_sum_i64(comm, sums, (size_t)(N_SUMS + n_found));
    out->n_targets = sums[TARGETS];
    out->loss = sums[NOT_FINITE] ? NAN : ld_exact_loss(sums + LOSS) / (double)sums[TARGETS];
    if (n_found) score(model, corpus, found, &out->scores);
  }
  free(sums);
  return rc;
}

void ld_evaluation_free(ld_evaluation *evaluation) {
  ld_scores_free(&evaluation->scores);
}

void ld_evaluation_put(const ld_evaluation *e, const ld_model *model, ld_text *out) {
  const ld_scores *s = &e->scores;
  ld_text_printf(out, "loss %.4f", e->loss);
  if (model->task == LD_TASK_LANGUAGE)
    ld_text_printf(out, "  perplexity %.2f", exp(e->loss));
  else if (model->task == LD_TASK_CLASSES)
    ld_text_printf(out, "  accuracy %.4f  macro F1 %.4f  Matthews %.4f", s->accuracy, s->macro_f1,
                   s->matthews);
  else
    ld_text_printf(out, "  Pearson %.4f  Spearman %.4f", s->pearson, s->spearman);
}

int ld_predict(const ld_session *session, const ld_corpus *corpus, ld_output_sink sink, void *user,
               ld_error *err) {
  ld_comm *comm = session->comm;
  const int micro_batch = session->micro_batch;
  const int64_t n_rows = corpus->plan->n_rows, window = (int64_t)micro_batch * ld_comm_size(comm);
  const size_t n_outputs = (size_t)session->model->head->out;
  int64_t until = 0;
  int rc = 0, sunk = 0; /* of the sink, which rank 0 alone has: agreed on with the next window's */
  for (int64_t begin = 0; begin < n_rows && !rc; begin += window) {
    rc = ld_corpus_fetch_next(corpus, comm, begin, micro_batch, &until, 0, err);
    if (rc) break;
    const int64_t first = begin + (int64_t)micro_batch * ld_comm_rank(comm);
    const int n = first < n_rows ? rows_from(corpus, first, micro_batch) : 0;
    const ld_tensor *outputs = NULL;
    double loss;
    if (n && !sunk) rc = run(session, corpus, first, n, &outputs, &loss, err);
    rc = ld_comm_agree(comm, sunk ? sunk : rc, err);
    if (rc) break;
    void *all;
    size_t bytes;
    ld_comm_gather_all(comm, outputs ? outputs->data : NULL, (size_t)n * n_outputs * sizeof(float), &all,
                       &bytes);
    const size_t rows = bytes / (n_outputs * sizeof(float));
    for (size_t i = 0; i < rows && ld_comm_rank(comm) == 0 && !sunk; i++)
      sunk = sink(begin + (int64_t)i, (const float *)all + i * n_outputs, (int)n_outputs, user, err);
    free(all);
  }
  return rc ? rc : ld_comm_agree(comm, sunk, err);
}

void ld_softmax(float *outputs, int n) {
  const double sum = ld_row_exp(outputs, ld_row_max(outputs, n), n);
  ld_row_scale(outputs, (float)(1 / sum), n);
}
