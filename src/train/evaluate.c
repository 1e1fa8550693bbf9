#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "nn/ops.h"
#include "train/trainer.h"

int ld_tape_fit(ld_tape *tape, ld_feed *feed, const ld_model *model, const ld_options *options,
                enum ld_pass pass, const ld_corpus *corpus, const ld_corpus *second, size_t *bytes,
                ld_error *err) {
  int longest = corpus->plan->longest;
  if (second && second->plan->longest > longest) longest = second->plan->longest;
  int64_t rows = options->micro_batch < corpus->plan->n_rows ? options->micro_batch : corpus->plan->n_rows;
  if (second && second->plan->n_rows > rows) rows = options->micro_batch;
  if (rows * longest > INT32_MAX / 2)
    return ld_fail(err, LD_EUSAGE, "--micro-batch %lld: of rows of %d tokens, that is too much for one pass",
                   (long long)rows, longest);
  ld_batch batch;
  double loss;
  ld_feed_blank(feed, (int)rows * longest, longest, &batch);
  ld_tape_begin(tape, pass, true, options->recompute);
  ld_op_cross_entropy(tape, model->family->features(model, tape, &batch), model->head, &batch, &loss);
  if (pass == LD_PASS_TRAIN) ld_tape_backward(tape);
  *bytes = ld_tape_bytes(tape);
  if (ld_tape_reserve(tape)) return 0;
  return ld_fail(err, LD_EMEMORY,
                 "activations need %.1f GiB per rank, which the system does not give: lower --micro-batch or "
                 "--seq-len, or use "
                 "--recompute",
                 (double)*bytes / 0x1p30);
}

int ld_evaluate(ld_comm *comm, ld_tape *tape, ld_feed *feed, const ld_model *model, const ld_corpus *corpus,
                int micro_batch, double *loss, ld_error *err) {
  int64_t sums[3] = {0}; /* loss, targets, losses that are not finite */
  int rc = 0;
  int64_t number = 0;
  const int64_t n_rows = corpus->plan->n_rows;
  int64_t *rows = ld_alloc((size_t)micro_batch, sizeof *rows);
  for (int64_t first = 0; first < n_rows && !rc; first += micro_batch, number++) {
    if (number % ld_comm_size(comm) != ld_comm_rank(comm)) continue;
    int n = 0;
    for (; n < micro_batch && first + n < n_rows; n++) rows[n] = first + n;
    ld_batch batch;
    double sum;
    rc = ld_corpus_batch(corpus, rows, n, feed, &batch, err);
    if (rc) break;
    ld_tape_begin(tape, LD_PASS_INFER, false, false);
    ld_op_cross_entropy(tape, model->family->features(model, tape, &batch), model->head, &batch, &sum);
    if (isfinite(sum)) sums[0] += ld_exact_from_loss(sum);
    sums[2] += !isfinite(sum);
    for (int i = 0; i < n; i++) sums[1] += corpus->plan->rows[rows[i]].n_targets;
  }
  free(rows);
  rc = ld_comm_agree(comm, rc, err);
  if (rc) return rc;
  ld_comm_sum_i64(comm, sums, 3);
  *loss = sums[2] ? NAN : ld_exact_to_loss(sums[0]) / (double)sums[1];
  return 0;
}
