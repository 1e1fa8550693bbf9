#include "io/hub/peft_read.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/value.h"
#include "io/file.h"
#include "io/hub/adapter_labels.h"
#include "io/hub/peft_config.h"
#include "io/hub/peft_pattern.h"
#include "io/hub/peft_saved.h"
#include "io/hub/safetensors.h"
#include "io/json.h"

#define PREFIX "base_model.model."
#define WEIGHT ".weight"
#define BASE_COPY ".base_layer.weight"

typedef struct reader {
  const char *name;        /* the folder, for errors */
  const char *config_name; /* and its adapter_config.json */
  const ld_adapter_form *const *forms;
  const ld_adapter_form *form; /* selected by the config */
  const ld_value *config;
  const ld_safetensors *tensors;
  ld_adapter *adapter;
  ld_error *err;
} reader;

static char *copy_or_null(const char *text) {
  return text && *text ? ld_strdup(text) : NULL;
}

static int read_config(const reader *r) {
  ld_adapter *a = r->adapter;
  const char *base, *task;
  int code = ld_value_string(r->config, "base_model_name_or_path", NULL, &base, r->err);
  if (!code) code = ld_value_string(r->config, "task_type", NULL, &task, r->err);
  if (code) return ld_fail_prefix(r->err, code, "%s", r->config_name);
  code = ld_peft_config_common(r->config, r->config_name, a, r->err);
  if (code) return code;
  a->base_name = copy_or_null(base);
  a->task_type = copy_or_null(task);
  return 0;
}

static int bad_key(const reader *r, const char *key, const char *what) {
  return ld_fail(r->err, LD_EFORMAT, "%s: adapter_model.safetensors: '%s': %s", r->name, key, what);
}

/* `key` without its prefix and `suffix`; NULL when it does not end so. */
static char *path_before(const char *key, const char *suffix) {
  const size_t k = strlen(key), s = strlen(suffix), p = strlen(PREFIX);
  if (k <= p + s || strcmp(key + k - s, suffix) != 0) return NULL;
  return ld_strndup(key + p, k - p - s);
}

/* PEFT ignores tensors of modules that its config does not select. */
static int check_selected(const reader *r, const char *path) {
  bool selected;
  const int code = ld_peft_config_selects(r->config, path, r->name, &selected, r->err);
  if (code || selected) return code;
  return ld_fail(r->err, LD_EFORMAT,
                 "%s: adapter_model.safetensors has LoRA for '%s', which adapter_config.json does not select "
                 "(target_modules, exclude_modules, layers_to_transform, layers_pattern, modules_to_save)",
                 r->name, path);
}

static int check_float(const reader *r, const char *key, const ld_stored *tensor) {
  if (ld_stored_count(tensor) < 1) return bad_key(r, key, "is empty");
  if (ld_dtype_is_float(tensor->dtype)) return 0;
  return ld_fail(r->err, LD_EUNSUPPORTED, "%s: '%s': dtype %s; expected F32, F16 or BF16", r->name, key,
                 ld_dtype_name(tensor->dtype));
}

static void put_floats(ld_adapter_module *m, const char *role, const ld_stored *tensor) {
  ld_adapter_tensor *t = ld_adapter_put(m, role, tensor->ndim, tensor->shape, NULL);
  ld_dtype_to_f32(t->data, tensor->data, tensor->dtype, 0, ld_stored_count(tensor));
}

/* The role that a key of the file has in a form; *path receives the module's path, which the caller frees.
 * NULL for none. */
static const char *role_of(const ld_adapter_form *form, const char *key, char **path) {
  for (int i = 0; form->roles[i].role; i++) {
    char *end = ld_format(".%s", form->roles[i].key);
    *path = path_before(key, end);
    free(end);
    if (*path) return form->roles[i].role;
  }
  return NULL;
}

static int read_adapted(const reader *r, const char *key, const char *path, const char *role,
                        const ld_stored *tensor) {
  if (!ld_adapter_path_ok(path)) return bad_key(r, path, "not a module path");
  ld_adapter_module *m = ld_adapter_module_at(r->adapter, path);
  int code = m ? 0 : check_selected(r, path);
  if (!code) code = check_float(r, key, tensor);
  if (code) return code;
  if (!m) m = ld_adapter_add(r->adapter, path, r->form->kind);
  put_floats(m, role, tensor);
  return 0;
}

/* A key of an adapter of another form than the config's. */
static int bad_form(const reader *r, const char *key) {
  char *path = NULL;
  for (int i = 0; r->forms[i]; i++) {
    if (!role_of(r->forms[i], key, &path)) continue;
    free(path);
    return ld_fail(
        r->err, LD_EFORMAT,
        "%s: adapter_model.safetensors has '%s', but adapter_config.json does not have \"%s\": true", r->name,
        key, r->forms[i]->flag);
  }
  return ld_fail(r->err, LD_EUNSUPPORTED,
                 "%s: adapter_model.safetensors: '%s' is a kind of LoRA that is not supported", r->name, key);
}

/* Sorts the tensors in the order of the form's roles. */
static int sort_roles(const reader *r, ld_adapter_module *m) {
  for (size_t i = 0; r->form->roles[i].role; i++) {
    ld_adapter_tensor *found = ld_adapter_tensor_of(m, r->form->roles[i].role), *place = &m->tensors[i];
    if (!found) {
      char *what = ld_format("has a %s but no %s", m->tensors[0].role, r->form->roles[i].role);
      const int code = bad_key(r, m->path, what);
      free(what);
      return code;
    }
    const ld_adapter_tensor other = *place;
    *place = *found;
    *found = other;
  }
  return 0;
}

/* Called when all tensors are read. */
static int finish_adapted(const reader *r, ld_adapter_module *m) {
  int code = sort_roles(r, m);
  if (!code) code = ld_peft_config_module(r->config, r->adapter, m->path, r->config_name, m, r->err);
  if (!code) code = r->form->check(m, r->name, r->err);
  if (!code) m->scaling = ld_adapter_scaling(m->alpha, m->rank, r->adapter->rslora);
  return code;
}

static bool is_saved(const reader *r, const char *path) {
  const ld_value *saved = ld_value_get(r->config, "modules_to_save");
  for (size_t i = 0; saved && saved->type == LD_LIST && i < saved->n_items; i++)
    if (saved->items[i].type == LD_STRING && ld_peft_wraps(saved->items[i].string, path)) return true;
  return ld_peft_wraps_head(r->adapter->task_type, path);
}

static int read_counter(const reader *r, ld_adapter_module *m, const char *path, const char *role,
                        const ld_stored *tensor) {
  const int64_t value = *(const int64_t *)tensor->data;
  if (value < 0 || value > 1 << 24) return bad_key(r, path, "holds an integer beyond what a float can count");
  ld_adapter_put(m, role, 0, NULL, NULL)->data[0] = (float)value;
  return 0;
}

/* A tensor of a module that is trained in full. */
static int read_full(const reader *r, const char *path, const ld_stored *tensor) {
  const char *dot = strrchr(path, '.');
  if (!ld_adapter_path_ok(path) || !is_saved(r, path) || !dot)
    return bad_key(r, path, "unknown key: neither lora_A or lora_B, nor of a module in modules_to_save");
  const bool counts = tensor->dtype == LD_I64 && tensor->ndim == 0;
  const int code = counts ? 0 : check_float(r, path, tensor);
  if (code) return code;
  char *module = ld_strndup(path, (size_t)(dot - path));
  ld_adapter_module *m = ld_adapter_module_at(r->adapter, module);
  if (!m) m = ld_adapter_add(r->adapter, module, LD_ADAPTER_WHOLE);
  free(module);
  if (counts) return read_counter(r, m, path, dot + 1, tensor);
  put_floats(m, dot + 1, tensor);
  return 0;
}

/* By default PEFT saves a frozen weight along with an adapted lm_head, and the embedding of a resized
 * vocabulary, and loads them over the base's. Here they must equal the base's: they are kept for the caller
 * that has the base. Takes ownership of `path`. */
static int keep_copy(const reader *r, char *path, const ld_stored *weight, bool of_adapted) {
  r->adapter->copies[r->adapter->n_copies++] = (ld_adapter_copy){path, *weight, of_adapted};
  if (!ld_adapter_path_ok(path)) return bad_key(r, path, "not a module path");
  if (!ld_dtype_is_float(weight->dtype))
    return ld_fail(r->err, LD_EUNSUPPORTED, "%s: '%s': dtype %s; expected F32, F16 or BF16", r->name, path,
                   ld_dtype_name(weight->dtype));
  return 0;
}

/* Checks a copy like "lm_head.base_layer.weight", when all tensors are read. */
static int check_copy(const reader *r, const ld_adapter_copy *copy) {
  char *module = ld_strndup(copy->path, strlen(copy->path) - strlen(WEIGHT));
  const bool adapted = ld_adapter_module_at(r->adapter, module);
  const int code = adapted || !copy->of_adapted ? 0 : bad_key(r, module, "has a base_layer but no adapter");
  free(module);
  return code;
}

/* By the names that families use for their embeddings and heads. */
static bool is_embedding(const char *path) {
  static const char *const names[] = {"embed_tokens.weight", "wte.weight", "word_embeddings.weight",
                                      "lm_head.weight"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (ld_peft_selects(names[i], path)) return true;
  return false;
}

/* The adapter's name in a key: "default" in "q.lora_A.default.weight"; NULL without one. The caller frees. */
static char *adapter_name(const char *key) {
  static const char *const marks[] = {".lora_A.", ".lora_B.", ".modules_to_save."};
  for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
    const char *at = strstr(key, marks[i]), *rest = at ? at + strlen(marks[i]) : "",
               *end = strrchr(rest, '.');
    if (end) return ld_strndup(rest, (size_t)(end - rest));
  }
  return NULL;
}

/* PEFT removes the names of adapters when it saves. */
static int check_unnamed(const reader *r, const char *key) {
  char *name = adapter_name(key);
  if (!name) return 0;
  const int code = ld_fail(
      r->err, LD_EFORMAT,
      "%s: adapter_model.safetensors: '%s' contains the adapter's name '%s', which PEFT removes when it "
      "saves: the file was written from a model's state_dict(). This removes it: python3 -c \"from "
      "safetensors.torch import load_file, save_file; f = '%s/adapter_model.safetensors'; "
      "save_file({k.replace('.modules_to_save.%s', '').replace('.%s', ''): v for k, v in "
      "load_file(f).items()}, f, {'format': 'pt'})\"",
      r->name, key, name, r->name, name, name);
  free(name);
  return code;
}

static int read_tensor(const reader *r, const char *key, const ld_stored *tensor) {
  if (strncmp(key, PREFIX, strlen(PREFIX)) != 0)
    return bad_key(r, key, "unknown key: expected " PREFIX "...");
  const int named = check_unnamed(r, key);
  if (named) return named;
  char *path = NULL;
  const char *role = role_of(r->form, key, &path);
  if (role) {
    const int code = read_adapted(r, key, path, role, tensor);
    free(path);
    return code;
  }
  path = path_before(key, BASE_COPY);
  if (path) {
    const int code = keep_copy(r, ld_format("%s" WEIGHT, path), tensor, true);
    free(path);
    return code;
  }
  if (strstr(key, ".lora_")) return bad_form(r, key);
  const char *name = key + strlen(PREFIX);
  if (is_embedding(name) && !is_saved(r, name)) return keep_copy(r, ld_strdup(name), tensor, false);
  return read_full(r, name, tensor);
}

/* The same path one layer lower: "model.layers.3.mlp.down_proj" for layer 4, when 4 is the only number in it;
 * NULL for others, and for layer 0. (A residual network numbers stages and layers, and their modules differ.)
 * The caller frees. */
static char *layer_before(const char *path) {
  const char *number = NULL;
  for (const char *part = path; part; part = (part = strchr(part, '.')) ? part + 1 : NULL) {
    const size_t digits = strspn(part, "0123456789");
    if (!digits || (part[digits] && part[digits] != '.')) continue;
    if (number) return NULL;
    number = part;
  }
  if (!number) return NULL;
  char *rest;
  const long layer = strtol(number, &rest, 10);
  return layer > 0 ? ld_format("%.*s%ld%s", (int)(number - path), path, layer - 1, rest) : NULL;
}

int ld_peft_warn_of_gaps(const ld_adapter *adapter, const char *name, ld_error *err) {
  int rc = 0;
  for (size_t i = 0; adapter->config && i < adapter->n_modules && !rc; i++) {
    const ld_adapter_module *m = &adapter->modules[i];
    char *before = ld_adapter_is_whole(m) ? NULL : layer_before(m->path);
    bool selected = false;
    if (before && !ld_adapter_module_at(adapter, before))
      rc = ld_peft_config_selects(adapter->config, before, name, &selected, err);
    if (selected)
      ld_warn("%s: adapter_model.safetensors has LoRA for '%s', but none for '%s', which adapter_config.json "
              "selects too: is the file complete?",
              name, m->path, before);
    free(before);
    if (selected) break; /* one warning is enough */
  }
  return rc;
}

static void keep_saved(const reader *r) {
  const ld_value *saved = ld_value_get(r->config, "modules_to_save");
  ld_adapter *a = r->adapter;
  a->saved = ld_alloc(saved ? saved->n_items : 0, sizeof *a->saved);
  for (size_t i = 0; saved && i < saved->n_items; i++)
    a->saved[a->n_saved++] = ld_strdup(saved->items[i].string);
}

static int read_tensors(const reader *r) {
  ld_adapter *a = r->adapter;
  const size_t n = ld_safetensors_count(r->tensors);
  int code = 0;
  a->copies = ld_alloc(n, sizeof *a->copies);
  for (size_t i = 0; i < n && !code; i++)
    code = read_tensor(r, ld_safetensors_name(r->tensors, i), ld_safetensors_tensor(r->tensors, i));
  for (size_t i = 0; i < a->n_modules && !code; i++)
    if (!ld_adapter_is_whole(&a->modules[i])) code = finish_adapted(r, &a->modules[i]);
  for (size_t i = 0; i < a->n_copies && !code; i++) code = check_copy(r, &a->copies[i]);
  if (!code && !a->n_modules)
    code = ld_fail(r->err, LD_EFORMAT, "%s: adapter_model.safetensors: holds no tensors", r->name);
  return code;
}

static int read_adapter(reader *r) {
  int code = ld_peft_config_check(r->config, r->forms, r->config_name, r->err);
  if (!code) code = read_config(r);
  if (code) return code;
  r->form = ld_peft_config_form(r->config, r->forms);
  r->adapter->base_digest = copy_or_null(ld_safetensors_metadata(r->tensors, LD_PEFT_BASE_DIGEST));
  r->adapter->problem = copy_or_null(ld_safetensors_metadata(r->tensors, LD_PEFT_PROBLEM));
  keep_saved(r);
  code = read_tensors(r);
  if (!code) ld_adapter_sort(r->adapter);
  return code;
}

/* Takes ownership of both. */
static int read_both(ld_value *config, ld_safetensors *tensors, const char *name,
                     const ld_adapter_form *const *forms, ld_adapter **out, ld_error *err) {
  ld_adapter *adapter = ld_alloc(1, sizeof *adapter);
  char *config_name = ld_format("%s: adapter_config.json", name);
  reader r = {.name = name,
              .config_name = config_name,
              .forms = forms,
              .config = config,
              .tensors = tensors,
              .adapter = adapter,
              .err = err};
  const int code = read_adapter(&r);
  free(config_name);
  adapter->source = tensors; /* it holds the copies */
  adapter->config = config;
  if (code)
    ld_adapter_free(adapter);
  else
    *out = adapter;
  return code;
}

int ld_peft_parse(const ld_peft_bytes *bytes, const char *name, const ld_adapter_form *const *forms,
                  ld_adapter **out, ld_error *err) {
  ld_safetensors *file;
  *out = NULL;
  ld_value *tree = ld_json_parse(bytes->config, bytes->config_length, name, err);
  if (!tree) return LD_EFORMAT;
  const int code = ld_safetensors_parse(bytes->tensors, bytes->tensors_length, name, &file, err);
  if (!code) return read_both(tree, file, name, forms, out, err);
  ld_value_free(tree);
  return code;
}

static int no_tensors(const char *folder, ld_error *err) {
  char *pickle = ld_path_join(folder, "adapter_model.bin");
  const bool old = ld_file_exists(pickle);
  free(pickle);
  if (old)
    return ld_fail(
        err, LD_EUNSUPPORTED,
        "%s: adapter_model.bin is a pickle, which is not read. This converts it: python3 -c \"import "
        "torch; from safetensors.torch import save_file; save_file({k: v.clone().contiguous() for k, v "
        "in torch.load('%s/adapter_model.bin', 'cpu', weights_only=True).items()}, "
        "'%s/adapter_model.safetensors', {'format': 'pt'})\"",
        folder, folder, folder);
  return ld_fail(err, LD_EFILE, "%s: no adapter_model.safetensors in this folder", folder);
}

/* Labels, if there are any, must fit the head. */
static int read_labels(const char *folder, ld_adapter *adapter, ld_error *err) {
  char *path = ld_path_join(folder, "labels.json");
  int code = 0;
  if (ld_file_exists(path)) {
    ld_value *tree = ld_json_read(path, err);
    code = tree ? ld_adapter_labels_read(tree, path, adapter, err) : LD_EFORMAT;
    ld_value_free(tree);
    if (!code) code = ld_adapter_check(adapter, folder, err);
  }
  free(path);
  return code;
}

int ld_peft_read(const char *folder, const ld_adapter_form *const *forms, ld_adapter **out, ld_error *err) {
  *out = NULL;
  char *place = ld_folder_present(folder);
  char *config = ld_path_join(place, "adapter_config.json");
  char *tensors = ld_path_join(place, "adapter_model.safetensors");
  ld_safetensors *file = NULL;
  ld_value *tree = NULL;
  int code = 0;
  if (!ld_file_exists(config))
    code = ld_fail(err, LD_EFILE, "%s: not a PEFT adapter: adapter_config.json is missing", folder);
  else if (!ld_file_exists(tensors))
    code = no_tensors(place, err);
  if (!code && !(tree = ld_json_read(config, err))) code = LD_EFORMAT;
  if (!code) code = ld_safetensors_open(tensors, &file, err);
  if (!code)
    code = read_both(tree, file, folder, forms, out, err);
  else
    ld_value_free(tree);
  if (!code && (code = read_labels(place, *out, err))) {
    ld_adapter_free(*out);
    *out = NULL;
  }
  free(tensors);
  free(config);
  free(place);
  return code;
}
