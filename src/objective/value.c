/* Value: a number for each text or image. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "nn/ops.h"
#include "objective/objective.h"

static const ld_data_form *const forms[] = {&ld_form_labelled, &ld_form_image, NULL};
static const ld_metric metrics[] = {
    [LD_PEARSON] = {.key = "pearson", .name = "Pearson", .title = "Pearson correlation", .digits = 4},
    [LD_SPEARMAN] = {.key = "spearman", .name = "Spearman", .title = "Spearman correlation", .digits = 4},
    {0}};

static void lay(const ld_laid *laid, ld_lanes *lanes) {
  ld_lay_text(laid, lanes);
  ld_lane *targets = ld_lane_of(lanes, LD_TARGETS);
  const int at = ld_lane_add(targets, 1, 1);
  targets->numbers[at] = laid->record->value;
}

static int suit(const ld_labels *labels, int n_outputs, ld_error *err) {
  (void)n_outputs;
  if (labels->kind != LD_LABEL_NAME) return 0;
  return ld_fail(err, LD_EMISMATCH, "the label '%s' is a name, but the model has one output, for numbers",
                 labels->names[0]);
}

static void put_target(const ld_field *targets, const ld_labels *labels, ld_text *out) {
  (void)labels;
  ld_text_printf(out, ", value %g", (double)targets->numbers[0]);
}

static ld_tensor *loss(const ld_model *model, ld_tape *tape, const ld_batch *batch, double *sum) {
  ld_tensor *outputs = ld_model_logits(model, tape, batch);
  ld_op_value_loss(tape, outputs, ld_batch_field(batch, LD_TARGETS), sum);
  return outputs;
}

static uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static void answer(const ld_tensor *outputs, const ld_batch *batch, ld_answer *out) {
  const float *values = ld_batch_field(batch, LD_TARGETS)->numbers;
  for (int i = 0; i < outputs->rows; i++)
    out[i] = (ld_answer){bits_of(values[i]), bits_of(outputs->data[(size_t)i * (size_t)outputs->stride])};
}

static void score(const ld_answers *answers, ld_scores *out) {
  const size_t n = (size_t)answers->n;
  float *truth = ld_alloc(2 * n, sizeof *truth), *given = truth + n;
  for (size_t i = 0; i < n; i++) {
    memcpy(&truth[i], &answers->list[i].truth, sizeof *truth);
    memcpy(&given[i], &answers->list[i].given, sizeof *given);
  }
  ld_score_values(truth, given, n, out);
  free(truth);
}

/* "value": 2.5 */
static void put_prediction(const ld_labels *labels, const ld_outputs *outputs, ld_text *line) {
  (void)labels;
  if (outputs)
    ld_text_printf(line, "\"value\": %.9g", (double)outputs->data[0]);
  else
    ld_text_puts(line, "\"value\": null");
}

const ld_objective ld_objective_value = {
    .name = "value",
    .model = "a classifier",
    .forms = forms,
    .problem = "regression",
    .loss_unit = "mean squared error",
    .metrics = metrics,
    .head = LD_HEAD_RECORD,
    .least_outputs = 1,
    .most_outputs = 1,
    .lay = lay,
    .suit = suit,
    .put_target = put_target,
    .loss = loss,
    .answer = answer,
    .score = score,
    .put_prediction = put_prediction,
};
