/* lora_dist eval: loss and perplexity, a classifier's scores, or those of written texts. */
#include <math.h>
#include <stdio.h>

#include "base/log.h"
#include "base/print.h"
#include "cmd/command.h"
#include "data/corpus_index.h"
#include "data/corpus_open.h"
#include "data/distribute.h"
#include "data/once.h"
#include "generate/scores.h"
#include "job/check.h"
#include "train/trainer.h"

/* Rows are the truth, columns the prediction. */
static void print_confusion(const ld_scores *s, const ld_labels *labels) {
  enum { MOST = 20, NAME = 24, CELL = 7 };
  if (s->n_classes > MOST || !s->confusion) {
    printf("confusion matrix: not shown for more than %d classes\n", MOST);
    return;
  }
  printf("\n%-*s", NAME + 4, "truth \\ predicted");
  for (int c = 0; c < s->n_classes; c++) printf("%*d", CELL, c);
  for (int r = 0; r < s->n_classes; r++) {
    printf("\n%2d  ", r);
    ld_print_part(labels->names[r], NAME, NAME);
    for (int c = 0; c < s->n_classes; c++)
      printf("%*lld", CELL, (long long)s->confusion[(size_t)r * (size_t)s->n_classes + (size_t)c]);
  }
  printf("\n");
}

static int print_evaluation(const ld_evaluation *e, const ld_corpus *corpus, ld_error *err) {
  const ld_base *base = corpus->base;
  const ld_data_form *form = ld_dataset_form(corpus->dataset);
  ld_text line = {0};
  ld_evaluation_put(e, base->objective, 2, &line);
  if (form->target) ld_text_printf(&line, "  %ss %lld", form->target, (long long)e->n_targets);
  ld_text_printf(&line, "  %s %lld\n", form->target ? "sequences" : "samples", (long long)e->n_rows);
  const int rc = ld_print(&line, false, err);
  if (!rc && e->scores.n_classes) print_confusion(&e->scores, &base->labels);
  ld_text_free(&line);
  return rc;
}

static int evaluate(const ld_options *options, ld_comm *comm, ld_base *base, const ld_corpus *corpus,
                    ld_error *err) {
  ld_tape *tape = ld_tape_create();
  ld_feed feed = {0};
  const ld_session session = {comm, tape, &feed, base->model, (int)options->micro_batch};
  size_t bytes;
  ld_evaluation found = {0};
  int rc = ld_session_fit(&session, LD_PASS_INFER, options->recompute, corpus, NULL, &bytes, err);
  rc = ld_comm_agree(comm, rc, err);
  if (!rc) rc = ld_evaluate(&session, corpus, &found, err);
  if (!rc && !isfinite(found.loss))
    rc = ld_fail(err, LD_ENUMERIC,
                 "%s: the loss is not finite: the model or the adapter holds NaN or infinite values",
                 ld_dataset_path(corpus->dataset));
  if (!rc && ld_comm_rank(comm) == 0) rc = print_evaluation(&found, corpus, err);
  rc = ld_comm_agree(comm, rc, err);
  ld_evaluation_free(&found);
  ld_feed_free(&feed);
  ld_tape_free(tape);
  return rc;
}

/* The texts that the model writes, beside the data's. */
static int score_texts(const ld_options *options, ld_comm *comm, ld_base *base, ld_error *err) {
  ld_corpus *asked = NULL;
  ld_generation_settings settings = {0};
  ld_generator generator = {.base = base, .settings = &settings, .comm = comm};
  ld_text_scores scores;
  ld_text line = {0};
  int rc = ld_corpus_open(options->data, base, options, comm, LD_CORPUS_ASK, &asked, err);
  if (!rc) rc = ld_corpus_index(asked, comm, ld_once_folder(options, NULL), err);
  if (!rc) rc = ld_corpus_plan(asked, err);
  if (!rc) rc = ld_records_suit(base, asked, err);
  if (!rc) rc = ld_generation_settings_find(base, options, &settings, err);
  rc = ld_comm_agree(comm, rc, err);
  if (!rc) rc = ld_text_scores_find(&generator, asked, 0, options->stem, &scores, err);
  if (!rc && ld_comm_rank(comm) == 0) {
    ld_text_scores_put(&scores, 2, &line);
    ld_text_printf(&line, "  records %lld\n", (long long)scores.n);
    rc = ld_print(&line, true, err);
  }
  ld_text_free(&line);
  ld_generator_free(&generator);
  ld_generation_settings_free(&settings);
  ld_corpus_close(asked);
  return ld_comm_agree(comm, rc, err);
}

static int run(const ld_options *options, const char *path, ld_comm *comm, ld_error *err) {
  (void)path;
  ld_base base = {0};
  ld_corpus *corpus = NULL;
  ld_digests *digests = ld_once_open(comm, options, ld_once_folder(options, NULL));
  int rc = ld_check_model(options->model, options->adapter, comm, err);
  if (!rc)
    rc = ld_distribute_open_ready(comm, options->model, options->adapter, options->other_base, digests, &base,
                                  err);
  if (!rc) rc = ld_options_suit(LD_CMD_EVAL, options, base.objective, base.model, err);
  if (!rc) rc = ld_corpus_open(options->data, &base, options, comm, LD_CORPUS_SCORE, &corpus, err);
  if (!rc) rc = ld_corpus_index(corpus, comm, ld_once_folder(options, NULL), err);
  if (!rc) rc = ld_options_suit_data(options, ld_dataset_form(corpus->dataset), NULL, err);
  if (!rc) ld_once_keep(comm, digests, ld_once_folder(options, NULL));
  if (!rc) rc = ld_corpus_plan(corpus, err);
  if (!rc) rc = evaluate(options, comm, &base, corpus, err);
  if (!rc && options->generate) rc = score_texts(options, comm, &base, err);
  ld_corpus_close(corpus);
  ld_base_close(&base);
  ld_digests_free(digests);
  return rc;
}

const ld_command ld_command_eval = {
    .name = "eval",
    .bit = LD_CMD_EVAL,
    .summary = "evaluate a model or an adapter on a data set",
    .about = "Prints loss and perplexity on a data set, or a classifier's scores: accuracy, precision, "
             "recall, F1, "
             "correlations. With --generate also ROUGE, BLEU and chrF of the texts that the model writes.",
    .uses_ranks = true,
    .run = run,
};
