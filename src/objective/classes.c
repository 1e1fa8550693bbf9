/* Classes: one of several for each text or image. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/json.h"
#include "linalg/rows.h"
#include "nn/ops.h"
#include "objective/class_labels.h"
#include "objective/objective.h"

static const ld_data_form *const forms[] = {&ld_form_labelled, &ld_form_image, NULL};
static const ld_metric metrics[] = {[LD_ACCURACY] = {.key = "accuracy", .name = "accuracy", .digits = 4},
                                    [LD_MACRO_F1] = {.key = "macro_f1", .name = "macro F1", .digits = 4},
                                    [LD_MATTHEWS] = {.key = "matthews", .name = "Matthews", .digits = 4},
                                    {0}};

static void lay(const ld_laid *laid, ld_lane *targets) {
  const int at = ld_lane_add(targets, 1, 0);
  targets->ids[at] = laid->record->label;
}

static void put_target(const ld_field *targets, const ld_labels *labels, ld_text *out) {
  const int32_t class = targets->ids[0];
  if (class >= 0 && (size_t) class < labels->n_names) ld_text_printf(out, ", label %s", labels->names[class]);
}

static ld_tensor *loss(const ld_model *model, ld_tape *tape, const ld_batch *batch, double *sum) {
  ld_tensor *outputs = ld_model_logits(model, tape, batch);
  ld_op_class_loss(tape, outputs, ld_batch_field(batch, LD_TARGETS), sum);
  return outputs;
}

static void answer(const ld_tensor *outputs, const ld_batch *batch, ld_answer *out) {
  const int32_t *targets = ld_batch_field(batch, LD_TARGETS)->ids;
  for (int i = 0; i < outputs->rows; i++) {
    const float *row = outputs->data + (size_t)i * (size_t)outputs->stride;
    out[i] = (ld_answer){(uint32_t)targets[i], (uint32_t)ld_row_argmax(row, outputs->cols)};
  }
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
    .suit = ld_class_labels_suit,
    .suit_new = ld_class_labels_suit_new,
    .put_target = put_target,
    .loss = loss,
    .answer = answer,
    .score = score,
    .put_prediction = put_prediction,
};
