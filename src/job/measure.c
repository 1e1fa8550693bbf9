#include "job/measure.h"

#include <math.h>
#include <string.h>

#include "data/corpus_index.h"
#include "data/corpus_open.h"
#include "data/once.h"

void ld_measured_free(ld_measured *measured) {
  ld_evaluation_free(&measured->evaluation);
}

static bool writes_texts(const ld_job *j) {
  return j->options.eval_generate > 0;
}

const ld_metric *ld_job_metric(const ld_job *j, size_t i) {
  const ld_metric *own = j->base.objective->metrics;
  size_t n = 0;
  while (own[n].key && n < i) n++;
  if (own[n].key) return &own[n];
  const ld_text_metric *found = writes_texts(j) ? ld_text_metric_at(i - n) : NULL;
  return found ? &found->metric : NULL;
}

double ld_job_metric_value(const ld_job *j, const ld_measured *measured, size_t i) {
  size_t n = 0;
  while (j->base.objective->metrics[n].key) n++;
  return i < n ? measured->evaluation.scores.value[i] : measured->texts.value[i - n];
}

int ld_job_best_metric(const ld_job *j) {
  const ld_metric *metric;
  for (size_t i = 0; (metric = ld_job_metric(j, i)); i++)
    if (!strcmp(metric->key, j->options.best)) return (int)i;
  return -1;
}

static int check_best(const ld_job *j, ld_error *err) {
  const ld_metric *metric;
  if (!strcmp(j->options.best, "loss") || ld_job_best_metric(j) >= 0) return 0;
  ld_text names = {0};
  for (size_t i = 0; (metric = ld_job_metric(j, i)); i++) ld_text_printf(&names, ", %s", metric->key);
  ld_fail(err, LD_EUSAGE, "--best %.64s: the metrics of this run are loss%s%s", j->options.best, names.bytes,
          j->base.objective->prompt && !writes_texts(j) ? "; --eval-generate adds those of texts" : "");
  ld_text_free(&names);
  return LD_EUSAGE;
}

int ld_job_open_measures(ld_job *j, ld_error *err) {
  int rc = check_best(j, err);
  if (rc || !writes_texts(j)) return rc;
  rc = ld_corpus_open(j->options.valid, &j->base, &j->options, j->comm, LD_CORPUS_ASK, &j->asked, err);
  if (!rc) rc = ld_corpus_index(j->asked, j->comm, ld_once_folder(&j->options, j->options.out), err);
  if (!rc) rc = ld_corpus_plan(j->asked, err);
  if (!rc) rc = ld_records_suit(&j->base, j->asked, err);
  if (!rc) rc = ld_generation_settings_find(&j->base, &j->options, &j->writing, err);
  return ld_comm_agree(j->comm, rc, err);
}

static int score_texts(ld_job *j, ld_text_scores *out, ld_error *err) {
  ld_generator generator = {.base = &j->base, .settings = &j->writing, .comm = j->comm};
  const int rc =
      ld_text_scores_find(&generator, j->asked, j->options.eval_generate, j->options.stem, out, err);
  ld_generator_free(&generator);
  return rc;
}

int ld_job_measure(ld_job *j, ld_measured *out, ld_error *err) {
  const ld_session session = ld_trainer_session(&j->trainer);
  *out = (ld_measured){0};
  int rc = ld_evaluate(&session, j->valid, &out->evaluation, err);
  if (!rc && !isfinite(out->evaluation.loss))
    rc = ld_fail(err, LD_ENUMERIC, "step %lld: the loss on %s is not finite",
                 (long long)j->trainer.progress.step, j->options.valid);
  return rc || !j->asked ? rc : score_texts(j, &out->texts, err);
}

bool ld_job_is_best(ld_job *j, const ld_measured *measured) {
  ld_progress *p = &j->trainer.progress;
  const int i = ld_job_best_metric(j);
  double cost = measured->evaluation.loss;
  if (i >= 0) {
    const double value = ld_job_metric_value(j, measured, (size_t)i);
    cost = ld_job_metric(j, (size_t)i)->falls ? value : -value;
  }
  if (!(cost < p->best_cost)) return false;
  p->best_cost = cost;
  p->best_loss = measured->evaluation.loss;
  p->best_step = p->step;
  return true;
}
