#include "metric/score.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* How often each class is the truth, is predicted, and both. */
typedef struct counts {
  int64_t *truth, *predicted, *both;
} counts;

/* 2 TP / (2 TP + FP + FN), where 2 TP + FP + FN = truth + predicted. */
static double macro_f1(const counts *c, int n_classes) {
  double sum = 0;
  int n = 0;
  for (int k = 0; k < n_classes; k++) {
    const int64_t either = c->truth[k] + c->predicted[k];
    if (!either) continue;
    sum += 2.0 * (double)c->both[k] / (double)either;
    n++;
  }
  return n ? sum / n : 0;
}

/* Gorodkin's R_K from the counts: cov(truth, predicted) over the root of both variances, each times n^2. */
static double matthews(const counts *c, int n_classes, int64_t n) {
  double right = 0, both = 0, truth = 0, predicted = 0;
  const double square = (double)n * (double)n;
  for (int k = 0; k < n_classes; k++) {
    const double t = (double)c->truth[k], p = (double)c->predicted[k];
    right += (double)c->both[k];
    both += t * p;
    truth += t * t;
    predicted += p * p;
  }
  const double variances = (square - truth) * (square - predicted);
  return variances > 0 ? (right * (double)n - both) / sqrt(variances) : 0;
}

void ld_score_classes(const int32_t *truth, const int32_t *predicted, size_t n, int n_classes,
                      ld_scores *out) {
  const size_t classes = (size_t)n_classes;
  int64_t *memory = ld_alloc(3 * classes, sizeof *memory);
  const counts c = {memory, memory + classes, memory + 2 * classes};
  *out = (ld_scores){.n = (int64_t)n, .n_classes = n_classes};
  if (n_classes <= LD_CONFUSION_CLASSES) out->confusion = ld_alloc(classes * classes, sizeof *out->confusion);
  int64_t right = 0;
  for (size_t i = 0; i < n; i++) {
    const size_t t = (size_t)truth[i], p = (size_t)predicted[i];
    assert(t < classes && p < classes);
    c.truth[t]++;
    c.predicted[p]++;
    if (t == p) c.both[t]++, right++;
    if (out->confusion) out->confusion[t * classes + p]++;
  }
  out->value[LD_ACCURACY] = n ? (double)right / (double)n : 0;
  out->value[LD_MACRO_F1] = macro_f1(&c, n_classes);
  out->value[LD_MATTHEWS] = matthews(&c, n_classes, out->n);
  free(memory);
}

static double f1(int64_t both, int64_t either) {
  return either ? 2.0 * (double)both / (double)either : 0;
}

void ld_score_several(const uint8_t *truth, const uint8_t *predicted, size_t n, int n_classes,
                      ld_scores *out) {
  const size_t classes = (size_t)n_classes;
  int64_t all_both = 0, all_either = 0, right = 0;
  *out = (ld_scores){.n = (int64_t)n};
  for (size_t c = 0; c < classes; c++) {
    int64_t both = 0, either = 0;
    for (size_t i = c; i < n * classes; i += classes) {
      both += truth[i] && predicted[i];
      either += truth[i] + predicted[i];
    }
    out->value[LD_SEVERAL_MACRO_F1] += f1(both, either) / n_classes;
    all_both += both;
    all_either += either;
  }
  for (size_t i = 0; i < n; i++) right += !memcmp(truth + i * classes, predicted + i * classes, classes);
  out->value[LD_SEVERAL_MICRO_F1] = f1(all_both, all_either);
  out->value[LD_SEVERAL_ACCURACY] = n ? (double)right / (double)n : 0;
}

static bool is_constant(const double *x, size_t n) {
  size_t i = 1;
  while (i < n && x[i] == x[0]) i++;
  return i >= n;
}

static double mean(const double *x, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += x[i];
  return sum / (double)n;
}

static double correlation(const double *x, const double *y, size_t n) {
  /* Said outright: the rounding of the mean would leave a deviation of nothing but noise. */
  if (is_constant(x, n) || is_constant(y, n)) return 0;
  const double x_mean = mean(x, n), y_mean = mean(y, n);
  double xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < n; i++) {
    const double a = x[i] - x_mean, b = y[i] - y_mean;
    xy += a * b;
    xx += a * a;
    yy += b * b;
  }
  const double r = xy / (sqrt(xx) * sqrt(yy));
  return r > 1 ? 1 : r < -1 ? -1 : r;
}

typedef struct ranked {
  double value;
  size_t index;
} ranked;

/* NaN last, so that the order is one even then. */
static int by_value(const void *a, const void *b) {
  const double x = ((const ranked *)a)->value, y = ((const ranked *)b)->value;
  if (isnan(x) || isnan(y)) return isnan(x) - isnan(y);
  return (x > y) - (x < y);
}

/* Ranks from 0; those of equal values are their mean. */
static void find_ranks(const double *x, size_t n, double *rank) {
  ranked *places = ld_alloc(n, sizeof *places);
  for (size_t i = 0; i < n; i++) places[i] = (ranked){x[i], i};
  qsort(places, n, sizeof *places, by_value);
  for (size_t begin = 0, end; begin < n; begin = end) {
    for (end = begin + 1; end < n && places[end].value == places[begin].value; end++) continue;
    for (size_t i = begin; i < end; i++) rank[places[i].index] = 0.5 * (double)(begin + end - 1);
  }
  free(places);
}

void ld_score_values(const float *truth, const float *predicted, size_t n, ld_scores *out) {
  double *memory = ld_alloc(4 * n, sizeof *memory);
  double *t = memory, *p = memory + n, *t_rank = memory + 2 * n, *p_rank = memory + 3 * n;
  *out = (ld_scores){.n = (int64_t)n};
  for (size_t i = 0; i < n; i++) t[i] = truth[i], p[i] = predicted[i];
  find_ranks(t, n, t_rank);
  find_ranks(p, n, p_rank);
  out->value[LD_PEARSON] = correlation(t, p, n);
  out->value[LD_SPEARMAN] = correlation(t_rank, p_rank, n);
  free(memory);
}

void ld_scores_free(ld_scores *scores) {
  free(scores->confusion);
  *scores = (ld_scores){0};
}
