/* Evaluations during training: what they find, and which is the best. */
#ifndef LD_JOB_MEASURE_H
#define LD_JOB_MEASURE_H

#include "generate/scores.h"
#include "job/job.h"

/* Free with ld_measured_free. */
typedef struct ld_measured {
  ld_evaluation evaluation;
  ld_text_scores texts; /* with --eval-generate */
} ld_measured;

void ld_measured_free(ld_measured *measured);

/* Opens what --eval-generate needs, and checks --best. LD_EUSAGE names the metrics that there are. Collective. */
int ld_job_open_measures(ld_job *job, ld_error *err);

/* The metrics of a job: those of its objective, then those of texts. NULL after the last. The number that a
 * metric has in an evaluation. */
const ld_metric *ld_job_metric(const ld_job *job, size_t i);
double ld_job_metric_value(const ld_job *job, const ld_measured *measured, size_t i);

/* The number in the list of the metric that decides on the best; -1: the loss decides. */
int ld_job_best_metric(const ld_job *job);

/* Evaluates the model on the validation data. LD_ENUMERIC when its loss is not finite. Collective. */
int ld_job_measure(ld_job *job, ld_measured *out, ld_error *err);

/* Whether this is the best evaluation so far; then takes it over into the trainer's progress. */
bool ld_job_is_best(ld_job *job, const ld_measured *measured);

#endif
