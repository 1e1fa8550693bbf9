/* Outputs, loss and every gradient of classifiers, heads included, against transformers + PEFT and plain
 * PyTorch networks, recorded in tests/golden/models (see its README). */
#include "golden.h"

/* All recorded samples as one batch, as the trainer lays them. */
typedef struct samples {
  int32_t ids[256], positions[256], types[256], segment[16];
  float *pixels;
  int n_targets; /* samples, or the tokens with a label */
  ld_batch batch;
} samples;

static void take_texts(const judged *c, samples *s, int n) {
  int at = 0;
  for (int i = 0; i < n; i++) {
    const ld_stored *ids = recorded(c, "sample%d.%s", i, "ids"),
                    *types = recorded(c, "sample%d.%s", i, "types");
    s->segment[i] = at;
    for (int t = 0; t < (int)ids->shape[0]; t++, at++) {
      s->ids[at] = ((const int32_t *)ids->data)[t];
      s->types[at] = ((const int32_t *)types->data)[t];
      s->positions[at] = t;
    }
  }
  s->segment[n] = at;
  s->batch.fields[0] = (ld_field){.name = LD_TEXT,
                                  .n_rows = at,
                                  .n_segments = n,
                                  .segment = s->segment,
                                  .ids = s->ids,
                                  .positions = s->positions,
                                  .types = s->types};
}

/* (B, C, H, W) becomes (C, B, H, W). */
static void take_images(const ld_stored *pixels, samples *s, int n) {
  const int C = (int)pixels->shape[1];
  const size_t size = (size_t)pixels->shape[2] * (size_t)pixels->shape[3];
  s->pixels = ld_alloc((size_t)ld_stored_count(pixels), sizeof(float));
  for (int b = 0; b < n; b++) {
    for (int c = 0; c < C; c++)
      memcpy(s->pixels + (size_t)(c * n + b) * size, (const float *)pixels->data + (size_t)(b * C + c) * size,
             size * sizeof(float));
  }
  s->batch.fields[0] = (ld_field){.name = LD_IMAGE,
                                  .n_rows = n,
                                  .numbers = s->pixels,
                                  .channels = C,
                                  .height = (int)pixels->shape[2],
                                  .width = (int)pixels->shape[3]};
}

static void take(const judged *c, samples *s) {
  const int n = one_int(c, "n_samples");
  const ld_stored *pixels = ld_safetensors_find(c->golden, "pixels");
  const ld_stored *labels = ld_safetensors_find(c->golden, "labels"),
                  *values = ld_safetensors_find(c->golden, "values");
  *s = (samples){0};
  if (pixels)
    take_images(pixels, s, n);
  else
    take_texts(c, s, n);
  const ld_stored *targets = labels ? labels : values;
  s->batch.fields[1] = (ld_field){.name = LD_TARGETS,
                                  .n_rows = (int)ld_stored_count(targets),
                                  .ids = labels ? labels->data : NULL,
                                  .numbers = labels ? NULL : values->data};
  s->n_targets = values ? n : 0;
  for (int64_t i = 0; labels && i < ld_stored_count(labels); i++)
    s->n_targets += s->batch.fields[1].ids[i] >= 0;
}

static void check_outputs(const judged *c, const samples *s, const char *what) {
  const ld_stored *want = ld_safetensors_find(c->golden, what);
  ld_tape *tape = ld_tape_create();
  const ld_tensor *outputs = NULL;
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_INFER, dry, false);
    outputs = ld_model_logits(c->base.model, tape, &s->batch);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  cr_assert(outputs->rows == want->shape[0] && outputs->cols == want->shape[1] &&
            outputs->stride == outputs->cols);
  const double error = relative(outputs->data, want->data, (size_t)ld_stored_count(want));
  cr_assert(error < TOLERANCE, "%s: %s: %.2e", c->name, what, error);
  ld_tape_free(tape);
}

static double backward(const judged *c, const samples *s, bool recompute) {
  ld_tape *tape = ld_tape_create();
  double loss = 0;
  memset(c->base.params->grad, 0, c->base.params->n_floats * sizeof(float));
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_TRAIN, dry, recompute);
    c->base.objective->loss(c->base.model, tape, &s->batch, &loss);
    ld_tape_backward(tape);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  ld_tape_free(tape);
  return loss;
}

/* Without its adapter the model is the base again, once a head of another size is removed. */
static void check_base(judged *c, const samples *s) {
  const ld_stored *want = ld_safetensors_find(c->golden, "base_logits");
  ld_error err;
  if (!want) return;
  if (want->shape[1] != c->base.model->head->out) must(ld_base_set_head(&c->base, 0, false, &err), &err);
  check_outputs(c, s, "base_logits");
}

static void check_case(const char *name, const char *config) {
  judged c;
  samples s;
  open_case(&c, name, config, "adapter");
  take(&c, &s);
  check_outputs(&c, &s, "logits");
  check_loss_of(&c, backward(&c, &s, true));
  check_gradients_of(&c, s.n_targets);
  check_loss_of(&c, backward(&c, &s, false));
  check_gradients_of(&c, s.n_targets);
  ld_params_free(c.base.params);
  c.base.params = NULL;
  check_base(&c, &s);
  free(s.pixels);
  close_case(&c);
}

Test(classifiers, every_family) {
  cr_assert(for_cases("n_samples", check_case, "config.json") >= 26);
}
