/* The table of objectives, and which of them a model is trained for.
 */
#ifndef LD_OBJECTIVES_H
#define LD_OBJECTIVES_H

#include "objective/objective.h"

/* What is known of the purpose of a head. */
typedef struct ld_purpose {
  ld_head head;
  int n_outputs;            /* 0: not known */
  const char *problem;      /* transformers' problem_type; NULL: not known */
  const ld_data_form *form; /* of the records; NULL: not known */
} ld_purpose;

/* The first objective of the table that fits what is known; NULL for none. */
const ld_objective *ld_objective_find(const ld_purpose *purpose);

/* The objective of a model of which no more is known than its head. */
const ld_objective *ld_objective_of(const ld_model *model);

/* The i-th of all; NULL after the last. */
const ld_objective *ld_objective_at(size_t i);

/* Whether records of that form are among those that it takes. */
bool ld_objective_takes(const ld_objective *objective, const ld_data_form *form);

/* What a model with this objective is, for people: "a language model", "a classifier of texts". The caller frees. */
char *ld_objective_what(const ld_objective *objective, const ld_model *model);

#endif
