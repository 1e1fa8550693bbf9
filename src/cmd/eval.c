/* lora_dist eval: loss and perplexity. */
#include <math.h>
#include <stdio.h>

#include "base/log.h"
#include "cmd/command.h"
#include "train/trainer.h"

static int open_base(const ld_options *options, ld_base *base, ld_error *err) {
  int rc = ld_base_open(options->model, base, err);
  if (!rc && options->adapter) rc = ld_base_adapt_from(base, options->adapter, err);
  return rc;
}

static int evaluate(const ld_options *options, ld_comm *comm, ld_base *base, const ld_corpus *corpus,
                    ld_error *err) {
  ld_tape *tape = ld_tape_create();
  ld_feed feed = {0};
  size_t bytes;
  double loss = 0;
  int rc = ld_tape_fit(tape, &feed, base->model, options, LD_PASS_INFER, corpus, NULL, &bytes, err);
  rc = ld_comm_agree(comm, rc, err);
  if (!rc) rc = ld_evaluate(comm, tape, &feed, base->model, corpus, (int)options->micro_batch, &loss, err);
  if (!rc && !isfinite(loss))
    rc = ld_fail(err, LD_ENUMERIC,
                 "%s: the loss is not finite: the model or the adapter holds values that are no numbers",
                 options->data);
  if (!rc && ld_comm_rank(comm) == 0)
    printf("loss %.6f  perplexity %.4f  target tokens %lld  sequences %lld\n", loss, exp(loss),
           (long long)corpus->plan->n_targets, (long long)corpus->plan->n_rows);
  ld_feed_free(&feed);
  ld_tape_free(tape);
  return rc;
}

int ld_cmd_eval(const ld_options *options, const char *path, ld_comm *comm, ld_error *err) {
  (void)path;
  ld_base base;
  ld_corpus *corpus = NULL;
  int rc = ld_comm_agree(comm, open_base(options, &base, err), err);
  if (!rc) rc = ld_corpus_open(options->data, &base, options, comm, &corpus, err);
  if (!rc) rc = evaluate(options, comm, &base, corpus, err);
  ld_corpus_close(corpus);
  ld_base_close(&base);
  return rc;
}
