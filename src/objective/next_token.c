#include "objective/next_token.h"

#include <math.h>

#include "nn/ops.h"

const ld_metric ld_next_token_metrics[] = {
    {.key = "perplexity", .name = "perplexity", .falls = true, .of_loss = true, .digits = 2}, {0}};

ld_tensor *ld_next_token_loss(const ld_model *model, ld_tape *tape, const ld_batch *batch, double *sum) {
  ld_op_cross_entropy(tape, ld_model_features(model, tape, batch), model->head,
                      ld_batch_field(batch, LD_TARGETS), batch, sum);
  return NULL;
}

void ld_next_token_score(const ld_answers *answers, ld_scores *out) {
  out->value[0] = exp(answers->loss);
}
