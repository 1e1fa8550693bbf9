#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/ops.h"

void ld_model_free(ld_model *model) {
  if (!model) return;
  for (size_t i = 0; i < model->n_owned; i++) free(model->owned[i]);
  free(model->owned);
  free(model->warnings);
  free(model->linears);
  free(model);
}

const char *ld_model_label(const ld_value *config, int index) {
  char key[16];
  const ld_value *n_labels = ld_value_get(config, "num_labels");
  if (n_labels && n_labels->integer != ld_config_labels(config)) return NULL;
  snprintf(key, sizeof key, "%d", index);
  const ld_value *name = ld_value_get(ld_value_get(config, "id2label"), key);
  return name && name->type == LD_STRING ? name->string : NULL;
}

ld_tensor *ld_model_features(const ld_model *model, ld_tape *tape, const ld_batch *batch) {
  ld_tape_prefix_begin(tape, batch);
  return model->family->features(model, tape, batch);
}

ld_tensor *ld_model_logits(const ld_model *model, ld_tape *tape, const ld_batch *batch) {
  return ld_op_linear(tape, ld_model_features(model, tape, batch), model->head, batch);
}
