/* The records of metrics.jsonl in columns, and the statistics that the report page shows of them. */
#ifndef LD_REPORT_RUN_H
#define LD_REPORT_RUN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum { LD_REPORT_CLASSES = 20 }; /* the most labels of a confusion matrix that is shown */

/* The columns of a table of steps, and of a table of evaluations. */
enum {
  LD_COLUMN_STEP,
  LD_COLUMN_LOSS,
  LD_COLUMN_LR,
  LD_COLUMN_GRAD_NORM,
  LD_COLUMN_RATE,
  LD_COLUMN_TARGETS,
  LD_COLUMN_EPOCH,
  LD_COLUMN_SECONDS,
  LD_COLUMN_WAIT_NETWORK,
  LD_COLUMN_WAIT_RANKS,
  LD_STEP_COLUMNS
};
enum {
  LD_MOST_METRICS = 14,
  LD_COLUMN_METRIC = LD_COLUMN_LR,
  LD_EVAL_COLUMNS = LD_COLUMN_METRIC + LD_MOST_METRICS
};
enum { LD_TABLE_COLUMNS = LD_EVAL_COLUMNS };
_Static_assert((int)LD_STEP_COLUMNS <= (int)LD_TABLE_COLUMNS, "a table has room for both");

/* A number beside the loss that says how good the model is: column LD_COLUMN_METRIC + i of the evaluations. */
typedef struct ld_run_metric {
  char *key, *name;
  bool falls;   /* lower is better */
  bool of_loss; /* computed from the loss */
  int digits;   /* shown after the decimal point */
} ld_run_metric;

/* Records in columns, by increasing step; a missing value is NaN. */
typedef struct ld_table {
  double *column[LD_TABLE_COLUMNS];
  size_t n, room;
} ld_table;

/* What the model wrote after a prompt: the first text and, if it is another one, the last text. */
typedef struct ld_run_sample {
  char *prompt; /* "": not recorded */
  double step[2];
  char *text[2]; /* NULL: none */
} ld_run_sample;

/* The pictures that it made for a prompt, by increasing step. */
typedef struct ld_run_strip {
  double number; /* of the prompt in its list */
  char *prompt;
  double *step;
  char **file; /* "samples/step-00000100-1.png" */
  size_t n, room;
} ld_run_strip;

enum { LD_REPORT_SAMPLES = 16 }; /* the most prompts whose texts are shown */

/* The size of a data set; NaN where it was not recorded. */
typedef struct ld_run_size {
  double records, rows, tokens, targets;
} ld_run_size;

typedef struct ld_confusion {
  double step;
  size_t n; /* 0: none */
  char *labels[LD_REPORT_CLASSES];
  double counts[LD_REPORT_CLASSES][LD_REPORT_CLASSES]; /* row: the truth; column: the prediction */
} ld_confusion;

typedef struct ld_run_record {
  ld_table steps, evals;
  size_t sessions;                    /* how often the run was started */
  size_t unreadable;                  /* lines that are not JSON, except an unfinished last one */
  double ranks, hosts, trained, base; /* of the latest session; NaN when not recorded */
  bool regrouped;                     /* sessions had different numbers of ranks or hosts */
  double total;                       /* total number of steps; NaN when not recorded */
  char *stopped; /* why the latest session stopped early; NULL when it did not, or was killed */
  char *date;    /* of the first session; NULL when not recorded */
  double seconds;
  ld_run_metric metrics[LD_MOST_METRICS]; /* as recorded; for older records, as found in the evaluations */
  size_t n_metrics;                       /* the first is the one to show */
  bool best_by_metric;                    /* it decides which evaluation is the best; otherwise the loss */
  char *target, *unit, *loss_unit;        /* "image", "images", "nats"; NULL when not recorded */
  ld_confusion confusion;
  ld_run_size data, valid;
  char *kernels;        /* of rank 0 in the latest session: "avx2"; NULL when not recorded */
  double cores, memory; /* cores that rank 0 may use; free bytes on its host */
  ld_run_sample samples[LD_REPORT_SAMPLES];
  size_t n_samples;
  ld_run_strip strips[LD_REPORT_SAMPLES];
  size_t n_strips;
} ld_run_record;

/* Reads metrics.jsonl. The caller frees with ld_run_record_free, also after an error. */
int ld_run_record_read(ld_run_record *run, const char *path, ld_error *err);
void ld_run_record_free(ld_run_record *run);

/* The evaluation with the lowest loss; the first one when none has a loss. */
size_t ld_run_record_best(const ld_run_record *run);

/* What the loss is a mean over: "target token", "text" or "image". What the rate counts: "tokens" or
 * "images". */
const char *ld_run_record_target(const ld_run_record *run);
const char *ld_run_record_unit(const ld_run_record *run);

/* "nats" (the loss is then a mean over the targets), or another unit. */
const char *ld_run_record_loss_unit(const ld_run_record *run);

/* Whether it has metrics that are not computed from the loss. */
bool ld_run_record_scored(const ld_run_record *run);

/* Statistics of the present values; NaN when there are none. */
double ld_column_median(const double *values, size_t n);
double ld_column_largest(const double *values, size_t n);
double ld_column_least(const double *values, size_t n);
double ld_column_mean(const double *values, size_t n);

/* How many of n values on either side a mean should include; 0 for a run too short to need it. */
size_t ld_column_reach(size_t n);

/* The same for the losses of the steps: more where steps have few targets. */
size_t ld_run_record_reach(const ld_run_record *run);

/* Means over `reach` values on either side; the caller frees. */
double *ld_column_smooth(const double *values, size_t n, size_t reach);

#endif
