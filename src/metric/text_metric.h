/* What every metric of written text provides: one that compares what a model wrote with what it should
 * have written. One file for each kind, and its line in text_metrics.c.
 *
 * A metric counts something in each record; its value follows from the sums of the counts over all
 * records. The counts are integers, so the sums are exact, whoever adds them in whatever order. */
#ifndef LD_TEXT_METRIC_H
#define LD_TEXT_METRIC_H

#include <stddef.h>
#include <stdint.h>

#include "metric/metric.h"

/* What a model wrote for a record, and the reference texts, any of which would be right. Strings are
 * UTF-8; other bytes do no harm. */
typedef struct ld_written {
  const char *text;
  const char *const *references; /* at least one */
  size_t n_references;
  bool stem; /* English words are compared by their stems; only ROUGE knows this */
} ld_written;

enum { LD_MOST_COUNTS = 18 };

typedef struct ld_text_metric {
  ld_metric metric;
  /* Writes the counts of one record, at most LD_MOST_COUNTS of them; the rest of `counts` is zero before. */
  void (*count)(const ld_written *written, int64_t *counts);
  double (*value)(const int64_t *sums);
} ld_text_metric;

#endif
