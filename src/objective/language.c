/* Language modelling: predicts each token from those before it. */
#include <math.h>

#include "nn/ops.h"
#include "objective/objective.h"

static const ld_data_form *const forms[] = {&ld_form_chat, &ld_form_prompt, &ld_form_text, &ld_form_raw,
                                            NULL};
static const ld_metric metrics[] = {
    {.key = "perplexity", .name = "perplexity", .falls = true, .of_loss = true, .digits = 2}, {0}};

/* A token is the target of the position before it, if that belongs to the same text. */
static void lay(const ld_laid *laid, ld_lanes *lanes) {
  ld_lay_text(laid, lanes);
  ld_lane *targets = ld_lane_of(lanes, LD_TARGETS);
  const int at = ld_lane_add(targets, laid->count, 0);
  int32_t *ids = targets->ids + at;
  for (int i = 0; i < laid->count; i++) {
    ids[i] = -1;
    if ((i > 0 || laid->continues) && laid->sample->target[laid->first + i])
      ids[i - 1] = laid->sample->tokens.ids[laid->first + i];
  }
}

static ld_tensor *loss(const ld_model *model, ld_tape *tape, const ld_batch *batch, double *sum) {
  ld_op_cross_entropy(tape, model->family->features(model, tape, batch), model->head,
                      ld_batch_field(batch, LD_TARGETS), batch, sum);
  return NULL;
}

static void score(const ld_answers *answers, ld_scores *out) {
  out->value[0] = exp(answers->loss);
}

static void prompt(const ld_sample *sample, ld_ids *source, ld_ids *text) {
  (void)source;
  for (size_t i = 0; i < sample->tokens.n; i++) ld_ids_push(text, sample->tokens.ids[i]);
}

const ld_objective ld_objective_language = {
    .name = "language",
    .model = "a language model",
    .forms = forms,
    .loss_unit = "nats",
    .metrics = metrics,
    .head = LD_HEAD_NEXT_TOKEN,
    .lay = lay,
    .loss = loss,
    .score = score,
    .prompt = prompt,
};
