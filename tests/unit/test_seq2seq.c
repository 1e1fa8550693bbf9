/* Encoder-decoders against transformers + PEFT, recorded in tests/golden/models: logits, loss and every
 * gradient of the adapter. */
#include "golden.h"
#include "io/dataset/tokens.h"
#include "nn/ops.h"

/* Fills the sample from a recorded pair. */
static void read_pair(const judged *c, int pair, ld_sample *sample) {
  const ld_stored *source = recorded(c, "pair%d.%s", pair, "source"),
                  *target = recorded(c, "pair%d.%s", pair, "target");
  sample->tokens.n = 0;
  for (int i = 0; i < source->shape[0]; i++) ld_ids_push(&sample->tokens, ((const int32_t *)source->data)[i]);
  sample->n_source = sample->tokens.n;
  for (int i = 0; i < target->shape[0]; i++) ld_ids_push(&sample->tokens, ((const int32_t *)target->data)[i]);
  ld_data_targets(sample, sample->n_source);
}

/* All recorded pairs as one batch, as the objective lays them. */
static ld_batch lay_pairs(const judged *c, ld_lanes *lanes) {
  ld_sample sample = {0};
  ld_batch batch = {0};
  for (int i = 0; i < one_int(c, "n_pairs"); i++) {
    read_pair(c, i, &sample);
    const ld_laid laid = {.sample = &sample, .model = c->base.model, .count = (int)sample.tokens.n};
    c->base.objective->lay(&laid, lanes);
  }
  for (int i = 0; i < lanes->n; i++) batch.fields[i] = ld_lane_field(&lanes->list[i]);
  ld_sample_free(&sample);
  return batch;
}

static void check_logits(const judged *c, const ld_batch *batch, const char *what) {
  ld_tape *tape = ld_tape_create();
  const ld_model *model = c->base.model;
  const ld_tensor *logits = NULL;
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_INFER, dry, false);
    logits = ld_model_logits(model, tape, batch);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  const int32_t *segment = ld_batch_field(batch, LD_TEXT)->segment;
  for (int i = 0; i < one_int(c, "n_pairs"); i++) {
    const ld_stored *want = recorded(c, "pair%d.%s", i, what);
    cr_assert_eq(want->shape[0], segment[i + 1] - segment[i]);
    const double error = relative(logits->data + (size_t)segment[i] * (size_t)model->vocab, want->data,
                                  (size_t)ld_stored_count(want));
    cr_assert(error < TOLERANCE, "%s: %s of pair %d: %.2e", c->name, what, i, error);
  }
  ld_tape_free(tape);
}

static double backward(const judged *c, const ld_batch *batch, bool recompute) {
  ld_tape *tape = ld_tape_create();
  double loss = 0;
  memset(c->base.params->grad, 0, c->base.params->n_floats * sizeof(float));
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_TRAIN, dry, recompute);
    c->base.objective->loss(c->base.model, tape, batch, &loss);
    ld_tape_backward(tape);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  ld_tape_free(tape);
  return loss;
}

static void check_case(const char *name, const char *config) {
  judged c;
  ld_lanes lanes = {0};
  open_case(&c, name, config, "adapter");
  const ld_batch batch = lay_pairs(&c, &lanes);
  check_logits(&c, &batch, "logits");
  const double loss = backward(&c, &batch, true);
  cr_assert(loss == backward(&c, &batch, false), "%s: the loss changes with recompute", name);
  check_loss_of(&c, loss);
  check_gradients_of(&c, one_int(&c, "n_targets"));
  ld_params_free(c.base.params);
  c.base.params = NULL;
  check_logits(&c, &batch, "base_logits");
  ld_lanes_free(&lanes);
  close_case(&c);
}

Test(seq2seq, every_family) {
  cr_assert(for_cases("n_pairs", check_case, "config.json") >= 6);
}
