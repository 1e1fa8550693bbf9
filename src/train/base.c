#include "train/base.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/checkpoint.h"
#include "io/file.h"
#include "base/log.h"

static const ld_stored *find_weight(const void *self, const char *name) {
  return ld_model_folder_find(self, name);
}

static void add_stop(ld_base *base, int32_t id) {
  if (id < 0 || base->n_stops == LD_MAX_STOPS) return;
  for (int i = 0; i < base->n_stops; i++)
    if (base->stops[i] == id) return;
  base->stops[base->n_stops++] = id;
}

/* What ends a text: the tokenizer's own eos_token, else the model's; generation stops at any of them. */
static int find_special_ids(ld_base *base, ld_error *err) {
  int32_t ids[LD_MAX_STOPS];
  const int n = ld_model_folder_eos(base->folder, ids, LD_MAX_STOPS);
  const char *token = ld_model_folder_token(base->folder, "eos_token");
  base->eos = token ? ld_tokenizer_id(base->tokenizer, token) : -1;
  if (base->eos < 0 && n > 0) base->eos = ids[0];
  add_stop(base, base->eos);
  for (int i = 0; i < n; i++) add_stop(base, ids[i]);
  ld_ids around = {0};
  const int rc = ld_tokenizer_encode(base->tokenizer, "", 0, true, &around, err);
  base->bos = !rc && around.n && around.ids[0] != base->eos ? around.ids[0] : -1;
  /* A tokenizer whose bos is also its eos (GPT-2 variants that add it in front) still begins with it. */
  if (!rc && around.n && base->bos < 0) {
    ld_ids one = {0};
    if (!ld_tokenizer_encode(base->tokenizer, "a", 1, true, &one, NULL) && one.n &&
        one.ids[0] == around.ids[0])
      base->bos = around.ids[0];
    ld_ids_free(&one);
  }
  ld_ids_free(&around);
  return rc;
}

int ld_base_open_model(const char *path, ld_base *base, ld_error *err) {
  *base = (ld_base){.bos = -1, .eos = -1};
  const int rc = ld_model_folder_open(path, &base->folder, err);
  if (rc) return rc;
  const ld_weights weights = {find_weight, base->folder, path};
  return ld_model_build(ld_model_folder_config(base->folder), &weights, &base->model, err);
}

int ld_base_open(const char *path, ld_base *base, ld_error *err) {
  int rc = ld_base_open_model(path, base, err);
  if (!rc) rc = ld_tokenizer_open(path, &base->tokenizer, err);
  if (!rc) rc = find_special_ids(base, err);
  return rc;
}

int ld_base_check_ids(const ld_base *base, const int32_t *ids, size_t n, ld_error *err) {
  for (size_t i = 0; i < n; i++)
    if (ids[i] >= base->model->vocab)
      return ld_fail(err, LD_EMISMATCH,
                     "%s: tokenizer.json gives id %d ('%s'), but config.json's vocab_size is %d",
                     ld_model_folder_path(base->folder), ids[i], ld_tokenizer_token(base->tokenizer, ids[i]),
                     base->model->vocab);
  return 0;
}

void ld_base_close(ld_base *base) {
  ld_lora_free(base->lora);
  ld_model_free(base->model);
  ld_tokenizer_free(base->tokenizer);
  ld_model_folder_close(base->folder);
  *base = (ld_base){0};
}

void ld_warn_damaged(const char *path, const ld_error *why, void *user) {
  (void)user;
  ld_warn("%s is damaged and passed over: %s", path, why->text);
}

static int load_run(const char *path, ld_adapter **out, ld_error *err) {
  char *folder = ld_path_join(path, "checkpoints"), *file = NULL;
  ld_checkpoint *newest = ld_checkpoint_newest(folder, &file, ld_warn_damaged, NULL);
  free(folder);
  free(file);
  if (newest) {
    *out = ld_checkpoint_take_adapter(newest);
    return 0;
  }
  return ld_fail(err, LD_EFILE,
                 "%s: no adapter here: expected a checkpoint .h5, a PEFT folder with adapter_config.json, or "
                 "a run folder "
                 "with checkpoints/",
                 path);
}

int ld_adapter_load(const char *path, ld_adapter **out, ld_error *err) {
  if (ld_is_folder(path)) {
    char *config = ld_path_join(path, "adapter_config.json");
    const bool peft = ld_file_exists(config);
    free(config);
    return peft ? ld_peft_read(path, out, err) : load_run(path, out, err);
  }
  ld_checkpoint *checkpoint;
  const int rc = ld_checkpoint_read(path, &checkpoint, err);
  if (rc) return rc;
  *out = ld_checkpoint_take_adapter(checkpoint);
  return 0;
}

static int check_module(const ld_base *base, const ld_adapter_module *module, const char *source,
                        ld_error *err) {
  const ld_linear *linear = ld_lora_find(base->model, module->path);
  if (!linear)
    return ld_fail(err, LD_EMISMATCH, "%s: adapts module '%s', which the %s model %s has not", source,
                   module->path, base->model->family->model_type, ld_model_folder_path(base->folder));
  if (linear->in != module->in || linear->out != module->out)
    return ld_fail(err, LD_EMISMATCH,
                   "%s: module '%s' is for a layer of %lld to %lld, but the base has %d to %d", source,
                   module->path, (long long)module->in, (long long)module->out, linear->in, linear->out);
  return 0;
}

static int check_adapter(const ld_base *base, const ld_adapter *adapter, const char *source, ld_error *err) {
  const char *digest = ld_model_folder_digest(base->folder);
  if (adapter->base_digest && *adapter->base_digest && strcmp(adapter->base_digest, digest) != 0)
    return ld_fail(
        err, LD_EMISMATCH,
        "%s: was trained on another base (digest %s; %s has %s): give the --model it was trained on", source,
        adapter->base_digest, ld_model_folder_path(base->folder), digest);
  if (adapter->n_full)
    return ld_fail(err, LD_EUNSUPPORTED, "%s: holds the whole parameter '%s', which a %s model cannot take",
                   source, adapter->full[0].path, base->model->family->model_type);
  for (size_t i = 0; i < adapter->n_modules; i++) {
    const int rc = check_module(base, &adapter->modules[i], source, err);
    if (rc) return rc;
  }
  return 0;
}

static const ld_adapter_module *find_module(const ld_adapter *adapter, const char *path) {
  for (size_t i = 0; i < adapter->n_modules; i++)
    if (!strcmp(adapter->modules[i].path, path)) return &adapter->modules[i];
  return NULL;
}

int ld_base_adapt(ld_base *base, const ld_adapter *adapter, const char *source, double dropout,
                  ld_error *err) {
  const int rc = check_adapter(base, adapter, source, err);
  if (rc) return rc;
  ld_model *model = base->model;
  ld_lora_choice *choices = ld_alloc(adapter->n_modules, sizeof *choices);
  size_t n = 0;
  /* In the model's order, whatever the file's: so parameters always lie alike. */
  for (size_t i = 0; i < model->n_linears; i++) {
    const ld_adapter_module *module = find_module(adapter, model->linears[i]->path);
    if (module)
      choices[n++] = (ld_lora_choice){model->linears[i], module->rank, module->alpha, module->scaling};
  }
  base->lora = ld_lora_attach(model, choices, n, dropout);
  base->lora->rslora = adapter->rslora;
  for (size_t i = 0; i < n; i++) {
    const ld_adapter_module *module = find_module(adapter, choices[i].linear->path);
    const ld_lora *lora = &base->lora->loras[i];
    memcpy(lora->A->data, module->A, (size_t)module->rank * (size_t)module->in * sizeof(float));
    memcpy(lora->B->data, module->B, (size_t)module->rank * (size_t)module->out * sizeof(float));
  }
  free(choices);
  return 0;
}

int ld_base_adapt_from(ld_base *base, const char *path, ld_error *err) {
  ld_adapter *adapter;
  int rc = ld_adapter_load(path, &adapter, err);
  if (rc) return rc;
  rc = ld_base_adapt(base, adapter, path, 0, err);
  ld_adapter_free(adapter);
  return rc;
}

int ld_base_adapt_fresh(ld_base *base, const ld_options *options, ld_error *err) {
  const int rank = (int)options->rank;
  const ld_lora_choice like = {NULL, rank, options->alpha,
                               ld_adapter_scaling(options->alpha, rank, options->rslora)};
  ld_lora_choice *choices;
  size_t n;
  const int rc = ld_lora_choose(base->model, options->target, &like, &choices, &n, err);
  if (rc) return rc;
  base->lora = ld_lora_attach(base->model, choices, n, options->dropout);
  base->lora->rslora = options->rslora;
  ld_lora_init(base->lora, (uint64_t)options->seed);
  free(choices);
  return 0;
}

static float *copy_floats(const float *from, size_t n) {
  return memcpy(ld_alloc(n, sizeof(float)), from, n * sizeof(float));
}

static void save_module(ld_adapter_module *module, const ld_lora_set *set, size_t i) {
  const ld_lora_choice *choice = &set->choices[i];
  const ld_linear *linear = choice->linear;
  *module = (ld_adapter_module){ld_strdup(linear->path),
                                choice->rank,
                                choice->alpha,
                                choice->scaling,
                                linear->in,
                                linear->out,
                                NULL,
                                NULL};
  module->A = copy_floats(set->loras[i].A->data, (size_t)choice->rank * (size_t)linear->in);
  module->B = copy_floats(set->loras[i].B->data, (size_t)choice->rank * (size_t)linear->out);
}

ld_adapter *ld_base_adapter(const ld_base *base, const ld_options *options) {
  const ld_lora_set *set = base->lora;
  const ld_family *family = base->model->family;
  ld_adapter *adapter = ld_alloc(1, sizeof *adapter);
  adapter->rank = (int)options->rank;
  adapter->alpha = options->alpha;
  adapter->dropout = options->dropout;
  adapter->rslora = set->rslora;
  adapter->fan_in_fan_out = family->fan_in_fan_out;
  adapter->base_name = ld_strdup(ld_model_folder_path(base->folder));
  adapter->base_digest = ld_strdup(ld_model_folder_digest(base->folder));
  adapter->architecture = ld_strdup(family->architecture);
  adapter->task_type = ld_strdup(family->task_type);
  adapter->n_modules = set->n_loras;
  adapter->modules = ld_alloc(set->n_loras, sizeof *adapter->modules);
  for (size_t i = 0; i < set->n_loras; i++) save_module(&adapter->modules[i], set, i);
  return adapter;
}
