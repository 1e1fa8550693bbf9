/* lora_dist predict: what a classifier makes of each record, one JSON object a line. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "io/json.h"
#include "nn/rows.h"
#include "train/evaluate.h"

/* Prints rows until one is no number. */
typedef struct printer {
  const ld_base *base;
  const ld_corpus *corpus;
  ld_text line;
  int64_t broken; /* the first row whose outputs are not finite, counted from 1; 0: none so far */
} printer;

static void put_classes(const ld_labels *labels, const float *outputs, int n, ld_text *line) {
  float *probabilities = ld_alloc((size_t)n, sizeof *probabilities);
  memcpy(probabilities, outputs, (size_t)n * sizeof *probabilities);
  ld_softmax(probabilities, n);
  ld_text_puts(line, "\"label\": ");
  ld_json_quote(line, labels->names[ld_row_argmax(outputs, n)]);
  for (int i = 0; i < n; i++) {
    ld_text_puts(line, i ? ", " : ", \"probabilities\": {");
    ld_json_quote(line, labels->names[i]);
    ld_text_printf(line, ": %.6g", (double)probabilities[i]);
  }
  ld_text_puts(line, "}");
  free(probabilities);
}

/* {"label": "positive", "probabilities": {"negative": 0.1, "positive": 0.9}}, or {"value": 2.5}; with "file"
 * in front where the record is one. */
static void print_row(int64_t row, const float *outputs, int n, void *user) {
  printer *p = user;
  ld_text *line = &p->line;
  for (int i = 0; i < n && !p->broken; i++)
    if (!isfinite(outputs[i])) p->broken = row + 1;
  if (p->broken) return;
  const char *file = ld_dataset_file(p->corpus->dataset, ld_corpus_record(p->corpus, row));
  ld_text_clear(line);
  ld_text_puts(line, file ? "{\"file\": " : "{");
  if (file) ld_json_quote(line, file);
  if (file) ld_text_puts(line, ", ");
  if (p->base->model->task == LD_TASK_VALUE)
    ld_text_printf(line, "\"value\": %.9g", (double)outputs[0]);
  else
    put_classes(&p->base->labels, outputs, n, line);
  ld_text_puts(line, "}\n");
  fwrite(line->bytes, 1, line->length, stdout);
}

static int predict(const ld_options *options, ld_comm *comm, const ld_base *base, const ld_corpus *corpus,
                   ld_error *err) {
  ld_tape *tape = ld_tape_create();
  ld_feed feed = {0};
  printer p = {.base = base, .corpus = corpus};
  size_t bytes;
  int rc = ld_tape_fit(tape, &feed, base->model, options, LD_PASS_INFER, corpus, NULL, &bytes, err);
  rc = ld_comm_agree(comm, rc, err);
  if (!rc)
    rc = ld_predict(comm, tape, &feed, base->model, corpus, (int)options->micro_batch, print_row, &p, err);
  if (!rc && p.broken)
    rc = ld_fail(err, LD_ENUMERIC,
                 "%s: the model's output for record %lld is not finite: the model or the adapter holds "
                 "values that are "
                 "no numbers",
                 options->data, (long long)p.broken);
  if (!rc && ld_comm_rank(comm) == 0 && (fflush(stdout) || ferror(stdout)))
    rc = ld_fail(err, LD_EFILE, "standard output: cannot be written");
  ld_text_free(&p.line);
  ld_feed_free(&feed);
  ld_tape_free(tape);
  return ld_comm_agree(comm, rc, err);
}

static int open_base(const ld_options *options, ld_base *base, ld_error *err) {
  const int rc = ld_base_open_ready(options->model, options->adapter, base, err);
  if (rc || base->model->family->classifies) return rc;
  return ld_fail(err, LD_EUNSUPPORTED, "%s: a %s model predicts text: use lora_dist generate", options->model,
                 base->model->family->model_type);
}

int ld_cmd_predict(const ld_options *options, const char *path, ld_comm *comm, ld_error *err) {
  (void)path;
  ld_base base;
  ld_corpus *corpus = NULL;
  int rc = ld_comm_agree(comm, open_base(options, &base, err), err);
  if (!rc) rc = ld_corpus_open(options->data, &base, options, comm, false, &corpus, err);
  if (!rc) rc = ld_corpus_plan(corpus, err);
  if (!rc) rc = predict(options, comm, &base, corpus, err);
  ld_corpus_close(corpus);
  ld_base_close(&base);
  return rc;
}
