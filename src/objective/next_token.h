/* What objectives that predict the next token of a text have in common. */
#ifndef LD_NEXT_TOKEN_H
#define LD_NEXT_TOKEN_H

#include "objective/objective.h"

/* Perplexity; {NULL} after it. */
extern const ld_metric ld_next_token_metrics[];

/* For ld_objective: the cross-entropy of the field "targets", and the perplexity. */
ld_tensor *ld_next_token_loss(const ld_model *model, ld_tape *tape, const ld_batch *batch, double *sum);
void ld_next_token_score(const ld_answers *answers, ld_scores *out);

#endif
