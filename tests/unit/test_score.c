#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "metric/score.h"

/* The numbers wanted are those of scikit-learn 1.9.1 (accuracy_score, f1_score(average="macro"),
 * matthews_corrcoef, confusion_matrix) and SciPy 1.17.1 (pearsonr, spearmanr), made from the same generator.
 */
static uint32_t draw(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state >> 16;
}

static void make_classes(uint32_t seed, size_t n, uint32_t k, int32_t *truth, int32_t *predicted) {
  for (size_t i = 0; i < n; i++) {
    truth[i] = (int32_t)(draw(&seed) % k);
    const int32_t other = (int32_t)(draw(&seed) % k);
    predicted[i] = draw(&seed) % 3 ? truth[i] : other;
  }
}

static void make_values(uint32_t seed, size_t n, uint32_t steps, float *truth, float *predicted) {
  for (size_t i = 0; i < n; i++) {
    const float a = (float)(draw(&seed) % steps);
    truth[i] = a * 0.25f;
    predicted[i] = a + (float)(draw(&seed) % 1000) * 0.01f;
  }
}

#define NEAR(found, wanted) cr_assert_lt(fabs((found) - (wanted)), 1e-12, "%.17g, not %.17g", found, wanted)

Test(score, classes_are_scored_as_scikit_learn_does) {
  static const struct {
    size_t n;
    int k;
    uint32_t seed;
    double accuracy, macro_f1, matthews;
  } cases[] = {{50, 2, 1, 0.8, 0.79474548440065673, 0.59215652546379205},
               {500, 5, 2, 0.75, 0.74926178377358643, 0.68719398764070572},
               {1000, 37, 3, 0.686, 0.68461142638602623, 0.67716919160351252}};
  for (int i = 0; i < 3; i++) {
    int32_t truth[1000], predicted[1000];
    ld_scores scores;
    make_classes(cases[i].seed, cases[i].n, (uint32_t)cases[i].k, truth, predicted);
    ld_score_classes(truth, predicted, cases[i].n, cases[i].k, &scores);
    NEAR(scores.value[LD_ACCURACY], cases[i].accuracy);
    NEAR(scores.value[LD_MACRO_F1], cases[i].macro_f1);
    NEAR(scores.value[LD_MATTHEWS], cases[i].matthews);
    cr_assert_eq(scores.n, (int64_t)cases[i].n);
    cr_assert_eq(scores.n_classes, cases[i].k);
    ld_scores_free(&scores);
  }
}

/* The last class occurs in neither. */
static void make_several(uint32_t seed, size_t n, size_t k, uint8_t *truth, uint8_t *predicted) {
  for (size_t i = 0; i < n * k; i++) {
    const bool a = draw(&seed) % 3 == 0, b = draw(&seed) % 3 == 0, same = draw(&seed) % 4 != 0;
    truth[i] = a && i % k != k - 1;
    predicted[i] = same ? truth[i] : b && i % k != k - 1;
  }
}

Test(score, several_labels_are_scored_as_scikit_learn_does) {
  static const struct {
    size_t n;
    int k;
    uint32_t seed;
    double micro_f1, macro_f1, accuracy;
  } cases[] = {{50, 2, 1, 0.6666666666666666, 0.3333333333333333, 0.82},
               {200, 5, 2, 0.8582089552238806, 0.6849462581348529, 0.685},
               {100, 7, 3, 0.8321513002364066, 0.7138014800821674, 0.42}};
  uint8_t truth[1000], predicted[1000];
  ld_scores scores;
  for (int i = 0; i < 3; i++) {
    make_several(cases[i].seed, cases[i].n, (size_t)cases[i].k, truth, predicted);
    ld_score_several(truth, predicted, cases[i].n, cases[i].k, &scores);
    NEAR(scores.value[LD_SEVERAL_MICRO_F1], cases[i].micro_f1);
    NEAR(scores.value[LD_SEVERAL_MACRO_F1], cases[i].macro_f1);
    NEAR(scores.value[LD_SEVERAL_ACCURACY], cases[i].accuracy);
    cr_assert(!scores.confusion && !scores.n_classes && scores.n == (int64_t)cases[i].n);
  }
  ld_score_several(truth, predicted, 0, 3, &scores);
  cr_assert(scores.value[LD_SEVERAL_MICRO_F1] == 0 && scores.value[LD_SEVERAL_MACRO_F1] == 0 &&
            scores.value[LD_SEVERAL_ACCURACY] == 0);
  ld_score_several((const uint8_t[]){1}, (const uint8_t[]){1}, 1, 1, &scores);
  cr_assert(scores.value[LD_SEVERAL_MICRO_F1] == 1 && scores.value[LD_SEVERAL_MACRO_F1] == 1 &&
            scores.value[LD_SEVERAL_ACCURACY] == 1);
}

Test(score, confusion_has_the_truth_in_its_rows) {
  static const int64_t wanted[25] = {77, 7, 8, 6, 5, 7,  67, 11, 4, 4, 3, 5, 90,
                                     4,  9, 4, 4, 8, 72, 7,  14, 6, 5, 4, 69};
  int32_t truth[500], predicted[500];
  ld_scores scores;
  make_classes(2, 500, 5, truth, predicted);
  ld_score_classes(truth, predicted, 500, 5, &scores);
  for (int i = 0; i < 25; i++) cr_assert_eq(scores.confusion[i], wanted[i], "cell %d", i);
  ld_scores_free(&scores);
  cr_assert_null(scores.confusion);
}

Test(score, classes_that_do_not_occur_do_not_count) {
  const int32_t truth[] = {0, 0, 1, 1, 4, 4}, predicted[] = {0, 1, 1, 1, 2, 4};
  ld_scores scores;
  ld_score_classes(truth, predicted, 6, 7, &scores);
  NEAR(scores.value[LD_ACCURACY], 4.0 / 6);
  NEAR(scores.value[LD_MACRO_F1], 0.53333333333333333);
  NEAR(scores.value[LD_MATTHEWS], 0.58333333333333337);
  ld_scores_free(&scores);
}

Test(score, constant_predictions_have_no_correlation) {
  const int32_t truth[] = {0, 1, 1, 0}, ones[] = {1, 1, 1, 1};
  const float constant[] = {0.1f, 0.1f, 0.1f}, rising[] = {1, 2, 3};
  ld_scores scores;
  ld_score_classes(truth, ones, 4, 2, &scores);
  cr_assert_eq(scores.value[LD_MATTHEWS], 0);
  NEAR(scores.value[LD_MACRO_F1], 1.0 / 3);
  ld_scores_free(&scores);
  ld_score_values(rising, constant, 3, &scores);
  cr_assert(scores.value[LD_PEARSON] == 0 && scores.value[LD_SPEARMAN] == 0);
  ld_score_values(constant, rising, 3, &scores);
  cr_assert(scores.value[LD_PEARSON] == 0 && scores.value[LD_SPEARMAN] == 0);
  ld_score_values(rising, rising, 1, &scores);
  cr_assert(scores.value[LD_PEARSON] == 0 && scores.value[LD_SPEARMAN] == 0);
}

Test(score, nothing_scores_nothing) {
  ld_scores scores;
  ld_score_classes(NULL, NULL, 0, 3, &scores);
  cr_assert(scores.value[LD_ACCURACY] == 0 && scores.value[LD_MACRO_F1] == 0 &&
            scores.value[LD_MATTHEWS] == 0 && scores.confusion[8] == 0);
  ld_scores_free(&scores);
  ld_score_values(NULL, NULL, 0, &scores);
  cr_assert(scores.n == 0 && scores.value[LD_PEARSON] == 0 && scores.value[LD_SPEARMAN] == 0 &&
            !scores.confusion);
}

Test(score, values_are_correlated_as_scipy_does) {
  static const struct {
    size_t n;
    uint32_t steps, seed;
    double pearson, spearman;
  } cases[] = {{20, 5, 1, 0.26519883350769091, 0.21227704623625393},
               {300, 21, 2, 0.9015067263857689, 0.90480329615320398},
               {1000, 1000, 3, 0.99995155776234945, 0.99992655076371417}};
  for (int i = 0; i < 3; i++) {
    float truth[1000], predicted[1000];
    ld_scores scores;
    make_values(cases[i].seed, cases[i].n, cases[i].steps, truth, predicted);
    ld_score_values(truth, predicted, cases[i].n, &scores);
    NEAR(scores.value[LD_PEARSON], cases[i].pearson);
    NEAR(scores.value[LD_SPEARMAN], cases[i].spearman);
    cr_assert_eq(scores.n_classes, 0);
  }
}

Test(score, a_monotone_prediction_has_full_rank_correlation) {
  const float truth[] = {1, 2, 3, 4}, predicted[] = {1, 10, 100, 1e30f}, falling[] = {4, 3, 2, -1e30f};
  ld_scores scores;
  ld_score_values(truth, predicted, 4, &scores);
  NEAR(scores.value[LD_SPEARMAN], 1.0);
  cr_assert_lt(scores.value[LD_PEARSON], 0.8);
  ld_score_values(truth, falling, 4, &scores);
  NEAR(scores.value[LD_SPEARMAN], -1.0);
  const float broken[] = {1, NAN, 2, NAN};
  ld_score_values(truth, broken, 4, &scores);
  cr_assert(isnan(scores.value[LD_PEARSON]));
}

Test(score, very_many_classes_have_no_confusion_matrix) {
  const int32_t truth[] = {0, 999999, 3}, predicted[] = {0, 999999, 4};
  ld_scores scores;
  ld_score_classes(truth, predicted, 3, 1000000, &scores);
  cr_assert_null(scores.confusion);
  NEAR(scores.value[LD_ACCURACY], 2.0 / 3);
  NEAR(scores.value[LD_MACRO_F1], 0.5);
  ld_scores_free(&scores);
}
