/* Classes: one of several for each text or image. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/json.h"
#include "linalg/rows.h"
#include "objective/classes_common.h"

static const ld_data_form *const forms[] = {&ld_form_labelled, &ld_form_image, NULL};
static const ld_metric metrics[] = {[LD_ACCURACY] = {.key = "accuracy", .name = "accuracy", .digits = 4},
                                    [LD_MACRO_F1] = {.key = "macro_f1", .name = "macro F1", .digits = 4},
                                    [LD_MATTHEWS] = {.key = "matthews", .name = "Matthews", .digits = 4},
                                    {0}};

static void lay(const ld_laid *laid, ld_lanes *lanes) {
  ld_lay_text(laid, lanes);
  ld_lane *targets = ld_lane_of(lanes, LD_TARGETS);
  const int at = ld_lane_add(targets, 1, 0);
  targets->ids[at] = laid->record->label;
}

static void put_target(const ld_field *targets, const ld_labels *labels, ld_text *out) {
  const int32_t class = targets->ids[0];
  if (class >= 0 && (size_t) class < labels->n_names) ld_text_printf(out, ", label %s", labels->names[class]);
}

static void score(const ld_answers *answers, ld_scores *out) {
  const size_t n = (size_t)answers->n;
  int32_t *truth = ld_alloc(2 * n, sizeof *truth), *given = truth + n;
  for (size_t i = 0; i < n; i++) {
    truth[i] = (int32_t)answers->list[i].truth;
    given[i] = (int32_t)answers->list[i].given;
  }
  ld_score_classes(truth, given, n, answers->n_classes, out);
  free(truth);
}

/* "label": "positive", "probabilities": {"negative": 0.1, "positive": 0.9} */
static void put_prediction(const ld_labels *labels, const ld_outputs *outputs, ld_text *line) {
  ld_text_puts(line, "\"label\": ");
  if (!outputs) {
    ld_text_puts(line, "null");
    return;
  }
  const int n = outputs->cols;
  float *probabilities = ld_alloc((size_t)n, sizeof *probabilities);
  memcpy(probabilities, outputs->data, (size_t)n * sizeof *probabilities);
  const double sum = ld_row_exp(probabilities, ld_row_max(probabilities, n), n);
  ld_row_scale(probabilities, (float)(1 / sum), n);
  ld_json_quote(line, labels->names[ld_row_argmax(outputs->data, n)]);
  for (int i = 0; i < n; i++) {
    ld_text_puts(line, i ? ", " : ", \"probabilities\": {");
    ld_json_quote(line, labels->names[i]);
    ld_text_printf(line, ": %.6g", (double)probabilities[i]);
  }
  ld_text_puts(line, "}");
  free(probabilities);
}

const ld_objective ld_objective_classes = {
    .name = "classes",
    .model = "a classifier",
    .forms = forms,
    .named = true,
    .problem = "single_label_classification",
    .loss_unit = "nats",
    .metrics = metrics,
    .head = LD_HEAD_RECORD,
    .least_outputs = 2,
    .lay = lay,
    .suit = ld_classes_suit,
    .suit_new = ld_classes_suit_new,
    .put_target = put_target,
    .loss = ld_classes_loss,
    .answer = ld_classes_answer,
    .score = score,
    .put_prediction = put_prediction,
};
