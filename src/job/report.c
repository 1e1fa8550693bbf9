/* What a training job reports: to the user on standard error, to programs in metrics.jsonl. */
#include "job/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/machine.h"
#include "base/memory.h"
#include "base/print.h"
#include "io/json.h"
#include "io/report/run.h"
#include "job/memory.h"
#include "linalg/gemm.h"

static void describe_data(const ld_job *j) {
  const ld_plan *plan = j->data->plan;
  const ld_data_form *form = ld_dataset_form(j->data->dataset);
  const ld_image_rule *rule = &j->base.image_rule;
  const long long n = (long long)(j->data->n_records - j->data->n_prior), rows = (long long)plan->n_rows;
  ld_text line = {0};
  ld_text_printf(&line, "%lld %s%s", n, form->record, ld_plural(n, "", "s"));
  if (j->data->n_prior) ld_text_printf(&line, " and %lld of their class", (long long)j->data->n_prior);
  if (rows != n) ld_text_printf(&line, " in %lld row%s", rows, ld_plural(rows, "", "s"));
  if (rule->width)
    ld_text_printf(&line, " of %d x %d", rule->width, rule->height);
  else
    ld_text_printf(&line, ", %lld tokens", (long long)plan->n_tokens);
  if (form->target) ld_text_printf(&line, ", %lld of them targets", (long long)plan->n_targets);
  ld_info("data    %s: %s", ld_dataset_path(j->data->dataset), line.bytes);
  ld_text_free(&line);
}

/* The names of the classes, as many as fit on a line. */
static void describe_head(const ld_job *j) {
  const ld_base *base = &j->base;
  const char *state = base->model->head->is_new ? "new" : "stored";
  if (!base->labels.n_names) return;
  if (!base->objective->named) {
    ld_info("head    %s: one number", state);
    return;
  }
  ld_text names = {0};
  for (size_t i = 0; i < base->labels.n_names && names.length < 70; i++)
    ld_text_printf(&names, "%s%s", i ? ", " : "", base->labels.names[i]);
  const bool counted = base->labels_named && j->data->labels.kind == LD_LABEL_INTEGER;
  ld_info("head    %s: %zu %s (%s%s)%s", state, base->labels.n_names,
          ld_plural((long long)base->labels.n_names, "class", "classes"), names.bytes,
          names.length >= 70 ? ", ..." : "",
          counted ? ", numbered from 0 in the data (--new-head for other classes)" : "");
  ld_text_free(&names);
}

/* The note on what was read applies to rank 0. */
static void describe_digests(const ld_job *j) {
  double bytes, seconds;
  ld_digests_cost(j->digests, &bytes, &seconds);
  char cost[64] = "known from the last start";
  if (bytes > 0) snprintf(cost, sizeof cost, "%.1f MiB read in %.2f s", bytes / 0x1p20, seconds);
  ld_info("digests base %s, data %s; %s", ld_model_folder_digest(j->base.folder), j->data->digest, cost);
}

void ld_job_describe(const ld_job *j) {
  const ld_model *model = j->base.model;
  const size_t n_modules = j->base.params->n_changes;
  const int n_blocks = model->n_encoder_blocks + model->n_blocks;
  ld_info("model   %s: %s, %d %s, %.2f M parameters; trained: %.3f M in %zu %s", j->options.model,
          model->family->model_type, n_blocks, ld_plural(n_blocks, "block", "blocks"),
          (double)model->n_parameters / 1e6, (double)j->base.params->n_floats / 1e6, n_modules,
          ld_plural((long long)n_modules, "module", "modules"));
  describe_head(j);
  describe_data(j);
  ld_text files = {0};
  ld_distributed_put(&j->model, j->data, j->valid, &files);
  ld_info("files   %s", files.bytes);
  ld_text_free(&files);
  describe_digests(j);
}

static const char *unit(const ld_job *j) {
  return j->base.image_rule.width ? "images" : "tokens";
}

/* How many of these a step read. */
static int64_t amount(const ld_job *j, const ld_step_report *r) {
  return j->base.image_rule.width ? r->n_targets * (1 + j->data->plan->paired) : r->n_tokens;
}

void ld_job_show_eval(const ld_job *j, const ld_measured *found) {
  ld_text text = {0};
  ld_evaluation_put(&found->evaluation, j->base.objective, 0, &text);
  if (j->asked) ld_text_puts(&text, "  ");
  if (j->asked) ld_text_scores_put(&found->texts, 0, &text);
  const int width = snprintf(NULL, 0, "%lld", (long long)j->trainer.total_steps);
  ld_info("step %*lld  validation %s", width, (long long)j->trainer.progress.step, text.bytes);
  ld_text_free(&text);
}

/* The end of a step's line: the remaining time, or at the end the time of all steps. */
static void put_time(char *text, size_t size, const ld_job *j, int64_t step) {
  const int64_t done = step - j->first_step, rest = j->trainer.total_steps - step;
  char duration[32];
  ld_put_duration(duration, sizeof duration, rest ? j->in_steps / (double)done * (double)rest : j->in_steps);
  snprintf(text, size, rest ? "ETA %s" : "done in %s", duration);
}

void ld_job_show_step(ld_job *j, const ld_step_report *r, double seconds) {
  const double at = ld_clock(), rate = (double)amount(j, r) / seconds;
  const int64_t total = j->trainer.total_steps;
  char time_text[48], text[256];
  j->in_steps += seconds;
  j->waits.network += r->waits.network;
  j->waits.ranks += r->waits.ranks;
  put_time(time_text, sizeof time_text, j, r->step);
  snprintf(text, sizeof text, "step %lld/%lld  loss %.4f  lr %.2e  %.*f %s/s  %s", (long long)r->step,
           (long long)total, r->loss, r->lr, rate < 10, rate, unit(j), time_text);
  if (ld_log_terminal()) {
    ld_progress_line("%s", text);
    if (r->step == total) ld_info("%s", text);
    return;
  }
  /* A batch log needs few lines: the first, the last, and one every ten seconds. */
  if (r->step != j->first_step + 1 && r->step != total && at - j->last_line < 10) return;
  j->last_line = at;
  ld_info("%s", text);
}

void ld_job_show_end(const ld_job *j) {
  if (ld_comm_size(j->comm) == 1 || !(j->in_steps > 0)) return;
  ld_info("waiting %.1f%% of step time for the network, %.1f%% for slower ranks",
          100 * j->waits.network / j->in_steps, 100 * j->waits.ranks / j->in_steps);
}

/* {"key": "accuracy", "name": "accuracy", "better": "higher", "of_loss": false, "digits": 4} */
static void put_metric(const ld_metric *m, ld_text *out) {
  ld_text_printf(out,
                 "%s{\"key\": \"%s\", \"name\": \"%s\", \"better\": \"%s\", \"of_loss\": %s, \"digits\": %d}",
                 out->length > 1 ? ", " : "", m->key, m->title ? m->title : m->name,
                 m->falls ? "lower" : "higher", m->of_loss ? "true" : "false", m->digits);
}

/* A list of them. The one that decides on the best comes first: that is the one to show. */
static void put_metrics(const ld_job *j, ld_text *out) {
  const int best = ld_job_best_metric(j);
  const ld_metric *metric;
  ld_text_puts(out, "[");
  if (best >= 0) put_metric(ld_job_metric(j, (size_t)best), out);
  for (size_t i = 0; (metric = ld_job_metric(j, i)); i++)
    if ((int)i != best) put_metric(metric, out);
  ld_text_puts(out, "]");
}

/* {"records": 12, "rows": 3, "tokens": 1024, "targets": 1000} */
static void record_size(ld_metrics *m, const char *key, const ld_corpus *corpus) {
  const ld_plan *plan = corpus->plan;
  char *size = ld_format("{\"records\": %lld, \"rows\": %lld, \"tokens\": %lld, \"targets\": %lld}",
                         (long long)corpus->n_records, (long long)plan->n_rows, (long long)plan->n_tokens,
                         (long long)plan->n_targets);
  ld_metrics_json(m, key, size);
  free(size);
}

/* Rank 0's machine, and the free memory of its host. */
static void record_machine(ld_metrics *m) {
  uint64_t cores[LD_CORE_WORDS];
  ld_machine_cores(cores);
  ld_metrics_string(m, "kernels", ld_gemm_kernel());
  ld_metrics_int(m, "cores", ld_machine_count_cores(cores));
  ld_metrics_int(m, "memory", ld_machine_memory());
}

static const char *target(const ld_job *j) {
  const ld_data_form *form = ld_dataset_form(j->data->dataset);
  return form->target ? form->target : form->row;
}

int ld_job_record_start(ld_job *j, ld_error *err) {
  ld_metrics *m = j->run.metrics;
  ld_text metrics = {0};
  char date[32];
  const time_t t = time(NULL);
  struct tm utc;
  strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &utc));
  ld_metrics_begin(m);
  ld_metrics_string(m, "event", "start");
  ld_metrics_int(m, "step", j->first_step);
  ld_metrics_int(m, "total_steps", j->trainer.total_steps);
  ld_metrics_string(m, "task", j->base.objective->name);
  ld_metrics_string(m, "unit", unit(j));
  ld_metrics_string(m, "target", target(j));
  if (j->base.objective->loss_unit) ld_metrics_string(m, "loss_unit", j->base.objective->loss_unit);
  put_metrics(j, &metrics);
  ld_metrics_json(m, "metrics", metrics.bytes);
  if (ld_job_best_metric(j) >= 0) ld_metrics_string(m, "best", j->options.best);
  ld_text_free(&metrics);
  ld_metrics_int(m, "ranks", ld_comm_size(j->comm));
  ld_metrics_int(m, "hosts", ld_comm_nodes(j->comm));
  ld_metrics_int(m, "trained_parameters", (int64_t)j->base.params->n_floats);
  ld_metrics_int(m, "base_parameters", j->base.model->n_parameters);
  record_size(m, "data", j->data);
  if (j->valid) record_size(m, "valid", j->valid);
  record_machine(m);
  ld_metrics_string(m, "date", date);
  return ld_metrics_end(m, err);
}

int ld_job_record_step(ld_job *j, const ld_step_report *r, double seconds, ld_error *err) {
  ld_metrics *m = j->run.metrics;
  ld_metrics_begin(m);
  ld_metrics_string(m, "event", "step");
  ld_metrics_int(m, "step", r->step);
  ld_metrics_real(m, "epoch", ld_trainer_epochs(&j->trainer));
  ld_metrics_real(m, "loss", r->loss);
  ld_metrics_real(m, "lr", r->lr);
  ld_metrics_real(m, "grad_norm", r->grad_norm);
  ld_metrics_int(m, "target_tokens", r->n_targets);
  ld_metrics_int(m, "tokens", amount(j, r));
  ld_metrics_real(m, "seconds", seconds);
  ld_metrics_real(m, "wait_network", r->waits.network);
  ld_metrics_real(m, "wait_ranks", r->waits.ranks);
  ld_metrics_int(m, "tries", r->tries);
  return ld_metrics_end(m, err);
}

/* For the last evaluation, when there are few classes. */
static int record_confusion(ld_job *j, const ld_scores *scores, ld_error *err) {
  ld_metrics *m = j->run.metrics;
  const size_t n = (size_t)scores->n_classes;
  if (!scores->confusion || n > LD_REPORT_CLASSES || n != j->base.labels.n_names) return 0;
  ld_text labels = {0}, counts = {0};
  for (size_t i = 0; i < n; i++) {
    ld_text_puts(&labels, i ? ", " : "[");
    ld_json_quote(&labels, j->base.labels.names[i]);
    for (size_t k = 0; k < n; k++)
      ld_text_printf(&counts, "%s%lld",
                     k   ? ", "
                     : i ? "], ["
                         : "[[",
                     (long long)scores->confusion[i * n + k]);
  }
  ld_text_puts(&labels, "]");
  ld_text_puts(&counts, "]]");
  ld_metrics_begin(m);
  ld_metrics_string(m, "event", "confusion");
  ld_metrics_int(m, "step", j->trainer.progress.step);
  ld_metrics_json(m, "labels", labels.bytes);
  ld_metrics_json(m, "counts", counts.bytes);
  ld_text_free(&labels);
  ld_text_free(&counts);
  return ld_metrics_end(m, err);
}

int ld_job_record_eval(ld_job *j, const ld_measured *found, double seconds, ld_error *err) {
  ld_metrics *m = j->run.metrics;
  const ld_metric *metric;
  ld_metrics_begin(m);
  ld_metrics_string(m, "event", "eval");
  ld_metrics_int(m, "step", j->trainer.progress.step);
  ld_metrics_real(m, "loss", found->evaluation.loss);
  for (size_t i = 0; (metric = ld_job_metric(j, i)); i++)
    ld_metrics_real(m, metric->key, ld_job_metric_value(j, found, i));
  ld_metrics_real(m, "seconds", seconds);
  const int rc = ld_metrics_end(m, err);
  const bool last = j->trainer.progress.step == j->trainer.total_steps;
  return rc || !last ? rc : record_confusion(j, &found->evaluation.scores, err);
}

int ld_job_record_sample(ld_job *j, const char *prompt, const char *text, ld_error *err) {
  ld_metrics *m = j->run.metrics;
  ld_metrics_begin(m);
  ld_metrics_string(m, "event", "sample");
  ld_metrics_int(m, "step", j->trainer.progress.step);
  ld_metrics_string(m, "prompt", prompt);
  ld_metrics_string(m, "text", text);
  return ld_metrics_end(m, err);
}

int ld_job_record_picture(ld_job *j, int64_t number, const char *prompt, const char *file, ld_error *err) {
  ld_metrics *m = j->run.metrics;
  ld_metrics_begin(m);
  ld_metrics_string(m, "event", "sample");
  ld_metrics_int(m, "step", j->trainer.progress.step);
  ld_metrics_int(m, "number", number);
  ld_metrics_string(m, "prompt", prompt);
  ld_metrics_string(m, "image", file);
  return ld_metrics_end(m, err);
}

int ld_job_record_end(ld_job *j, ld_error *err) {
  ld_metrics *m = j->run.metrics;
  ld_metrics_begin(m);
  ld_metrics_string(m, "event", "end");
  ld_metrics_int(m, "step", j->trainer.progress.step);
  ld_metrics_real(m, "seconds", ld_clock() - j->started);
  ld_metrics_real(m, "step_seconds", j->in_steps);
  ld_metrics_real(m, "wait_network", j->waits.network);
  ld_metrics_real(m, "wait_ranks", j->waits.ranks);
  ld_metrics_int(m, "target_tokens", j->trainer.progress.tokens);
  return ld_metrics_end(m, err);
}

int ld_job_record_stop(ld_job *j, ld_error *err) {
  ld_metrics *m = j->run.metrics;
  ld_metrics_begin(m);
  ld_metrics_string(m, "event", "stop");
  ld_metrics_int(m, "step", j->trainer.progress.step);
  ld_metrics_string(m, "reason", j->why_stopped);
  return ld_metrics_end(m, err);
}

static void print_steps(const ld_job *j, double tokens) {
  const ld_trainer *t = &j->trainer;
  const long long batch = (long long)j->options.batch_size;
  printf("steps              %lld (%lld per epoch), batch of %lld %s%s", (long long)t->total_steps,
         (long long)t->steps_per_epoch, batch, ld_dataset_form(j->data->dataset)->row,
         ld_plural(batch, "", "s"));
  printf(j->base.image_rule.width ? "\n" : ", %.0f tokens per step\n", tokens);
}

static void print_time(const ld_job *j) {
  char all[32], step[32];
  if (!j->estimate.steps) return;
  ld_put_duration(all, sizeof all, j->estimate.rest);
  ld_put_duration(step, sizeof step, j->estimate.step);
  printf("time               about %s, %s per step (estimated from a trial)\n", all, step);
}

static void print_memory(const ld_job *j) {
  const ld_trainer *t = &j->trainer;
  const double mib = 1048576, rank = (double)ld_job_rank_bytes(j), base = ld_job_base_bytes(j);
  const int n_ranks = ld_comm_node_size(j->comm);
  printf(
      "memory per rank    %.1f MiB: activations %.1f, adapter and optimizer %.1f, index of the data and its "
      "longest record %.1f\n",
      rank / mib, (double)t->activation_bytes / mib, (double)ld_trainer_state_bytes(t) / mib,
      (double)ld_trainer_index_bytes(t) / mib);
  printf("memory per host    %.1f MiB: base %.1f once, %d rank%s\n", (base + rank * n_ranks) / mib,
         base / mib, n_ranks, ld_plural(n_ranks, "", "s"));
}

/* The work of one row, by a dry pass, which invalidates the tape's memory. */
static void print_work(const ld_job *j, double tokens) {
  ld_tape *tape = j->trainer.tape;
  ld_feed feed = {0};
  ld_batch batch;
  double loss;
  const ld_row_shape shape = ld_corpus_longest(j->data);
  if (!ld_corpus_blank(j->data, 1, shape, &feed, &batch, NULL)) {
    ld_tape_begin(tape, LD_PASS_TRAIN, true, j->options.recompute);
    j->base.objective->loss(j->base.model, tape, &batch, &loss);
    printf("work per step      about %.3f GFLOP\n",
           ld_tape_work(tape) / ld_corpus_tokens_of(j->data, shape) * tokens / 1e9);
  }
  ld_feed_free(&feed);
}

void ld_job_print_plan(const ld_job *j) {
  const double tokens = (double)j->data->plan->n_tokens / (double)j->trainer.steps_per_epoch;
  const ld_params *params = j->base.params;
  printf("parameters         %.3f M frozen, %.3f M trained in %zu modules\n",
         (double)j->base.model->n_parameters / 1e6, (double)params->n_floats / 1e6, params->n_changes);
  print_steps(j, tokens);
  print_time(j);
  print_memory(j);
  print_work(j, tokens);
  printf("traffic per step   %.3f MiB allreduced\n", (double)ld_trainer_traffic(&j->trainer) / 1048576);
}
