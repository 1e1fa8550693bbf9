/* How good predictions are: the measures of classification and regression. */
#ifndef LD_SCORE_H
#define LD_SCORE_H

#include <stddef.h>
#include <stdint.h>

/* Of classes: accuracy, the mean of the classes' F1 (over those that occur in truth or prediction; as
 * sklearn's f1_score(average="macro")), and Matthews' correlation for any number of classes (Gorodkin,
 * "Comparing two K-category assignments by a K-category correlation coefficient", 2004). Of values: Pearson's
 * and Spearman's correlation (ties share their mean rank). A correlation with a constant is 0. */
enum { LD_CONFUSION_CLASSES = 2000 };

/* Places in `value`: of classes, and of values. */
enum { LD_ACCURACY, LD_MACRO_F1, LD_MATTHEWS };
enum { LD_PEARSON, LD_SPEARMAN };

typedef struct ld_scores {
  double value[6]; /* by the metrics of the objective */
  int64_t n;
  int n_classes;      /* 0 of values */
  int64_t *confusion; /* (n_classes, n_classes): row is the truth, column the prediction; NULL of values, and
                         of more than LD_CONFUSION_CLASSES classes */
} ld_scores;

/* Truth and prediction are classes from 0 to n_classes - 1. Free with ld_scores_free. */
void ld_score_classes(const int32_t *truth, const int32_t *predicted, size_t n, int n_classes,
                      ld_scores *out);
void ld_score_values(const float *truth, const float *predicted, size_t n, ld_scores *out);
void ld_scores_free(ld_scores *scores);

#endif
