/* What metrics.jsonl tells about a run, in columns, and the statistics that the report page shows of them.
 */
#ifndef LD_REPORT_RUN_H
#define LD_REPORT_RUN_H

#include <stddef.h>

#include "base/error.h"

/* The columns of a table of steps, and of a table of evaluations. */
enum { LD_STEP, LD_LOSS, LD_LR, LD_GRAD_NORM, LD_RATE, LD_TARGETS, LD_EPOCH, LD_STEP_COLUMNS };
enum { LD_PERPLEXITY = LD_LR, LD_EVAL_COLUMNS };

/* Records in columns, steps rising; what a record lacks is NaN. */
typedef struct ld_table {
  double *column[LD_STEP_COLUMNS];
  size_t n, room;
} ld_table;

typedef struct ld_sample {
  double step;
  char *prompt, *text; /* NULL: none */
} ld_sample;

typedef struct ld_run_record {
  ld_table steps, evals;
  size_t sessions;                    /* how often it was started */
  size_t unreadable;                  /* lines that are no JSON, but for an unfinished last one */
  double ranks, hosts, trained, base; /* of the newest session; NaN when not told */
  char *date;                         /* of the first session; NULL when not told */
  double seconds;
  ld_sample before, after; /* `after` is empty while there is one sample only */
} ld_run_record;

/* Reads metrics.jsonl. The caller frees with ld_run_record_free, after a failure too. */
int ld_run_record_read(ld_run_record *run, const char *path, ld_error *err);
void ld_run_record_free(ld_run_record *run);

/* The evaluation with the lowest loss; the first one when none has a loss. */
size_t ld_run_record_best(const ld_run_record *run);

/* Statistics of the values that are there; NaN when there are none. */
double ld_column_median(const double *values, size_t n);
double ld_column_largest(const double *values, size_t n);
double ld_column_mean(const double *values, size_t n);

/* How many values on either side ld_column_smooth takes the mean over; 0 for a run too short to need it. */
size_t ld_column_reach(size_t n);

/* Moving means; the caller frees. */
double *ld_column_smooth(const double *values, size_t n);

#endif
