/* A metric: a number that says how good a model is. */
#ifndef LD_METRIC_H
#define LD_METRIC_H

#include <stdbool.h>

enum { LD_MAX_METRICS = 9 }; /* of an objective */

typedef struct ld_metric {
  const char *key;   /* in metrics.jsonl: "macro_f1" */
  const char *name;  /* for people: "macro F1" */
  const char *title; /* where there is more room; NULL: the name */
  bool falls;        /* lower is better */
  bool of_loss;      /* computed from the loss */
  int digits;        /* shown after the decimal point */
} ld_metric;

#endif
