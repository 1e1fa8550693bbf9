/* Logits, loss and every LoRA gradient of language models against transformers + PEFT, recorded in
 * tests/golden/models (see its README). */
#include "golden.h"

#include "nn/ops.h"

/* All recorded sequences one after the other, as the trainer lays them. */
typedef struct packed {
  int32_t ids[256], positions[256], targets[256], segment[8];
  ld_batch batch;
} packed;

static void pack(const judged *c, packed *p) {
  const int n_seqs = one_int(c, "n_seqs");
  int at = 0;
  for (int s = 0; s < n_seqs; s++) {
    const ld_stored *ids = recorded(c, "seq%d.%s", s, "ids"), *target = recorded(c, "seq%d.%s", s, "target");
    const int T = (int)ids->shape[0];
    p->segment[s] = at;
    for (int t = 0; t < T; t++, at++) {
      p->ids[at] = ((const int32_t *)ids->data)[t];
      p->positions[at] = t;
      p->targets[at] =
          t + 1 < T && ((const int32_t *)target->data)[t + 1] ? ((const int32_t *)ids->data)[t + 1] : -1;
    }
  }
  p->segment[n_seqs] = at;
  p->batch = (ld_batch){.fields = {{.name = LD_TEXT,
                                    .n_rows = at,
                                    .n_segments = n_seqs,
                                    .segment = p->segment,
                                    .ids = p->ids,
                                    .positions = p->positions},
                                   {.name = LD_TARGETS, .n_rows = at, .ids = p->targets}}};
}

static void check_logits(const judged *c, const packed *p, const char *what) {
  ld_tape *tape = ld_tape_create();
  const ld_model *model = c->base.model;
  const ld_tensor *logits = NULL;
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_INFER, dry, false);
    logits = ld_model_logits(model, tape, &p->batch);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  for (int s = 0; s < p->batch.fields[0].n_segments; s++) {
    const ld_stored *want = recorded(c, "seq%d.%s", s, what);
    const double error = relative(logits->data + (size_t)p->segment[s] * (size_t)model->vocab, want->data,
                                  (size_t)ld_stored_count(want));
    cr_assert(error < TOLERANCE, "%s: %s of sequence %d: %.2e", c->name, what, s, error);
  }
  ld_tape_free(tape);
}

/* Loss and gradients of the packed batch, into the parameters' gradients. */
static double backward(const judged *c, const packed *p, bool recompute) {
  ld_tape *tape = ld_tape_create();
  const ld_model *model = c->base.model;
  double loss = 0;
  memset(c->base.params->grad, 0, c->base.params->n_floats * sizeof(float));
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_TRAIN, dry, recompute);
    c->base.objective->loss(model, tape, &p->batch, &loss);
    ld_tape_backward(tape);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  ld_tape_free(tape);
  return loss;
}

static void check_gradients(const judged *c, const packed *p) {
  check_loss_of(c, backward(c, p, false));
  check_gradients_of(c, one_int(c, "n_targets"));
}

static void check_recompute(const judged *c, const packed *p) {
  const ld_params *params = c->base.params;
  const double loss = backward(c, p, false);
  float *grad = ld_alloc(params->n_floats, sizeof *grad);
  memcpy(grad, params->grad, params->n_floats * sizeof *grad);
  cr_assert(backward(c, p, true) == loss, "%s: the loss changes with recompute", c->name);
  cr_assert(!memcmp(grad, params->grad, params->n_floats * sizeof *grad),
            "%s: gradients change with recompute", c->name);
  free(grad);
}

/* Without its adapter the model is the base again. */
static void check_base(judged *c, const packed *p) {
  ld_params_free(c->base.params);
  c->base.params = NULL;
  check_logits(c, p, "base_logits");
}

static void check_case(const char *name, const char *config, const char *adapter) {
  judged c;
  packed p;
  open_case(&c, name, config, adapter);
  pack(&c, &p);
  check_logits(&c, &p, "logits");
  check_gradients(&c, &p);
  check_recompute(&c, &p);
  check_base(&c, &p);
  close_case(&c);
}

static void check_default_adapter(const char *name, const char *config) {
  check_case(name, config, "adapter");
}

Test(golden, every_family) {
  cr_assert(for_cases("n_seqs", check_default_adapter, "config.json") >= 20);
}

Test(golden, the_other_style_of_config) {
  cr_assert(for_cases("n_seqs", check_default_adapter, "config.other.json") >= 20);
}

Test(golden, adapter_saved_with_its_base_layer) {
  check_case("llama_head", "config.json", "adapter_auto");
}

/* The loss of a batch as a function of one number of a parameter, with the same numbers dropped out each
 * time: its slope is the gradient. DoRA's gradients treat its norms, which depend on A and B, as constants. */
static void check_slope(const judged *c, const packed *p, const ld_param *param, size_t k, float gradient) {
  const float was = param->data[k], step = 1e-2f;
  const bool follows = strcmp(param->role, "lora_A") != 0 && strcmp(param->role, "lora_B") != 0;
  param->data[k] = was + step;
  if (follows) ld_params_update(c->base.params);
  const double up = backward(c, p, false);
  param->data[k] = was - step;
  if (follows) ld_params_update(c->base.params);
  const double down = backward(c, p, false);
  param->data[k] = was;
  if (follows) ld_params_update(c->base.params);
  const double slope = (up - down) / (2 * (double)step);
  cr_assert(fabs(slope - (double)gradient) < 2e-2 + 1e-2 * fabs(slope), "%s.%s: slope %g, gradient %g",
            param->module, param->role, slope, (double)gradient);
}

static void check_dropout(const char *name) {
  judged c, plain;
  packed p;
  open_case_dropping(&c, name, "config.json", "adapter", 0.3);
  open_case(&plain, name, "config.json", "adapter");
  pack(&c, &p);
  p.batch.seed = 5;
  const ld_params *params = c.base.params;
  cr_assert(fabs(backward(&c, &p, false) - backward(&plain, &p, false)) > 1);
  float *gradients = ld_alloc(params->n_floats, sizeof *gradients);
  backward(&c, &p, false);
  memcpy(gradients, params->grad, params->n_floats * sizeof *gradients);
  for (size_t i = 0; i < params->n; i++)
    for (size_t k = 0; k < params->list[i].count; k += 37)
      check_slope(&c, &p, &params->list[i], k, gradients[params->list[i].data - params->data + (ptrdiff_t)k]);
  free(gradients);
  close_case(&plain);
  close_case(&c);
}

Test(golden, dropout_of_a_head_is_the_same_both_ways) {
  check_dropout("llama_head");
}

/* The head of this one, and two layers below it. */
Test(golden, dropout_of_dora_is_the_same_both_ways) {
  check_dropout("llama_dora");
}
