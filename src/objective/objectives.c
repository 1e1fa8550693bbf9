#include "objective/objectives.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* The first one that fits is used. */
static const ld_objective *const objectives[] = {
    &ld_objective_language, &ld_objective_value,   &ld_objective_classes, &ld_objective_multilabel,
    &ld_objective_tokens,   &ld_objective_seq2seq, &ld_objective_extract, &ld_objective_denoise};

enum { N_OBJECTIVES = sizeof objectives / sizeof *objectives };

bool ld_objective_takes(const ld_objective *objective, const ld_data_form *form) {
  const ld_data_form *const *at = objective->forms;
  while (*at && *at != form) at++;
  return *at != NULL;
}

static bool fits(const ld_objective *objective, const ld_purpose *p) {
  const int n = p->n_outputs;
  if (objective->head != p->head) return false;
  if (n && (n < objective->least_outputs || (objective->most_outputs && n > objective->most_outputs)))
    return false;
  if (p->problem && (!objective->problem || strcmp(objective->problem, p->problem) != 0)) return false;
  return !p->form || ld_objective_takes(objective, p->form);
}

const ld_objective *ld_objective_find(const ld_purpose *purpose) {
  for (size_t i = 0; i < N_OBJECTIVES; i++)
    if (fits(objectives[i], purpose)) return objectives[i];
  return NULL;
}

const ld_objective *ld_objective_of(const ld_model *model) {
  ld_purpose purpose = {.head = model->family->head, .n_outputs = model->head->out};
  const ld_objective *found = ld_objective_find(&purpose);
  purpose.n_outputs = 0;
  if (!found) found = ld_objective_find(&purpose);
  if (!found) abort(); /* a family with a head that no objective is for */
  return found;
}

const ld_objective *ld_objective_at(size_t i) {
  return i < N_OBJECTIVES ? objectives[i] : NULL;
}

char *ld_objective_what(const ld_objective *objective, const ld_model *model) {
  if (!objective->suit) return ld_format("%s", objective->model);
  return ld_format("%s of %ss", objective->model, model->family->input);
}
