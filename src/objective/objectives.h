/* The table of objectives, and the one that a model is trained for. */
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

/* The objective of a model by its head, when nothing else is known. */
const ld_objective *ld_objective_of(const ld_model *model);

/* The i-th of all; NULL after the last. */
const ld_objective *ld_objective_at(size_t i);

/* Whether it takes records of that form. */
bool ld_objective_takes(const ld_objective *objective, const ld_data_form *form);

/* The kind of a model with this objective, in words: "a language model", "a classifier of texts". The caller
 * frees. */
char *ld_objective_what(const ld_objective *objective, const ld_model *model);

#endif
