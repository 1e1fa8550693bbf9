/* Common parts of the tests against recorded numbers: opening a case of tests/golden/models, and comparing. */
#ifndef LD_TEST_GOLDEN_H
#define LD_TEST_GOLDEN_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "adapt/kinds.h"
#include "base/memory.h"
#include "io/file.h"
#include "io/hub/peft_read.h"
#include "io/hub/safetensors.h"
#include "io/json.h"
#include "load/base.h"
#include "load/base_adapter.h"
#include "load/weights.h"
#include "model/registry.h"

#define MODELS LD_TESTS_DIR "/golden/models"
#define TOLERANCE 1e-4

/* An open case: base with adapter, and the recorded numbers. */
typedef struct judged {
  const char *name;
  ld_base base;
  ld_safetensors *golden;
} judged;

static inline void must(int rc, const ld_error *err) {
  cr_assert(rc == 0, "%s", err->text);
}

static inline void open_case_dropping(judged *c, const char *name, const char *config_name,
                                      const char *adapter_name, double dropout) {
  ld_error err;
  char *path = ld_path_join(MODELS, name), *golden = ld_path_join(path, "golden.safetensors");
  char *config_path = ld_path_join(path, config_name), *adapter_path = ld_path_join(path, adapter_name);
  *c = (judged){.name = name};
  must(ld_model_folder_open(path, &c->base.folder, &err), &err);
  c->base.weights = ld_weights_mapped(c->base.folder);
  ld_value *config = ld_json_read(config_path, &err);
  cr_assert(config, "%s", err.text);
  must(ld_model_build(config, c->base.weights, NULL, &c->base.model, &err), &err);
  c->base.objective = ld_objective_of(c->base.model);
  const char *problem;
  must(ld_value_string(config, "problem_type", NULL, &problem, &err), &err);
  if (problem) must(ld_base_follow_problem(&c->base, problem, &err), &err);
  if (c->base.objective->suit) ld_base_set_labels(&c->base, NULL, (size_t)c->base.model->head->out);
  ld_value_free(config);
  ld_adapter *adapter;
  must(ld_peft_read(adapter_path, ld_adapter_forms(), &adapter, &err), &err);
  must(ld_base_adapt(&c->base, adapter, adapter_path, dropout, &err), &err);
  ld_adapter_free(adapter);
  must(ld_safetensors_open(golden, &c->golden, &err), &err);
  free(path);
  free(golden);
  free(config_path);
  free(adapter_path);
}

static inline void open_case(judged *c, const char *name, const char *config_name, const char *adapter_name) {
  open_case_dropping(c, name, config_name, adapter_name, 0);
}

static inline void close_case(judged *c) {
  ld_safetensors_close(c->golden);
  ld_base_close(&c->base);
}

static inline const ld_stored *recorded(const judged *c, const char *format, int i, const char *rest) {
  char *name = ld_format(format, i, rest);
  const ld_stored *tensor = ld_safetensors_find(c->golden, name);
  cr_assert(tensor, "%s: %s was not recorded", c->name, name);
  free(name);
  return tensor;
}

static inline int one_int(const judged *c, const char *name) {
  const ld_stored *tensor = ld_safetensors_find(c->golden, name);
  cr_assert(tensor && tensor->dtype == LD_I32);
  return *(const int32_t *)tensor->data;
}

/* max |a - b| / max |b| */
static inline double relative(const float *a, const float *b, size_t n) {
  double most = 0, scale = 0;
  for (size_t i = 0; i < n; i++) {
    const double difference = fabs((double)a[i] - (double)b[i]);
    if (!(difference <= most)) most = difference;
    if (fabs((double)b[i]) > scale) scale = fabs((double)b[i]);
  }
  return scale > 0 ? most / scale : most;
}

/* "grad.model.layers.0.self_attn.q_proj.A" for its lora_A; the caller frees. */
static inline char *recorded_name(const char *what, const ld_param *param) {
  const bool low = !strncmp(param->role, "lora_", 5);
  return ld_format("%s.%s.%s", what, param->module, param->role + (low ? 5 : 0));
}

/* Whether the loss does not depend on it, so that nothing is recorded: a bias of keys adds the same to all scores of a row. */
static inline bool is_idle(const ld_param *param) {
  const char *end = strrchr(param->module, '.');
  return end && !strcmp(end, ".linear_keys") && !strcmp(param->role, "bias");
}

/* Compares the gradients of the set, which are sums, with the recorded means. */
static inline void check_gradients_of(const judged *c, double n) {
  const ld_params *params = c->base.params;
  for (size_t i = 0; i < params->n; i++) {
    const ld_param *param = &params->list[i];
    const size_t count = param->count;
    if (is_idle(param)) continue;
    char *name = recorded_name("grad", param);
    const ld_stored *golden = ld_safetensors_find(c->golden, name);
    cr_assert(golden && (size_t)ld_stored_count(golden) == count, "%s: %s", c->name, name);
    for (size_t k = 0; k < count; k++) param->grad[k] /= (float)n;
    const double error = relative(param->grad, golden->data, count);
    cr_assert(error < TOLERANCE, "%s: %s: %.2e", c->name, name, error);
    free(name);
  }
}

static inline void check_loss_of(const judged *c, double loss) {
  const double want = *(const double *)ld_safetensors_find(c->golden, "loss")->data;
  cr_assert(fabs(loss - want) < TOLERANCE * want, "%s: loss %.9g, not %.9g", c->name, loss, want);
}

/* Calls `check` for each case that has recorded the tensor `has`; returns their number. */
static inline int for_cases(const char *has, void (*check)(const char *name, const char *config),
                            const char *config) {
  DIR *folder = opendir(MODELS);
  cr_assert(folder);
  int n = 0;
  for (struct dirent *entry; (entry = readdir(folder));) {
    if (entry->d_name[0] == '.') continue;
    ld_error err;
    ld_safetensors *golden;
    char *path = ld_format(MODELS "/%s/golden.safetensors", entry->d_name);
    must(ld_safetensors_open(path, &golden, &err), &err);
    const bool wanted = ld_safetensors_find(golden, has) != NULL;
    ld_safetensors_close(golden);
    free(path);
    if (!wanted) continue;
    check(entry->d_name, config);
    n++;
  }
  closedir(folder);
  return n;
}

#endif
