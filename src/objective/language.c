/* Language modelling: predicts each token from those before it. */
#include "objective/next_token.h"

static const ld_data_form *const forms[] = {&ld_form_chat, &ld_form_prompt, &ld_form_text, &ld_form_raw,
                                            NULL};

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

static void prompt(const ld_sample *sample, ld_ids *source, ld_ids *text) {
  (void)source;
  for (size_t i = 0; i < sample->tokens.n; i++) ld_ids_push(text, sample->tokens.ids[i]);
}

const ld_objective ld_objective_language = {
    .name = "language",
    .model = "a language model",
    .forms = forms,
    .loss_unit = "nats",
    .metrics = ld_next_token_metrics,
    .head = LD_HEAD_NEXT_TOKEN,
    .lay = lay,
    .loss = ld_next_token_loss,
    .score = ld_next_token_score,
    .prompt = prompt,
};
