/* The table of objectives. */
#ifndef LD_OBJECTIVES_H
#define LD_OBJECTIVES_H

#include "objective/objective.h"

/* The objective of the model's head. */
const ld_objective *ld_objective_of(const ld_model *model);

/* The i-th objective; NULL after the last. */
const ld_objective *ld_objective_at(size_t i);

/* The kind of the model, in words: "a language model", "a classifier of texts". The caller frees. */
char *ld_objective_what(const ld_model *model);

/* Its loss: see ld_objective. */
ld_tensor *ld_objective_loss(const ld_model *model, ld_tape *tape, const ld_batch *batch, double *loss);

#endif
