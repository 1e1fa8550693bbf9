/* Adapters on a base: loads them, puts them on, and takes them off to be saved. */
#include "load/base_adapter.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "adapt/choose.h"
#include "adapt/kinds.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/file.h"
#include "io/hub/adapter_formats.h"
#include "io/hub/peft_config.h"
#include "io/hub/peft_pattern.h"
#include "io/hub/peft_saved.h"
#include "io/state/checkpoint_folder.h"
#include "linalg/codecs.h"

void ld_warn_damaged(const char *path, const ld_error *why, void *user) {
  (void)user;
  ld_warn("%s is damaged and skipped: %s", path, why->text);
}

char *ld_adapter_file(const char *path) {
  char *folder = ld_path_join(path, "checkpoints"), *file = NULL;
  if (ld_is_folder(folder)) ld_checkpoint_free(ld_checkpoint_newest(folder, &file, ld_warn_damaged, NULL));
  free(folder);
  return file ? file : ld_strdup(path);
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
                 "%s: no adapter here: expected a checkpoint .h5, a PEFT folder with adapter_config.json, "
                 "diffusers' or kohya's .safetensors file of an image generator, or a run folder with "
                 "checkpoints/",
                 path);
}

ld_adapter_context ld_base_context(const ld_base *base) {
  ld_adapter_context context = {.forms = ld_adapter_forms()};
  if (!base) return context;
  const ld_model *model = base->model;
  const char **modules = ld_alloc(model->n_linears, sizeof *modules);
  for (size_t i = 0; i < model->n_linears; i++) modules[i] = model->linears[i]->path;
  context.modules = modules;
  context.n_modules = model->n_linears;
  return context;
}

int ld_adapter_load(const char *path, const ld_base *base, ld_adapter **out, ld_error *err) {
  const ld_adapter_format *format = ld_adapter_format_at(path);
  if (format) {
    const ld_adapter_context context = ld_base_context(base);
    const int rc = format->read(path, &context, out, err);
    free(context.modules);
    return rc;
  }
  if (ld_is_folder(path)) return load_run(path, out, err);
  ld_checkpoint *checkpoint;
  const int rc = ld_checkpoint_read(path, &checkpoint, err);
  if (rc) return rc;
  *out = ld_checkpoint_take_adapter(checkpoint);
  return 0;
}

void ld_adapter_set_base_path(ld_adapter *adapter, const char *path) {
  char *real = realpath(path, NULL);
  free(adapter->base_name);
  adapter->base_name = real ? real : ld_strdup(path);
}

void ld_adapter_forget_base(ld_adapter *adapter) {
  free(adapter->base_digest);
  adapter->base_digest = NULL;
}

static void put_shape(ld_text *out, const int64_t *shape, int ndim) {
  ld_text_puts(out, "(");
  for (int d = 0; d < ndim; d++) ld_text_printf(out, "%s%lld", d ? ", " : "", (long long)shape[d]);
  ld_text_puts(out, ")");
}

/* A tensor of the module does not have the shape that the base's layer takes. */
static int bad_shape(const ld_adapter_module *module, const ld_adapter_tensor *tensor, const ld_param *param,
                     const char *source, ld_error *err) {
  ld_text found = {0}, taken = {0};
  put_shape(&found, tensor->shape, tensor->ndim);
  put_shape(&taken, param->shape, param->ndim);
  const int rc = ld_fail(err, LD_EMISMATCH, "%s: module '%s': its %s is %s, but the base's layer takes %s",
                         source, module->path, tensor->role, found.bytes, taken.bytes);
  ld_text_free(&found);
  ld_text_free(&taken);
  return rc;
}

/* Checks that the module has exactly the tensors of the change, in their shapes. */
static int check_tensors(const ld_change *change, const ld_adapter_module *module, const char *source,
                         ld_error *err) {
  for (int i = 0; i < change->n_params; i++) {
    const ld_param *param = &change->params[i];
    const ld_adapter_tensor *tensor = ld_adapter_tensor_of(module, param->role);
    if (!tensor)
      return ld_fail(err, LD_EMISMATCH, "%s: module '%s': has no %s", source, module->path, param->role);
    if (tensor->ndim != param->ndim ||
        memcmp(tensor->shape, param->shape, (size_t)param->ndim * sizeof *param->shape) != 0)
      return bad_shape(module, tensor, param, source, err);
  }
  for (size_t k = 0; k < module->n_tensors; k++) {
    bool known = false;
    for (int i = 0; i < change->n_params; i++)
      known = known || !strcmp(change->params[i].role, module->tensors[k].role);
    if (!known)
      return ld_fail(err, LD_EMISMATCH,
                     "%s: module '%s': has a %s, which the base's layer does not take: " LD_PEFT_MERGE,
                     source, module->path, module->tensors[k].role);
  }
  return 0;
}

static ld_choice choice_of(const ld_adapter_module *module, ld_linear *layer) {
  return (ld_choice){layer, ld_adapter_kind_find(module->kind), module->rank, module->alpha, module->scaling};
}

static int check_module(const ld_base *base, const ld_adapter_module *module, const char *source,
                        ld_error *err) {
  const ld_choice choice = choice_of(module, ld_model_layer(base->model, module->path));
  ld_param params[LD_ADAPTER_ROLES];
  if (!choice.kind)
    return ld_fail(err, LD_EUNSUPPORTED,
                   "%s: module '%s' is of the kind '%s', which this version does not know", source,
                   module->path, module->kind);
  if (!choice.layer || (choice.kind->takes && !choice.kind->takes(choice.layer)))
    return ld_fail(err, LD_EMISMATCH,
                   "%s: holds %s of '%s', which the %s model %s cannot take: " LD_PEFT_MERGE, source,
                   ld_adapter_is_whole(module) ? "the full parameters" : "an adapter", module->path,
                   base->model->family->model_type, ld_model_folder_path(base->folder));
  const ld_change change = ld_choice_lay_out(&choice, params);
  return check_tensors(&change, module, source, err);
}

/* A module that the folder lacks must come from the adapter. */
static int check_complete(const ld_base *base, const ld_adapter *adapter, const char *source, ld_error *err) {
  for (size_t i = 0; i < base->model->n_linears; i++) {
    const ld_linear *linear = base->model->linears[i];
    if (linear->is_new && !ld_adapter_module_at(adapter, linear->path))
      return ld_fail(err, LD_EMISMATCH,
                     "%s: has no '%s.weight', and neither does the base %s: use the adapter with the base "
                     "that it was trained on",
                     source, linear->path, ld_model_folder_path(base->folder));
  }
  return 0;
}

/* The head takes the size of the adapter's head, and its labels, which must match that size. */
static int follow_head(ld_base *base, const ld_adapter *adapter, const char *source, ld_error *err) {
  const ld_linear *head = base->model->head;
  const ld_adapter_module *module = base->labels.n_names ? ld_adapter_module_at(adapter, head->path) : NULL;
  const ld_adapter_tensor *weight = module ? ld_adapter_tensor_of(module, "weight") : NULL;
  const int64_t rows = weight && weight->ndim == 2 ? weight->shape[0] : 0;
  int rc = 0;
  if (weight && adapter->n_labels && (int64_t)adapter->n_labels != weight->shape[0])
    return ld_fail(err, LD_EMISMATCH, "%s: labels: %zu name%s, but '%s.weight' has %lld rows", source,
                   adapter->n_labels, ld_plural((long long)adapter->n_labels, "", "s"), head->path,
                   (long long)weight->shape[0]);
  if (rows >= 1 && rows <= 1 << 20 && rows != head->out) rc = ld_base_set_head(base, (int)rows, false, err);
  if (!rc && weight && adapter->n_labels == base->labels.n_names)
    ld_base_set_labels(base, (const char *const *)adapter->labels, adapter->n_labels);
  return rc;
}

/* The head has the layers that the adapter holds. */
static int follow_layers(ld_base *base, const ld_adapter *adapter, ld_error *err) {
  const char *path = base->model->family->head_layers;
  const size_t length = path ? strlen(path) : 0;
  int n = 0;
  for (size_t i = 0; path && i < adapter->n_modules; i++) {
    const char *module = adapter->modules[i].path;
    if (strncmp(module, path, length) != 0 || module[length] != '.') continue;
    const int number = atoi(module + length + 1);
    if (number >= n && number < LD_MOST_HEAD_LAYERS) n = number + 1;
  }
  return n ? ld_base_set_layers(base, n, err) : 0;
}

static int check_base(const ld_base *base, const char *recorded, const char *source, ld_error *err) {
  if (!recorded || !*recorded) return 0;
  if (!ld_model_folder_has_digest(base->folder, recorded))
    return ld_fail(
        err, LD_EMISMATCH,
        "%s: was trained on another base (digest %s; %s has %s): give the --model that it was trained on, "
        "or --other-base to use this one (such as the same model in another dtype, or merged)",
        source, recorded, ld_model_folder_path(base->folder), ld_model_folder_digest(base->folder));
  if (ld_digest_is_old(recorded))
    ld_info("%s: knows its base by a digest of version 1, which covers parts of each tensor: these agree",
            source);
  return 0;
}

/* The base's tensor of that name, or of the name that shares its data. */
static const ld_stored *find_frozen(const ld_base *base, const char *name) {
  const ld_model *model = base->model;
  const char *body = model->family->body, *end = strchr(name, '.');
  const ld_stored *found = ld_model_folder_find(base->folder, name);
  if (!found && end && body && !strncmp(name, body, (size_t)(end - name)) && !body[end - name])
    found = ld_model_folder_find(base->folder, end + 1);
  if (!found && model->head_tied && !strcmp(name, LD_HEAD_WEIGHT))
    found = ld_model_folder_find(base->folder, model->embedding_name);
  if (!found && model->head_tied && !strcmp(name, model->embedding_name))
    found = ld_model_folder_find(base->folder, LD_HEAD_WEIGHT);
  return found;
}

static bool holds_same(const ld_stored *a, const ld_stored *b) {
  const ld_coded x = ld_coded_of(a), y = ld_coded_of(b);
  return x.codec && y.codec && a->ndim == b->ndim &&
         !memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape) &&
         ld_coded_same(&x, &y, ld_stored_count(a));
}

/* PEFT would load the copy in place of the base's tensor. */
static int check_copy(const ld_base *base, const ld_adapter_copy *copy, const char *source, ld_error *err) {
  const ld_stored *frozen = find_frozen(base, copy->path);
  if (frozen && holds_same(frozen, &copy->tensor)) return 0;
  return ld_fail(
      err, LD_EMISMATCH,
      "%s: holds a '%s' of its own, which differs from that of the base %s (rows of new tokens, or "
      "another base): " LD_PEFT_MERGE,
      source, copy->path, ld_model_folder_path(base->folder));
}

/* Whether the adapter holds the base's tensor of this name, which may lack the body's prefix. */
static bool holds(const ld_adapter *adapter, const char *name) {
  bool found = false;
  for (size_t i = 0; i < adapter->n_modules && !found; i++) {
    const ld_adapter_module *m = &adapter->modules[i];
    for (size_t k = 0; k < m->n_tensors && ld_adapter_is_whole(m) && !found; k++) {
      char *path = ld_format("%s.%s", m->path, m->tensors[k].role);
      found = ld_peft_selects(name, path);
      free(path);
    }
  }
  return found;
}

static int check_saved_tensor(const ld_adapter *adapter, const char *name, const char *source,
                              ld_error *err) {
  for (size_t i = 0; i < adapter->n_saved; i++)
    if (ld_peft_wraps(adapter->saved[i], name) && !holds(adapter, name))
      return ld_fail(err, LD_EMISMATCH,
                     "%s: adapter_config.json: modules_to_save names '%s', but adapter_model.safetensors has "
                     "no '%s'",
                     source, adapter->saved[i], name);
  return 0;
}

/* A module that modules_to_save names is complete in the file, or PEFT does not load it. A tied head is such
 * a module too, though the base has no tensor of its name. */
static int check_saved(const ld_base *base, const ld_adapter *adapter, const char *source, ld_error *err) {
  int rc = base->model->head_tied ? check_saved_tensor(adapter, LD_HEAD_WEIGHT, source, err) : 0;
  for (size_t k = 0; k < ld_model_folder_count(base->folder) && !rc; k++)
    rc = check_saved_tensor(adapter, ld_model_folder_name(base->folder, k), source, err);
  return rc;
}

/* PEFT would then put a class for generation around the model, which does not fit a classifier. */
static int check_task(const ld_base *base, const ld_adapter *adapter, const char *source, ld_error *err) {
  const char *task = adapter->task_type, *end = task ? strrchr(task, '_') : NULL;
  if (!base->labels.n_names || !end || strcmp(end, "_LM") != 0) return 0;
  return ld_fail(err, LD_EMISMATCH, "%s: task_type is '%s', but the %s model %s is a classifier", source,
                 task, base->model->family->model_type, ld_model_folder_path(base->folder));
}

/* Without target_modules PEFT takes the family's. */
static int check_targets(const ld_base *base, const ld_adapter *adapter, const char *source, ld_error *err) {
  const bool of_family = adapter->config && !ld_value_get(adapter->config, "target_modules");
  for (size_t i = 0; of_family && i < adapter->n_modules; i++) {
    const ld_adapter_module *m = &adapter->modules[i];
    const ld_linear *linear = ld_adapter_is_whole(m) ? NULL : ld_model_layer(base->model, m->path);
    if (linear && !ld_is_targeted(linear, base->model->default_targets))
      return ld_fail(err, LD_EMISMATCH,
                     "%s: adapter_config.json has no target_modules, so that they are %s, but "
                     "adapter_model.safetensors has LoRA for '%s'",
                     source, base->model->default_targets, linear->path);
  }
  return 0;
}

/* Whether PEFT puts LoRA on the module when it loads the adapter; "all-linear" leaves out convolutions. */
static int is_selected(const ld_model *model, const ld_linear *linear, const ld_adapter *adapter,
                       const char *source, bool *selected, ld_error *err) {
  const ld_value *targets = ld_value_get(adapter->config, "target_modules");
  const int rc = ld_peft_config_selects(adapter->config, linear->path, source, selected, err);
  const bool all = targets && targets->type == LD_STRING && !strcasecmp(targets->string, "all-linear");
  if (all && linear->kernel.height) *selected = false;
  if (!targets && !ld_is_targeted(linear, model->default_targets)) *selected = false;
  return rc;
}

/* Selected modules that the file lacks: PEFT warns of them and leaves them as in the base, because their B is
 * zero; unless init_lora_weights is false. */
static int check_selected(const ld_base *base, const ld_adapter *adapter, const char *source, ld_error *err) {
  const ld_model *model = base->model;
  const ld_value *starts = ld_value_get(adapter->config, "init_lora_weights");
  const char *first = NULL;
  size_t n = 0;
  for (size_t i = 0; adapter->config && i < model->n_linears; i++) {
    const ld_linear *linear = model->linears[i];
    bool selected = false;
    const ld_adapter_module *module = ld_adapter_module_at(adapter, linear->path);
    if (module && !ld_adapter_is_whole(module)) continue;
    const int rc = is_selected(model, linear, adapter, source, &selected, err);
    if (rc) return rc;
    if (selected && !n++) first = linear->path;
  }
  if (n && starts && starts->type == LD_BOOLEAN && !starts->boolean)
    return ld_fail(err, LD_EMISMATCH,
                   "%s: adapter_model.safetensors lacks LoRA for '%s', which adapter_config.json selects, "
                   "and init_lora_weights is false, so that PEFT would give it random numbers: is the file "
                   "complete?",
                   source, first);
  if (n)
    ld_warn("%s: adapter_model.safetensors lacks LoRA for %zu %s as in the base (the first is '%s'): is the "
            "file complete?",
            source, n,
            ld_plural((long long)n, "module that adapter_config.json selects, which stays",
                      "modules that adapter_config.json selects, which stay"),
            first);
  return 0;
}

static int check_adapter(const ld_base *base, const ld_adapter *adapter, const char *source, ld_error *err) {
  int rc = check_base(base, adapter->base_digest, source, err);
  for (size_t i = 0; i < adapter->n_modules && !rc; i++)
    rc = check_module(base, &adapter->modules[i], source, err);
  for (size_t i = 0; i < adapter->n_copies && !rc; i++)
    rc = check_copy(base, &adapter->copies[i], source, err);
  if (!rc) rc = check_saved(base, adapter, source, err);
  if (!rc) rc = check_targets(base, adapter, source, err);
  if (!rc) rc = check_selected(base, adapter, source, err);
  if (!rc) rc = ld_adapter_check_finite(adapter, source, err);
  if (!rc) rc = check_task(base, adapter, source, err);
  return rc ? rc : check_complete(base, adapter, source, err);
}

static void fill(ld_params *params, const ld_adapter *adapter) {
  for (size_t i = 0; i < params->n; i++) {
    ld_param *param = &params->list[i];
    const ld_adapter_module *module = ld_adapter_module_at(adapter, param->module);
    memcpy(param->data, ld_adapter_tensor_of(module, param->role)->data, param->count * sizeof(float));
  }
  ld_params_update(params);
}

/* In the model's order, whatever the file's, with modules trained in full last, so that parameters always lie
 * in the same order. Returns the number. */
static size_t list_choices(const ld_model *model, const ld_adapter *adapter, ld_choice *choices) {
  size_t n = 0;
  for (int whole = 0; whole < 2; whole++)
    for (size_t i = 0; i < model->n_linears; i++) {
      const ld_adapter_module *module = ld_adapter_module_at(adapter, model->linears[i]->path);
      if (module && ld_adapter_is_whole(module) == whole) choices[n++] = choice_of(module, model->linears[i]);
    }
  return n;
}

/* An adapter with a head says what the head is for. This program's own adapters leave out what the number of outputs
 * tells; of others it is not known. */
static int follow_problem(ld_base *base, const ld_adapter *adapter, ld_error *err) {
  const bool has_head = ld_adapter_module_at(adapter, base->model->head->path) != NULL;
  const bool is_known = adapter->problem || (has_head && adapter->base_digest);
  return is_known ? ld_base_follow_problem(base, adapter->problem, err) : 0;
}

int ld_base_adapt(ld_base *base, const ld_adapter *adapter, const char *source, double dropout,
                  ld_error *err) {
  int rc = ld_base_follow_task(base, adapter->task_type, err);
  if (!rc) rc = follow_problem(base, adapter, err);
  if (!rc) rc = follow_head(base, adapter, source, err);
  if (!rc) rc = follow_layers(base, adapter, err);
  if (!rc) rc = check_adapter(base, adapter, source, err);
  if (rc) return rc;
  ld_choice *choices = ld_alloc(base->model->n_linears, sizeof *choices);
  base->params = ld_params_attach(choices, list_choices(base->model, adapter, choices), dropout);
  base->params->rslora = adapter->rslora;
  fill(base->params, adapter);
  free(choices);
  return 0;
}

int ld_base_adapt_from(ld_base *base, const char *path, bool other_base, ld_error *err) {
  ld_adapter *adapter;
  int rc = ld_adapter_load(path, base, &adapter, err);
  if (rc) return rc;
  if (other_base) ld_adapter_forget_base(adapter);
  rc = ld_base_adapt(base, adapter, path, 0, err);
  ld_adapter_free(adapter);
  return rc;
}

/* A head that the targets name takes an adapter instead of being trained in full. PEFT leaves no such choice
 * for text classifiers (their task type trains the head in full). */
static const char *default_whole(const ld_base *base, const ld_options *options) {
  const ld_model *model = base->model;
  const bool free_choice = base->labels.n_names && !model->family->task_type && !model->head->is_new;
  return free_choice && ld_is_targeted(model->head, options->target) ? "none" : NULL;
}

int ld_base_adapt_fresh(ld_base *base, const ld_options *options, ld_error *err) {
  const int rank = (int)options->rank;
  const ld_selection selection = {
      .targets = options->target,
      .whole = options->whole ? options->whole : default_whole(base, options),
      .texts = options->text_encoder,
      .like = {.kind = ld_adapter_kind_find(options->method),
               .rank = rank,
               .alpha = options->alpha,
               .scaling = ld_adapter_scaling(options->alpha, rank, options->rslora)},
  };
  ld_choice *choices;
  size_t n;
  const int rc = ld_choose(base->model, &selection, &choices, &n, err);
  if (rc) return rc;
  base->params = ld_params_attach(choices, n, options->dropout);
  base->params->rslora = options->rslora;
  ld_params_start(base->params, (uint64_t)options->seed);
  free(choices);
  return n ? 0 : ld_fail(err, LD_EUSAGE, "--target none leaves nothing to train: give --whole");
}

static int check_ready(const ld_base *base, ld_error *err) {
  for (size_t i = 0; i < base->model->n_linears; i++) {
    const ld_linear *linear = base->model->linears[i];
    if (linear->is_new && !linear->change && base->unfit_head)
      return ld_fail(err, LD_EUNSUPPORTED, "%s/config.json: %s: give an --adapter that holds a head",
                     ld_model_folder_path(base->folder), base->unfit_head);
    if (linear->is_new && !linear->change)
      return ld_fail(err, LD_EMISMATCH, "%s: has no '%s': give an --adapter that holds it",
                     ld_model_folder_path(base->folder), linear->path);
  }
  return 0;
}

int ld_base_make_ready(ld_base *base, const char *adapter, bool other_base, ld_error *err) {
  const int rc = adapter ? ld_base_adapt_from(base, adapter, other_base, err) : 0;
  return rc ? rc : check_ready(base, err);
}

static void save_params(ld_adapter *adapter, const ld_params *params) {
  for (size_t i = 0; i < params->n_changes; i++) {
    const ld_choice *choice = &params->choices[i];
    const ld_change *change = &params->changes[i];
    ld_adapter_module *module = ld_adapter_add(adapter, choice->layer->path, choice->kind->name);
    module->rank = choice->rank, module->alpha = choice->alpha, module->scaling = choice->scaling;
    for (int k = 0; k < change->n_params; k++) {
      const ld_param *param = &change->params[k];
      ld_adapter_tensor *tensor = ld_adapter_put(module, param->role, param->ndim, param->shape, NULL);
      memcpy(tensor->data, param->data, param->count * sizeof *tensor->data);
    }
  }
}

static void save_labels(ld_adapter *adapter, const ld_base *base) {
  if (!base->objective->named) return;
  adapter->n_labels = base->labels.n_names;
  adapter->labels = ld_alloc(adapter->n_labels, sizeof *adapter->labels);
  for (size_t i = 0; i < adapter->n_labels; i++) adapter->labels[i] = ld_strdup(base->labels.names[i]);
}

ld_adapter *ld_base_adapter(const ld_base *base, const ld_options *options) {
  const ld_family *family = base->model->family;
  ld_adapter *adapter = ld_alloc(1, sizeof *adapter);
  adapter->rank = (int)options->rank;
  adapter->alpha = options->alpha;
  adapter->dropout = options->dropout;
  adapter->rslora = base->params->rslora;
  adapter->fan_in_fan_out = family->fan_in_fan_out;
  adapter->base_digest = ld_strdup(ld_model_folder_digest(base->folder));
  adapter->architecture = ld_strdup(family->architectures[0]);
  if (family->task_type) adapter->task_type = ld_strdup(family->task_type);
  if (base->objective != ld_objective_of(base->model) && base->objective->problem)
    adapter->problem = ld_strdup(base->objective->problem);
  save_params(adapter, base->params);
  save_labels(adapter, base);
  return adapter;
}
