/* Logits, loss and every LoRA gradient against transformers + PEFT, recorded in tests/golden/models (see its
 * README). */
#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/file.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "nn/ops.h"
#include "train/base.h"

#define MODELS LD_TESTS_DIR "/golden/models"
static const double TOLERANCE = 1e-4;

/* A case opened: base with adapter, and what was recorded. */
typedef struct judged {
  const char *name;
  ld_base base;
  ld_safetensors *golden;
} judged;

static void must(int rc, const ld_error *err) {
  cr_assert(rc == 0, "%s", err->text);
}

static const ld_stored *find_weight(const void *self, const char *name) {
  return ld_model_folder_find(self, name);
}

static void open_case(judged *c, const char *name, const char *config_name, const char *adapter_name) {
  ld_error err;
  char *path = ld_path_join(MODELS, name), *golden = ld_path_join(path, "golden.safetensors");
  char *config_path = ld_path_join(path, config_name), *adapter_path = ld_path_join(path, adapter_name);
  *c = (judged){.name = name};
  must(ld_model_folder_open(path, &c->base.folder, &err), &err);
  const ld_weights weights = {find_weight, c->base.folder, path};
  ld_value *config = ld_json_read(config_path, &err);
  cr_assert(config, "%s", err.text);
  must(ld_model_build(config, &weights, &c->base.model, &err), &err);
  ld_value_free(config);
  ld_adapter *adapter;
  must(ld_peft_read(adapter_path, &adapter, &err), &err);
  must(ld_base_adapt(&c->base, adapter, adapter_path, 0, &err), &err);
  ld_adapter_free(adapter);
  must(ld_safetensors_open(golden, &c->golden, &err), &err);
  free(path);
  free(golden);
  free(config_path);
  free(adapter_path);
}

static void close_case(judged *c) {
  ld_safetensors_close(c->golden);
  ld_base_close(&c->base);
}

static const ld_stored *recorded(const judged *c, const char *format, int i, const char *rest) {
  char *name = ld_format(format, i, rest);
  const ld_stored *tensor = ld_safetensors_find(c->golden, name);
  cr_assert(tensor, "%s: %s was not recorded", c->name, name);
  free(name);
  return tensor;
}

static int one_int(const judged *c, const char *name) {
  const ld_stored *tensor = ld_safetensors_find(c->golden, name);
  cr_assert(tensor && tensor->dtype == LD_I32);
  return *(const int32_t *)tensor->data;
}

/* max |a - b| / max |b| */
static double relative(const float *a, const float *b, size_t n) {
  double most = 0, scale = 0;
  for (size_t i = 0; i < n; i++) {
    const double difference = fabs((double)a[i] - (double)b[i]);
    if (!(difference <= most)) most = difference;
    if (fabs((double)b[i]) > scale) scale = fabs((double)b[i]);
  }
  return most / scale;
}

/* All recorded sequences back to back, as the trainer lays them. */
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
  p->batch = (ld_batch){.n_tokens = at,
                        .ids = p->ids,
                        .positions = p->positions,
                        .targets = p->targets,
                        .n_segments = n_seqs,
                        .segment = p->segment};
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
  for (int s = 0; s < p->batch.n_segments; s++) {
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
  memset(c->base.lora->grad, 0, c->base.lora->n_floats * sizeof(float));
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_TRAIN, dry, recompute);
    ld_op_cross_entropy(tape, model->family->features(model, tape, &p->batch), model->head, &p->batch, &loss);
    ld_tape_backward(tape);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  ld_tape_free(tape);
  return loss;
}

static void check_gradients(const judged *c, const packed *p) {
  const ld_lora_set *lora = c->base.lora;
  const double loss = backward(c, p, false);
  const double want = *(const double *)ld_safetensors_find(c->golden, "loss")->data;
  const float n_targets = (float)one_int(c, "n_targets");
  cr_assert(fabs(loss - want) < TOLERANCE * want, "%s: loss %.9g, not %.9g", c->name, loss, want);
  for (size_t i = 0; i < lora->n_params; i++) {
    const ld_param *param = &lora->params[i];
    const size_t n = (size_t)param->rows * (size_t)param->cols;
    char *name = ld_format("grad.%s", param->name);
    *strrchr(name, '/') = '.';
    const ld_stored *golden = ld_safetensors_find(c->golden, name);
    cr_assert(golden && (size_t)ld_stored_count(golden) == n, "%s: %s", c->name, name);
    for (size_t k = 0; k < n; k++) param->grad[k] /= n_targets;
    const double error = relative(param->grad, golden->data, n);
    cr_assert(error < TOLERANCE, "%s: %s: %.2e", c->name, name, error);
    free(name);
  }
}

static void check_recompute(const judged *c, const packed *p) {
  const ld_lora_set *lora = c->base.lora;
  const double loss = backward(c, p, false);
  float *grad = ld_alloc(lora->n_floats, sizeof *grad);
  memcpy(grad, lora->grad, lora->n_floats * sizeof *grad);
  cr_assert(backward(c, p, true) == loss, "%s: the loss changes with recompute", c->name);
  cr_assert(!memcmp(grad, lora->grad, lora->n_floats * sizeof *grad), "%s: gradients change with recompute",
            c->name);
  free(grad);
}

/* Without its adapter the model is the base again. */
static void check_base(judged *c, const packed *p) {
  ld_lora_free(c->base.lora);
  c->base.lora = NULL;
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

static int check_all(const char *config) {
  DIR *folder = opendir(MODELS);
  cr_assert(folder);
  int n = 0;
  for (struct dirent *entry; (entry = readdir(folder));)
    if (entry->d_name[0] != '.' && ++n) check_case(entry->d_name, config, "adapter");
  closedir(folder);
  return n;
}

Test(golden, every_family) {
  cr_assert(check_all("config.json") == 17);
}

Test(golden, the_other_style_of_config) {
  cr_assert(check_all("config.other.json") == 17);
}

Test(golden, adapter_saved_with_its_base_layer) {
  check_case("llama_head", "config.json", "adapter_auto");
}
