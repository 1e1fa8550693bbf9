/* How good predictions are: the measures of classification and regression. */
#ifndef LD_SCORE_H
#define LD_SCORE_H

#include <stddef.h>
#include <stdint.h>

#include "metric/metric.h"

/* Of classes: accuracy, the mean of the classes' F1 (over those that occur in truth or prediction; as
 * sklearn's f1_score(average="macro")), and Matthews' correlation for any number of classes (Gorodkin,
 * "Comparing two K-category assignments by a K-category correlation coefficient", 2004). Of values: Pearson's
 * and Spearman's correlation (ties share their mean rank). A correlation with a constant is 0. */
enum { LD_CONFUSION_CLASSES = 2000 };

/* Places in `value`: of classes, of values, and of several classes a record. */
enum { LD_ACCURACY, LD_MACRO_F1, LD_MATTHEWS };
enum { LD_PEARSON, LD_SPEARMAN };
enum { LD_SEVERAL_MICRO_F1, LD_SEVERAL_MACRO_F1, LD_SEVERAL_ACCURACY };

typedef struct ld_scores {
  double value[LD_MAX_METRICS]; /* by the metrics of the objective */
  int64_t n;
  int n_classes;      /* 0 of values */
  int64_t *confusion; /* (n_classes, n_classes): row is the truth, column the prediction; NULL of values, and
                         of more than LD_CONFUSION_CLASSES classes */
} ld_scores;

/* Truth and prediction are classes from 0 to n_classes - 1. Free with ld_scores_free. */
void ld_score_classes(const int32_t *truth, const int32_t *predicted, size_t n, int n_classes,
                      ld_scores *out);
/* Of n records with any number of classes each: truth and prediction are (n, n_classes), 0 or 1. micro_f1 of all pairs of
 * record and class; macro_f1, the mean of all classes' F1, which is 0 of one that never occurs; accuracy, the part of the
 * records of which every class is right. As sklearn's f1_score and accuracy_score. There is no confusion. */
void ld_score_several(const uint8_t *truth, const uint8_t *predicted, size_t n, int n_classes,
                      ld_scores *out);
void ld_score_values(const float *truth, const float *predicted, size_t n, ld_scores *out);
void ld_scores_free(ld_scores *scores);

#endif
