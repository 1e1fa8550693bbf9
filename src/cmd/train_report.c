/* What a training job tells: a person on standard error, programs in metrics.jsonl. */
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "base/gemm.h"
#include "base/log.h"
#include "cmd/train.h"

double ld_job_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void describe_data(const ld_job *j) {
  const ld_plan *plan = j->data->plan;
  const ld_model *model = j->base.model;
  const long long n = (long long)j->data->n_records, rows = (long long)plan->n_rows;
  if (!model->family->classifies)
    ld_info("data    %s: %lld records in %lld rows, %lld tokens, %lld of them targets", j->options.data, n,
            rows, (long long)plan->n_tokens, (long long)plan->n_targets);
  else if (model->family->takes_images)
    ld_info("data    %s: %lld images of %d x %d", j->options.data, rows, j->base.image_rule.width,
            j->base.image_rule.height);
  else
    ld_info("data    %s: %lld texts, %lld tokens", j->options.data, rows, (long long)plan->n_tokens);
  if (j->data->n_skipped)
    ld_warn("%s: %lld broken images were passed over (--strict makes them errors)", j->options.data,
            (long long)j->data->n_skipped);
}

/* The classes by name, as many as a line holds. */
static void describe_head(const ld_job *j) {
  const ld_base *base = &j->base;
  const char *state = base->model->head->is_new ? "new" : "stored";
  if (!base->model->family->classifies) return;
  if (base->model->task == LD_TASK_VALUE) {
    ld_info("head    %s: one number", state);
    return;
  }
  ld_text names = {0};
  for (size_t i = 0; i < base->labels.n_names && names.length < 70; i++)
    ld_text_printf(&names, "%s%s", i ? ", " : "", base->labels.names[i]);
  ld_info("head    %s: %zu classes (%s%s)", state, base->labels.n_names, names.bytes,
          names.length >= 70 ? ", ..." : "");
  ld_text_free(&names);
}

void ld_job_describe(const ld_job *j) {
  const ld_plan *plan = j->data->plan;
  const ld_model *model = j->base.model;
  ld_info("model   %s: %s, %d blocks, %.2f M parameters; trained: %.3f M in %zu modules", j->options.model,
          model->family->model_type, model->n_blocks, (double)model->n_parameters / 1e6,
          (double)j->base.lora->n_floats / 1e6, j->base.lora->n_loras + j->base.lora->n_wholes);
  describe_head(j);
  describe_data(j);
  ld_info("ranks   %d on %d host%s, %lld thread%s each (%s)", ld_comm_size(j->comm), ld_comm_nodes(j->comm),
          ld_comm_nodes(j->comm) > 1 ? "s" : "", (long long)j->options.threads,
          j->options.threads > 1 ? "s" : "", ld_gemm_kernel());
  if (plan->n_cut)
    ld_warn("%lld records are longer than %d tokens and were cut", (long long)plan->n_cut, plan->longest);
  if (plan->n_idle) ld_warn("%lld records have no target token and are left out", (long long)plan->n_idle);
}

static void put_duration(char *text, size_t size, double seconds) {
  const long s = lround(seconds);
  if (s >= 3600)
    snprintf(text, size, "%ldh%02ldm", s / 3600, s / 60 % 60);
  else if (s >= 60)
    snprintf(text, size, "%ldm%02lds", s / 60, s % 60);
  else
    snprintf(text, size, "%lds", s);
}

void ld_job_show_eval(const ld_job *j, const ld_evaluation *found) {
  ld_text text = {0};
  ld_evaluation_put(found, j->base.model, &text);
  ld_info("step %lld  validation %s", (long long)j->trainer.progress.step, text.bytes);
  ld_text_free(&text);
}

void ld_job_show_step(ld_job *j, const ld_step_report *r, double seconds) {
  const double at = ld_job_clock();
  const int64_t total = j->trainer.total_steps;
  char left[32];
  j->in_steps += seconds;
  put_duration(left, sizeof left,
               j->in_steps / (double)(r->step - j->first_step) * (double)(total - r->step));
  char text[256];
  snprintf(text, sizeof text, "step %lld/%lld  loss %.4f  lr %.2e  %.0f tokens/s  %s left",
           (long long)r->step, (long long)total, r->loss, r->lr, (double)r->n_tokens / seconds, left);
  if (ld_log_terminal()) {
    ld_progress_line("%s", text);
    if (r->step == total) ld_info("%s", text);
    return;
  }
  /* A batch log wants few lines: the first, the last, and one every ten seconds. */
  if (r->step != j->first_step + 1 && r->step != total && at - j->last_line < 10) return;
  j->last_line = at;
  ld_info("%s", text);
}

int ld_job_record_start(ld_job *j, ld_error *err) {
  ld_metrics *m = j->run.metrics;
  char date[32];
  const time_t t = time(NULL);
  struct tm utc;
  strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &utc));
  ld_metrics_begin(m);
  ld_metrics_string(m, "event", "start");
  ld_metrics_int(m, "step", j->first_step);
  ld_metrics_int(m, "ranks", ld_comm_size(j->comm));
  ld_metrics_int(m, "hosts", ld_comm_nodes(j->comm));
  ld_metrics_int(m, "trained_parameters", (int64_t)j->base.lora->n_floats);
  ld_metrics_int(m, "base_parameters", j->base.model->n_parameters);
  ld_metrics_string(m, "date", date);
  return ld_metrics_end(m, err);
}

int ld_job_record_step(ld_job *j, const ld_step_report *r, double seconds, ld_error *err) {
  ld_metrics *m = j->run.metrics;
  ld_metrics_begin(m);
  ld_metrics_string(m, "event", "step");
  ld_metrics_int(m, "step", r->step);
  ld_metrics_real(m, "epoch", (double)r->step / (double)j->trainer.steps_per_epoch);
  ld_metrics_real(m, "loss", r->loss);
  ld_metrics_real(m, "lr", r->lr);
  ld_metrics_real(m, "grad_norm", r->grad_norm);
  ld_metrics_int(m, "target_tokens", r->n_targets);
  ld_metrics_int(m, "tokens", r->n_tokens);
  ld_metrics_real(m, "seconds", seconds);
  ld_metrics_int(m, "tries", r->tries);
  return ld_metrics_end(m, err);
}

int ld_job_record_eval(ld_job *j, const ld_evaluation *found, double seconds, ld_error *err) {
  ld_metrics *m = j->run.metrics;
  const ld_task task = j->base.model->task;
  ld_metrics_begin(m);
  ld_metrics_string(m, "event", "eval");
  ld_metrics_int(m, "step", j->trainer.progress.step);
  ld_metrics_real(m, "loss", found->loss);
  if (task == LD_TASK_LANGUAGE) ld_metrics_real(m, "perplexity", exp(found->loss));
  if (task == LD_TASK_CLASSES) {
    ld_metrics_real(m, "accuracy", found->scores.accuracy);
    ld_metrics_real(m, "macro_f1", found->scores.macro_f1);
    ld_metrics_real(m, "matthews", found->scores.matthews);
  }
  if (task == LD_TASK_VALUE) {
    ld_metrics_real(m, "pearson", found->scores.pearson);
    ld_metrics_real(m, "spearman", found->scores.spearman);
  }
  ld_metrics_real(m, "seconds", seconds);
  return ld_metrics_end(m, err);
}

int ld_job_record_end(ld_job *j, ld_error *err) {
  ld_metrics *m = j->run.metrics;
  ld_metrics_begin(m);
  ld_metrics_string(m, "event", "end");
  ld_metrics_int(m, "step", j->trainer.progress.step);
  ld_metrics_real(m, "seconds", ld_job_clock() - j->started);
  ld_metrics_int(m, "target_tokens", j->trainer.progress.tokens);
  return ld_metrics_end(m, err);
}

static int64_t adapted_products(const ld_model *model) {
  int64_t n = 0;
  for (size_t i = 0; i < model->n_linears; i++) n += (int64_t)model->linears[i]->in * model->linears[i]->out;
  return n;
}

void ld_job_print_plan(const ld_job *j) {
  const ld_trainer *t = &j->trainer;
  const ld_plan *plan = j->data->plan;
  const double mib = 1048576, tokens = (double)plan->n_tokens / (double)t->steps_per_epoch;
  double base = 0;
  for (size_t i = 0; i < ld_model_folder_count(j->base.folder); i++) {
    const ld_stored *tensor = ld_model_folder_tensor(j->base.folder, i);
    base += (double)ld_stored_count(tensor) * (double)ld_dtype_size(tensor->dtype);
  }
  const double rank = (double)(t->activation_bytes + ld_trainer_state_bytes(t));
  /* A frozen product is done forward and backward to its input, the adapter's also to its weight. */
  const double flops =
      tokens * (4.0 * (double)adapted_products(j->base.model) + 6.0 * (double)j->base.lora->n_floats);
  printf("parameters         %.3f M frozen, %.3f M trained in %zu modules\n",
         (double)j->base.model->n_parameters / 1e6, (double)j->base.lora->n_floats / 1e6,
         j->base.lora->n_loras);
  printf("steps              %lld (%lld an epoch), batch of %lld rows, %.0f tokens a step\n",
         (long long)t->total_steps, (long long)t->steps_per_epoch, (long long)j->options.batch_size, tokens);
  printf("memory per rank    %.1f MiB: activations %.1f, adapter and optimizer %.1f\n", rank / mib,
         (double)t->activation_bytes / mib, (double)ld_trainer_state_bytes(t) / mib);
  printf("memory per node    %.1f MiB: base %.1f once, %d rank%s\n",
         (base + rank * ld_comm_node_size(j->comm)) / mib, base / mib, ld_comm_node_size(j->comm),
         ld_comm_node_size(j->comm) > 1 ? "s" : "");
  printf("work per step      about %.3f GFLOP\n", flops / 1e9);
  printf("traffic per step   %.3f MiB allreduced\n",
         (double)(j->base.lora->n_floats + LD_EXACT_COUNTERS) * sizeof(int64_t) / mib);
}
