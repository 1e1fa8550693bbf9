#include "job/steps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "adapt/choose.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/numerics.h"
#include "data/once.h"
#include "io/report/report.h"
#include "job/judge.h"
#include "job/measure.h"
#include "job/open.h"
#include "job/preflight.h"
#include "job/profile.h"
#include "job/report.h"
#include "job/sample.h"
#include "job/stop.h"
#include "linalg/gemm.h"
#include "options/resolve.h"
#include "train/agree.h"

static void make_config(ld_job *j) {
  ld_text text = {0};
  ld_options_json(LD_CMD_TRAIN, &j->options, true, &text);
  text.bytes[--text.length] = 0; /* the closing brace: more keys follow */
  ld_text_printf(&text, ", \"base_digest\": \"%s\", \"data_digest\": \"%s\"",
                 ld_model_folder_digest(j->base.folder), j->data->digest);
  ld_text_printf(&text, ", \"settings_digest\": \"%s\"", j->settings);
  if (j->init_digest[0]) ld_text_printf(&text, ", \"init_digest\": \"%s\"", j->init_digest);
  if (!ld_gemm_fused()) ld_text_printf(&text, ", \"threads\": %lld", (long long)j->options.threads);
  ld_text_printf(&text, ", \"kernels\": \"%s\", \"numerics\": %d}", ld_gemm_kind(), (int)LD_NUMERICS);
  j->config = text.bytes;
}

static bool is_rank_0(const ld_job *j) {
  return ld_comm_rank(j->comm) == 0;
}

static int save(void *self, ld_error *err) {
  ld_job *j = self;
  return ld_run_save(&j->run, &j->trainer, err);
}

static int save_best(void *self, ld_error *err) {
  ld_job *j = self;
  return ld_run_save_best(&j->run, &j->trainer, err);
}

/* Writes the report page as of now. It is made from all of metrics.jsonl, so a long run with many evaluations
 * writes it only as often as costs a hundredth of the time. */
static int write_report(void *self, ld_error *err) {
  ld_job *j = self;
  const double began = ld_clock();
  if (!j->run.metrics) return 0; /* it failed before there was anything to show */
  const int rc = ld_report_write(j->options.out, j->options.out, err);
  j->report_due = ld_clock() + 100 * (ld_clock() - began);
  return rc;
}

static int refresh_report(void *self, ld_error *err) {
  const ld_job *j = self;
  return ld_clock() < j->report_due ? 0 : write_report(self, err);
}

/* A record of metrics.jsonl: a step or an evaluation. */
typedef struct record {
  ld_job *job;
  const ld_step_report *step;
  const ld_measured *measured;
  double seconds;
} record;

static int write_record(void *self, ld_error *err) {
  const record *r = self;
  return r->step ? ld_job_record_step(r->job, r->step, r->seconds, err)
                 : ld_job_record_eval(r->job, r->measured, r->seconds, err);
}

static int evaluate(ld_job *j, ld_error *err) {
  const double began = ld_clock();
  ld_measured found;
  int rc = ld_job_measure(j, &found, err);
  if (!rc) {
    ld_job_show_eval(j, &found);
    const bool better = ld_job_is_best(j, &found);
    record line = {.job = j, .measured = &found, .seconds = ld_clock() - began};
    rc = ld_comm_by_first(j->comm, write_record, &line, err);
    if (!rc && better) rc = ld_comm_by_first(j->comm, save_best, j, err);
  }
  ld_measured_free(&found);
  return rc;
}

/* Shows the current state of the model: the loss on the validation data, and texts. */
static int look(ld_job *j, ld_error *err) {
  int rc = j->valid ? evaluate(j, err) : 0;
  if (!rc) rc = ld_job_sample(j, err);
  return rc ? rc : ld_comm_by_first(j->comm, refresh_report, j, err);
}

static bool due(int64_t step, int64_t every) {
  return step % every == 0;
}

/* Whether one more step would end after the time limit. */
static bool time_is_up(const ld_job *j) {
  const double limit = j->options.time_limit, now = ld_clock();
  return limit > 0 && now - j->began + j->longest > limit;
}

/* After a step; by default at the end of each epoch. */
static bool evaluates(const ld_job *j) {
  const ld_progress *now = &j->trainer.progress;
  return j->options.eval_every ? due(now->step, j->options.eval_every) : now->position == 0;
}

/* The files that this rank has mapped must not have changed. */
static int check_files(void *self, ld_error *err) {
  const ld_job *j = self;
  const bool in_memory = j->model.received && !is_rank_0(j); /* received from rank 0 */
  int rc = in_memory ? 0 : ld_model_folder_check(j->base.folder, err);
  if (!rc) rc = ld_corpus_check(j->data, err);
  return rc || !j->valid ? rc : ld_corpus_check(j->valid, err);
}

/* Called before anything is written: every rank must have used the same files and hold the same results. */
static int check_ranks(ld_job *j, ld_error *err) {
  const int rc = ld_comm_agree(j->comm, ld_comm_meanwhile(j->comm, check_files, j, err), err);
  return rc ? rc : ld_agree_on_state(&j->trainer, err);
}

static int one_step(ld_job *j, bool *stop, ld_error *err) {
  ld_trainer *t = &j->trainer;
  const double began = ld_clock();
  ld_step_report report;
  int rc = ld_trainer_step(t, ld_stop_asked() || time_is_up(j), &report, err);
  if (rc) return rc;
  const double seconds = ld_clock() - began;
  const bool last = report.step == t->total_steps;
  *stop = report.stop_requests > 0 && !last;
  ld_job_show_step(j, &report, seconds);
  rc = ld_comm_by_first(j->comm, write_record, &(record){.job = j, .step = &report, .seconds = seconds}, err);
  const bool saves = last || *stop || due(report.step, j->options.save_every);
  const bool looks = (j->valid || j->writes) && (last || evaluates(j));
  if (!rc && (saves || looks)) rc = check_ranks(j, err);
  if (!rc && looks) rc = look(j, err);
  if (!rc && saves) rc = ld_comm_by_first(j->comm, save, j, err);
  j->longest = fmax(j->longest, ld_clock() - began);
  return rc;
}

/* All steps were already done; what is written at the end may still be missing. */
static bool was_finished(const ld_job *j) {
  return j->first_step >= j->trainer.total_steps;
}

/* A signal on any rank counts. It takes precedence over the time limit, which may have been reached since.
 * Collective. */
static void find_reason(ld_job *j) {
  int64_t number = ld_stop_asked();
  ld_comm_max_i64(j->comm, &number, 1);
  if (number)
    snprintf(j->why_stopped, sizeof j->why_stopped, "%s", ld_stop_name((int)number));
  else
    snprintf(j->why_stopped, sizeof j->why_stopped, "time limit of %g s reached", j->options.time_limit);
}

static int write_stop(void *self, ld_error *err) {
  ld_job *j = self;
  const int rc = ld_job_record_stop(j, err);
  return rc ? rc : write_report(j, err);
}

static int write_end(void *self, ld_error *err) {
  ld_job *j = self;
  int rc = ld_run_finish(&j->run, &j->trainer, err);
  if (!rc && !was_finished(j)) rc = ld_job_record_end(j, err);
  if (!rc) rc = write_report(j, err);
  if (!rc) ld_job_judge(j);
  return rc;
}

static int finish(ld_job *j, ld_error *err) {
  const int rc = ld_comm_by_first(j->comm, write_end, j, err);
  if (rc) return rc;
  if (was_finished(j))
    ld_info("nothing to do: all %lld steps are complete. To train further, use --init-adapter %s and a new "
            "--out",
            (long long)j->trainer.total_steps, j->options.out);
  else
    ld_job_show_end(j);
  ld_info("done: %s (adapter.h5, %s, report.html)", j->options.out, ld_run_hub_folder(&j->base, &j->options));
  return 0;
}

/* The modules that --target and --whole selected: "12 modules: q_proj, v_proj", those of all layers under one
 * name. */
static void put_trained(const ld_params *params, ld_text *out) {
  ld_tally names = {0};
  const size_t n = params->n_changes;
  for (size_t i = 0; i < n; i++) ld_tally_add(&names, ld_module_name(params->choices[i].layer->path), 0);
  ld_text_printf(out, "trained: \"%zu %s: ", n, ld_plural((long long)n, "module", "modules"));
  ld_tally_list(&names, "", out);
  ld_text_puts(out, "\"\n");
  ld_tally_free(&names);
}

static int open_run(void *self, ld_error *err) {
  ld_job *j = self;
  ld_text yaml = {0};
  ld_options_yaml(LD_CMD_TRAIN, &j->options, j->base.objective, j->base.model,
                  ld_dataset_form(j->data->dataset), &yaml);
  ld_text_printf(&yaml,
                 "version: \"%s\"\nbase-digest: \"%s\"\ndata-digest: \"%s\"\nhost: \"%s\"\nranks: "
                 "%d\nkernels: \"%s\"\n",
                 LD_VERSION, ld_model_folder_digest(j->base.folder), j->data->digest, ld_comm_host(j->comm),
                 ld_comm_size(j->comm), ld_gemm_kernel());
  put_trained(j->base.params, &yaml);
  int rc = ld_run_open(&j->run, j->config, yaml.bytes, j->first_step ? j->first_step : -1, err);
  ld_text_free(&yaml);
  if (!rc && !was_finished(j)) rc = ld_job_try_out(j, err);
  if (!rc && !was_finished(j)) rc = ld_job_record_start(j, err);
  return rc;
}

static int profile(void *self, ld_error *err) {
  return ld_job_profile(self, err);
}

int ld_job_run(ld_job *j, ld_error *err) {
  make_config(j);
  j->first_step = j->trainer.progress.step;
  int rc = ld_comm_by_first(j->comm, open_run, j, err);
  if (!rc) ld_once_keep(j->comm, j->digests, ld_job_cache(j));
  j->started = j->last_line = ld_clock();
  if (!rc && (j->valid || j->writes) && !j->first_step) rc = look(j, err);
  bool stop = false;
  while (!rc && !stop && j->trainer.progress.step < j->trainer.total_steps) rc = one_step(j, &stop, err);
  ld_progress_clear();
  if (rc)
    ld_comm_by_first(j->comm, write_report, j, &(ld_error){0}); /* the run's own error is the one to report */
  if (!rc && stop) find_reason(j);
  if (!rc && stop) rc = ld_comm_by_first(j->comm, write_stop, j, err);
  if (!rc && j->options.profile) rc = ld_comm_by_first(j->comm, profile, j, err);
  if (!rc && stop) {
    ld_job_show_end(j);
    ld_info("stopped after step %lld: %s (checkpoint saved). Run the same command again to resume.",
            (long long)j->trainer.progress.step, j->why_stopped);
    return LD_STOPPED;
  }
  return rc ? rc : finish(j, err);
}
