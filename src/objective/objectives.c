#include "objective/objectives.h"

#include <stdlib.h>

#include "base/text.h"

/* The first one that fits is used. */
static const ld_objective *const objectives[] = {&ld_objective_language, &ld_objective_value,
                                                 &ld_objective_classes, &ld_objective_tokens};

enum { N_OBJECTIVES = sizeof objectives / sizeof *objectives };

const ld_objective *ld_objective_of(const ld_model *model) {
  for (size_t i = 0; i < N_OBJECTIVES; i++)
    if (objectives[i]->head == model->family->head &&
        (!objectives[i]->n_outputs || objectives[i]->n_outputs == model->head->out))
      return objectives[i];
  abort(); /* a family whose kind of head has no objective */
}

const ld_objective *ld_objective_at(size_t i) {
  return i < N_OBJECTIVES ? objectives[i] : NULL;
}

char *ld_objective_what(const ld_model *model) {
  const ld_objective *objective = ld_objective_of(model);
  if (!objective->suit) return ld_format("%s", objective->model);
  return ld_format("%s of %ss", objective->model, model->family->input);
}

ld_tensor *ld_objective_loss(const ld_model *model, ld_tape *tape, const ld_batch *batch, double *loss) {
  return ld_objective_of(model)->loss(model, tape, batch, loss);
}
