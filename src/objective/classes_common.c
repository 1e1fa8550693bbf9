#include "objective/classes_common.h"

#include <string.h>

#include "linalg/rows.h"
#include "nn/ops.h"

int ld_classes_suit(const ld_labels *labels, int n_outputs, ld_error *err) {
  if (labels->kind == LD_LABEL_REAL)
    return ld_fail(
        err, LD_EMISMATCH,
        "has labels with fractions (0.5, or 1.0), but the model has %d classes: write these as whole numbers "
        "(1), or for a regression give --labels 1 when training",
        n_outputs);
  if (labels->kind == LD_LABEL_INTEGER && labels->largest >= n_outputs)
    return ld_fail(err, LD_EMISMATCH, "has the label %lld, but the model's classes are 0 to %d",
                   (long long)labels->largest, n_outputs - 1);
  return 0;
}

int ld_classes_suit_new(const ld_labels *labels, int n_outputs, ld_error *err) {
  if (n_outputs != 1 || labels->kind == LD_LABEL_REAL) return 0;
  return ld_fail(
      err, LD_EMISMATCH,
      "every label is '%s', and one class alone cannot be learnt: give data of more classes, or --labels "
      "with their number",
      labels->n_names ? labels->names[0] : "0");
}

ld_tensor *ld_classes_loss(const ld_model *model, ld_tape *tape, const ld_batch *batch, double *sum) {
  ld_tensor *outputs = ld_model_logits(model, tape, batch);
  ld_op_class_loss(tape, outputs, ld_batch_field(batch, LD_TARGETS), sum);
  return outputs;
}

void ld_classes_answer(const ld_tensor *outputs, const ld_batch *batch, ld_answer *out) {
  const int32_t *targets = ld_batch_field(batch, LD_TARGETS)->ids;
  for (int t = 0; t < outputs->rows; t++) {
    const float *row = outputs->data + (size_t)t * (size_t)outputs->stride;
    if (targets[t] >= 0)
      *out++ = (ld_answer){(uint32_t)targets[t], (uint32_t)ld_row_argmax(row, outputs->cols)};
  }
}

int32_t ld_class_of(const ld_labels *labels, const char *name) {
  for (size_t i = 0; i < labels->n_names; i++)
    if (!strcmp(labels->names[i], name)) return (int32_t)i;
  return -1;
}
