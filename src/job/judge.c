/* Judges by metrics.jsonl whether a finished run has learnt anything. */
#include "job/judge.h"

#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "io/file.h"
#include "io/report/run.h"

/* How many of the last steps are compared with the first one. Not with the second: too high a learning rate
 * has spoiled that already. */
enum { LAST = 10, ENOUGH = 4 };

static double spread_of(const double *values, size_t n, double mean) {
  double squares = 0;
  for (size_t i = 0; i < n; i++) squares += (values[i] - mean) * (values[i] - mean);
  return sqrt(squares / (double)n);
}

/* Higher by more than chance, as far as the last steps show it; with few steps, at least twice as high. */
static void judge_steps(const ld_table *steps) {
  const size_t n = steps->n / 4 < LAST ? steps->n / 4 : LAST;
  if (!n) return;
  const double *loss = steps->column[LD_COLUMN_LOSS], *end = loss + steps->n - n;
  const double last = ld_column_mean(end, n), chance = 3 * spread_of(end, n, last) * sqrt(1 + 1 / (double)n);
  if (n < ENOUGH ? last > 2 * *loss + 1 : last > 1.1 * *loss && last > *loss + chance)
    ld_warn("the loss has risen from %.4g (step %.0f) to %.4g (the last %zu steps): the run diverges: give a "
            "lower --lr, or "
            "a longer --warmup",
            *loss, *steps->column[LD_COLUMN_STEP], last, n);
}

/* Overfitting raises the loss by a few hundredths. A loss worse than before the first step is bad by any
 * amount. */
static void judge_evals(const ld_job *j, const ld_table *evals) {
  const ld_progress *p = &j->trainer.progress;
  const double last = evals->n ? evals->column[LD_COLUMN_LOSS][evals->n - 1] : -1;
  if (last > 1.2 * p->best_loss || (!p->best_step && last > p->best_loss))
    ld_warn("the loss on %s is %.4g at the end, and was %.4g at step %lld: %s/best.h5 has the adapter of "
            "that step",
            j->options.valid, last, p->best_loss, (long long)p->best_step, j->options.out);
}

void ld_job_judge(const ld_job *j) {
  char *path = ld_path_join(j->options.out, "metrics.jsonl");
  ld_run_record run = {0};
  if (!ld_run_record_read(&run, path, NULL)) {
    judge_steps(&run.steps);
    if (j->valid) judge_evals(j, &run.evals);
  }
  ld_run_record_free(&run);
  free(path);
}
