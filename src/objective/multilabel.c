/* Multilabel: any number of classes for each text, or none.
 *
 * A record is {"text": "rain and wind at sea", "labels": ["sea", "weather"]}. It has a target for each class:
 *
 *   classes   home  sea  weather
 *   targets      0    1        1
 *
 * The mean of the binary cross-entropy over all targets is transformers' loss (BCEWithLogitsLoss). A record with one
 * label (ld_form_labelled) counts as a list of one.
 */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/vmath.h"
#include "io/dataset/dataset.h"
#include "io/dataset/tokens.h"
#include "io/json.h"
#include "nn/ops.h"
#include "objective/classes_common.h"
#include "objective/objective.h"

static int take_labels(const ld_value *values, ld_sample *sample, ld_error *err) {
  const ld_value *list = ld_value_get(values, "labels");
  if (!list || list->type != LD_LIST)
    return ld_fail(err, LD_EFORMAT, "labels: expected a list of strings, found %s",
                   list ? ld_value_type_name(list->type) : "nothing");
  for (size_t i = 0; i < list->n_items; i++) {
    const ld_value *item = &list->items[i];
    if (item->type != LD_STRING)
      return ld_fail(err, LD_EFORMAT,
                     "labels: item %zu is %s, expected a string: write labels by their names", i + 1,
                     ld_value_type_name(item->type));
    ld_text_append(&sample->tags, item->string, strlen(item->string) + 1);
  }
  sample->listed = true;
  return 0;
}

static int make(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed,
                ld_sample *sample, ld_error *err) {
  (void)record;
  const char *text, *pair = NULL;
  int rc = ld_data_string(parsed->values, "text", &text, err);
  if (!rc && ld_value_get(parsed->values, "text_pair"))
    rc = ld_data_string(parsed->values, "text_pair", &pair, err);
  if (!rc && !ld_dataset_asked(dataset)->unlabelled) rc = take_labels(parsed->values, sample, err);
  if (!rc) rc = ld_data_encode_input(dataset, text, pair, sample, err);
  if (!rc) ld_data_targets(sample, SIZE_MAX);
  return rc;
}

static const ld_data_form several = {.name = "several labels",
                                     .takes =
                                         "a classifier of texts takes labelled records in files that end in",
                                     .keys = {"text", "labels"},
                                     .more = {"text_pair"},
                                     .list = "labels",
                                     .input = "text",
                                     .record = "text",
                                     .row = "text",
                                     .target = "label",
                                     .without_any = "a list of labels (by the key 'labels')",
                                     .make = make};
static const ld_data_form *const forms[] = {&ld_form_labelled, &several, NULL};

static const ld_metric metrics[] = {
    [LD_SEVERAL_MICRO_F1] = {.key = "micro_f1", .name = "micro F1", .digits = 4},
    [LD_SEVERAL_MACRO_F1] = {.key = "macro_f1", .name = "macro F1", .digits = 4},
    [LD_SEVERAL_ACCURACY] = {.key = "accuracy", .name = "accuracy", .title = "subset accuracy", .digits = 4},
    {0}};

/* Data for prediction has no labels. Each class then has target 0, so that it has an answer. */
static void lay(const ld_laid *laid, ld_lanes *lanes) {
  ld_lay_text(laid, lanes);
  ld_lane *targets = ld_lane_of(lanes, LD_TARGETS);
  const ld_text *tags = &laid->sample->tags;
  const int n = (int)laid->labels->n_names, at = ld_lane_add(targets, n, 0);
  int32_t *ids = targets->ids + at;
  memset(ids, 0, (size_t)n * sizeof *ids);
  if (laid->record->label >= 0) ids[laid->record->label] = 1;
  for (size_t i = 0; i < tags->length; i += strlen(tags->bytes + i) + 1) {
    const int32_t class = ld_class_of(laid->labels, tags->bytes + i);
    if (class >= 0) ids[class] = 1;
  }
}

static int suit_new(const ld_labels *labels, int n_outputs, ld_error *err) {
  (void)n_outputs;
  if (labels->kind != LD_LABEL_NONE) return 0;
  return ld_fail(err, LD_EFORMAT, "no record has a label, so there is no class to learn");
}

/* ", labels sea weather" */
static void put_target(const ld_field *targets, const ld_labels *labels, ld_text *out) {
  ld_text_puts(out, ", labels");
  for (int i = 0; i < targets->n_rows; i++)
    if (targets->ids[i] > 0) ld_text_printf(out, " %s", labels->names[i]);
}

static ld_tensor *loss(const ld_model *model, ld_tape *tape, const ld_batch *batch, double *sum) {
  ld_tensor *outputs = ld_model_logits(model, tape, batch);
  ld_op_binary_loss(tape, outputs, ld_batch_field(batch, LD_TARGETS), sum);
  return outputs;
}

/* A probability above 0.5 is a logit above 0. */
static void answer(const ld_tensor *outputs, const ld_batch *batch, ld_answer *out) {
  const int32_t *targets = ld_batch_field(batch, LD_TARGETS)->ids;
  for (int i = 0; i < outputs->rows; i++)
    for (int c = 0; c < outputs->cols; c++, targets++)
      *out++ =
          (ld_answer){(uint32_t)*targets, outputs->data[(size_t)i * (size_t)outputs->stride + (size_t)c] > 0};
}

static void score(const ld_answers *answers, ld_scores *out) {
  const size_t n = (size_t)answers->n;
  uint8_t *truth = ld_alloc(2 * n, sizeof *truth), *given = truth + n;
  for (size_t i = 0; i < n; i++) {
    truth[i] = answers->list[i].truth == 1;
    given[i] = answers->list[i].given == 1;
  }
  ld_score_several(truth, given, n / (size_t)answers->n_classes, answers->n_classes, out);
  free(truth);
}

/* "labels": ["sea"], "probabilities": {"sea": 0.9, "weather": 0.1} */
static void put_prediction(const ld_labels *labels, const ld_outputs *outputs, ld_text *line) {
  ld_text_puts(line, outputs ? "\"labels\": [" : "\"labels\": null");
  for (int i = 0, n = 0; outputs && i < outputs->cols; i++) {
    if (!(outputs->data[i] > 0)) continue;
    ld_text_puts(line, n++ ? ", " : "");
    ld_json_quote(line, labels->names[i]);
  }
  for (int i = 0; outputs && i < outputs->cols; i++) {
    ld_text_puts(line, i ? ", " : "], \"probabilities\": {");
    ld_json_quote(line, labels->names[i]);
    ld_text_printf(line, ": %.6g", (double)ld_sigmoidf(outputs->data[i]));
  }
  if (outputs) ld_text_puts(line, "}");
}

const ld_objective ld_objective_multilabel = {
    .name = "multilabel",
    .model = "a classifier",
    .forms = forms,
    .named = true,
    .problem = "multi_label_classification",
    .loss_unit = "nats",
    .metrics = metrics,
    .head = LD_HEAD_RECORD,
    .least_outputs = 1,
    .by_output = true,
    .lay = lay,
    .suit = ld_classes_suit,
    .suit_new = suit_new,
    .put_target = put_target,
    .loss = loss,
    .answer = answer,
    .score = score,
    .put_prediction = put_prediction,
};
