/* lora_dist predict: classifies each record, or writes its text, and prints one JSON object per record. */
#include <stdio.h>
#include <stdlib.h>

#include "base/print.h"
#include "cmd/command.h"
#include "data/corpus_index.h"
#include "data/corpus_open.h"
#include "data/distribute.h"
#include "data/once.h"
#include "generate/records.h"
#include "io/json.h"
#include "job/check.h"
#include "train/evaluate.h"

typedef struct row_printer {
  const ld_base *base;
  const ld_corpus *corpus;
  ld_text line;
  int64_t next; /* of images: the first one without a line */
} row_printer;

/* Begins a record's line: with "file" first where the record is a file. */
static void begin_line(row_printer *p, const ld_record *record) {
  const char *file = ld_source_name(ld_dataset_source(p->corpus->dataset), record->offset);
  ld_text_clear(&p->line);
  ld_text_puts(&p->line, file ? "{\"file\": " : "{");
  if (file) ld_json_quote(&p->line, file);
  if (file) ld_text_puts(&p->line, ", ");
}

static int end_line(row_printer *p, ld_error *err) {
  ld_text_puts(&p->line, "}\n");
  return ld_print(&p->line, false, err);
}

/* Images before `end` that have no line were skipped as unreadable. They get lines too, or else the lines
 * would belong to other images. */
static int print_broken(row_printer *p, int64_t end, ld_error *err) {
  int rc = 0;
  for (; !rc && p->next < end; p->next++) {
    begin_line(p, &(ld_record){.offset = (uint64_t)p->next});
    p->base->objective->put_prediction(&p->base->labels, NULL, &p->line);
    rc = end_line(p, err);
  }
  return rc;
}

static int print_row(int64_t row, const char *members, void *user, ld_error *err) {
  row_printer *p = user;
  const ld_record *record = ld_corpus_record(p->corpus, row);
  const int rc = p->corpus->n_skipped ? print_broken(p, (int64_t)record->offset, err) : 0;
  if (rc) return rc;
  p->next++;
  begin_line(p, record);
  ld_text_puts(&p->line, members);
  return end_line(p, err);
}

/* The skipped images after the last row. */
static int print_rest(row_printer *p, ld_error *err) {
  const ld_corpus *corpus = p->corpus;
  const int rc = corpus->n_skipped ? print_broken(p, corpus->n_records + corpus->n_skipped, err) : 0;
  ld_text_clear(&p->line);
  return rc ? rc : ld_print(&p->line, true, err);
}

/* The classes of the records. */
static int classify(const ld_options *options, ld_comm *comm, const ld_corpus *corpus, row_printer *p,
                    ld_error *err) {
  const ld_base *base = corpus->base;
  ld_tape *tape = ld_tape_create();
  ld_feed feed = {0};
  const ld_session session = {comm, tape, &feed, base->model, (int)options->micro_batch};
  size_t bytes;
  int rc = ld_session_fit(&session, LD_PASS_INFER, options->recompute, corpus, NULL, &bytes, err);
  rc = ld_comm_agree(comm, rc, err);
  if (!rc) rc = ld_predict(&session, corpus, print_row, p, err);
  ld_feed_free(&feed);
  ld_tape_free(tape);
  return rc;
}

/* Their texts. */
static int write_texts(const ld_options *options, ld_comm *comm, ld_base *base, const ld_corpus *corpus,
                       row_printer *p, ld_error *err) {
  ld_generation_settings settings = {0};
  ld_generator generator = {.base = base, .settings = &settings, .comm = comm};
  int rc = ld_records_suit(base, corpus, err);
  if (!rc) rc = ld_generation_settings_find(base, options, &settings, err);
  rc = ld_comm_agree(comm, rc, err);
  if (!rc) rc = ld_records_predict(&generator, corpus, print_row, p, err);
  ld_generator_free(&generator);
  ld_generation_settings_free(&settings);
  return rc;
}

static int predict(const ld_options *options, ld_comm *comm, ld_base *base, const ld_corpus *corpus,
                   ld_error *err) {
  row_printer p = {.base = base, .corpus = corpus};
  int rc = base->objective->prompt ? write_texts(options, comm, base, corpus, &p, err)
                                   : classify(options, comm, corpus, &p, err);
  if (!rc && ld_comm_rank(comm) == 0) rc = print_rest(&p, err);
  ld_text_free(&p.line);
  return ld_comm_agree(comm, rc, err);
}

static int check_predicts(const ld_base *base, ld_error *err) {
  const ld_objective *objective = base->objective;
  if (objective->prompt || objective->put_prediction) return 0;
  return ld_fail(err, LD_EUSAGE, "%s is %s, which says nothing of a record: use generate",
                 ld_model_folder_path(base->folder), objective->model);
}

static int open_base(const ld_options *options, ld_comm *comm, ld_digests *digests, ld_base *base,
                     ld_error *err) {
  const int rc = ld_check_model(options->model, options->adapter, comm, err);
  return rc ? rc
            : ld_distribute_open_ready(comm, options->model, options->adapter, options->other_base, digests,
                                       base, err);
}

static int run(const ld_options *options, const char *path, ld_comm *comm, ld_error *err) {
  (void)path;
  ld_base base = {0};
  ld_corpus *corpus = NULL;
  ld_digests *digests = ld_once_open(comm, options, ld_once_folder(options, NULL));
  int rc = open_base(options, comm, digests, &base, err);
  if (!rc) rc = check_predicts(&base, err);
  if (!rc) rc = ld_options_suit(LD_CMD_PREDICT, options, base.objective, base.model, err);
  if (!rc) rc = ld_corpus_open(options->data, &base, options, comm, LD_CORPUS_ASK, &corpus, err);
  if (!rc) rc = ld_corpus_index(corpus, comm, ld_once_folder(options, NULL), err);
  if (!rc) ld_once_keep(comm, digests, ld_once_folder(options, NULL));
  if (!rc) rc = ld_corpus_plan(corpus, err);
  if (!rc) rc = predict(options, comm, &base, corpus, err);
  ld_corpus_close(corpus);
  ld_base_close(&base);
  ld_digests_free(digests);
  return rc;
}

const ld_command ld_command_predict = {
    .name = "predict",
    .bit = LD_CMD_PREDICT,
    .summary = "classify the records of a data set, or write their texts",
    .about = "Prints one JSON object per record: its label and the probability of each, or the text that the "
             "model "
             "writes for it, and the one that the data has.",
    .uses_ranks = true,
    .run = run,
};
