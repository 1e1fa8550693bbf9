#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/value.h"
#include "io/adapter.h"
#include "io/file.h"
#include "io/json.h"
#include "io/adapter_labels.h"
#include "io/peft_pattern.h"
#include "io/peft_saved.h"
#include "io/safetensors.h"

#define PREFIX "base_model.model."
#define LORA_A ".lora_A.weight"
#define LORA_B ".lora_B.weight"
#define BASE_COPY ".base_layer.weight"

typedef struct reader {
  const char *name; /* the folder, for error texts */
  const ld_value *config;
  const ld_safetensors *tensors;
  ld_adapter *adapter;
  ld_error *err;
} reader;

/* Fields that are read here, or that say nothing about the numbers of a saved adapter. */
static bool is_known_field(const char *key) {
  static const char *const known[] = {"alpha_pattern",
                                      "auto_mapping",
                                      "base_model_name_or_path",
                                      "bias",
                                      "corda_config",
                                      "eva_config",
                                      "exclude_modules",
                                      "fan_in_fan_out",
                                      "inference_mode",
                                      "init_lora_weights",
                                      "layers_pattern",
                                      "layers_to_transform",
                                      "loftq_config",
                                      "lora_alpha",
                                      "lora_dropout",
                                      "lora_ga_config",
                                      "megatron_config",
                                      "megatron_core",
                                      "merge_weights",
                                      "modules_to_save",
                                      "peft_type",
                                      "peft_version",
                                      "qalora_group_size",
                                      "r",
                                      "rank_pattern",
                                      "revision",
                                      "runtime_config",
                                      "target_modules",
                                      "task_type",
                                      "use_rslora"};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(known[i], key) == 0) return true;
  return false;
}

static bool is_switched_on(const ld_value *value) {
  return value->type == LD_BOOLEAN ? value->boolean : value->n_items > 0;
}

static int unsupported(const reader *r, const char *field, const char *value) {
  return ld_fail(r->err, LD_EUNSUPPORTED, "%s: adapter_config.json: %s: '%s' is not supported", r->name,
                 field, value);
}

/* Initialisations that leave the base as it is; the others (PiSSA, OLoRA, ...) make the saved tensors
 * meaningless without the changed base. */
static int check_init(const reader *r) {
  static const char *const harmless[] = {"gaussian", "eva", "orthogonal"};
  const ld_value *init = ld_value_get(r->config, "init_lora_weights");
  if (!init || init->type != LD_STRING) return 0;
  for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
    if (strcmp(init->string, harmless[i]) == 0) return 0;
  return ld_fail(
      r->err, LD_EUNSUPPORTED,
      "%s: adapter_config.json: init_lora_weights: '%s' changes the base model; save the adapter again with "
      "path_initial_model_for_weight_conversion",
      r->name, init->string);
}

static int check_config(const reader *r) {
  const char *type, *bias;
  if (r->config->type != LD_MAP)
    return ld_fail(r->err, LD_EFORMAT, "%s: adapter_config.json: expected a JSON object", r->name);
  int code = ld_value_string(r->config, "peft_type", "(none)", &type, r->err);
  if (!code) code = ld_value_string(r->config, "bias", "none", &bias, r->err);
  if (code) return ld_fail_prefix(r->err, code, "%s: adapter_config.json", r->name);
  if (strcmp(type, "LORA") != 0) return unsupported(r, "peft_type", type);
  if (strcmp(bias, "none") != 0) return unsupported(r, "bias", bias);
  for (size_t i = 0; i < r->config->n_items; i++) {
    const ld_value *field = &r->config->items[i];
    if (!is_known_field(field->key) && is_switched_on(field))
      return ld_fail(r->err, LD_EUNSUPPORTED, "%s: adapter_config.json: %s is on, which is not supported",
                     r->name, field->key);
  }
  return check_init(r);
}

static char *copy_or_null(const char *text) {
  return text && *text ? ld_strdup(text) : NULL;
}

static int check_rank(const reader *r, int64_t rank, const char *field) {
  if (rank >= 1 && rank <= INT_MAX) return 0;
  return ld_fail(r->err, LD_EFORMAT, "%s: adapter_config.json: %s: %" PRId64 " is not a rank", r->name, field,
                 rank);
}

static int read_config(const reader *r) {
  ld_adapter *a = r->adapter;
  int64_t rank;
  const char *base, *task;
  int code = ld_value_int(r->config, "r", 8, &rank, r->err);
  if (!code) code = ld_value_real(r->config, "lora_alpha", 8, &a->alpha, r->err);
  if (!code) code = ld_value_real(r->config, "lora_dropout", 0, &a->dropout, r->err);
  if (!code) code = ld_value_bool(r->config, "use_rslora", false, &a->rslora, r->err);
  if (!code) code = ld_value_bool(r->config, "fan_in_fan_out", false, &a->fan_in_fan_out, r->err);
  if (!code) code = ld_value_string(r->config, "base_model_name_or_path", NULL, &base, r->err);
  if (!code) code = ld_value_string(r->config, "task_type", NULL, &task, r->err);
  if (code) return ld_fail_prefix(r->err, code, "%s: adapter_config.json", r->name);
  code = check_rank(r, rank, "r");
  if (code) return code;
  a->rank = (int)rank;
  a->base_name = copy_or_null(base);
  a->task_type = copy_or_null(task);
  return 0;
}

static const ld_value *pattern_map(const reader *r, const char *field, int *code) {
  const ld_value *map = ld_value_get(r->config, field);
  if (map && map->type != LD_MAP && !*code)
    *code = ld_fail(r->err, LD_EFORMAT, "%s: adapter_config.json: %s: expected an object", r->name, field);
  return map;
}

static int read_patterns(const reader *r, ld_adapter_module *m) {
  int code = 0;
  const ld_value *ranks = pattern_map(r, "rank_pattern", &code),
                 *alphas = pattern_map(r, "alpha_pattern", &code);
  const ld_value *rank = NULL, *alpha = NULL;
  if (!code) code = ld_peft_pattern(ranks, m->path, "adapter_config.json: rank_pattern", &rank, r->err);
  if (!code) code = ld_peft_pattern(alphas, m->path, "adapter_config.json: alpha_pattern", &alpha, r->err);
  int64_t value = r->adapter->rank;
  m->alpha = r->adapter->alpha;
  if (!code && rank) code = ld_value_int(ranks, rank->key, value, &value, r->err);
  if (!code && alpha) code = ld_value_real(alphas, alpha->key, m->alpha, &m->alpha, r->err);
  if (code) return ld_fail_prefix(r->err, code, "%s", r->name);
  code = check_rank(r, value, "rank_pattern");
  m->rank = code ? 0 : (int)value;
  return code;
}

static float *to_f32(const ld_stored *tensor) {
  const int64_t count = ld_stored_count(tensor);
  float *data = ld_alloc((size_t)count, sizeof *data);
  ld_dtype_to_f32(data, tensor->data, tensor->dtype, 0, count);
  return data;
}

static int bad_key(const reader *r, const char *key, const char *what) {
  return ld_fail(r->err, LD_EFORMAT, "%s: adapter_model.safetensors: '%s': %s", r->name, key, what);
}

static int check_pair(const reader *r, const ld_adapter_module *m, const ld_stored *A, const ld_stored *B) {
  if (!ld_dtype_is_float(A->dtype) || !ld_dtype_is_float(B->dtype))
    return ld_fail(r->err, LD_EUNSUPPORTED, "%s: module '%s': dtypes %s and %s; expected F32, F16 or BF16",
                   r->name, m->path, ld_dtype_name(A->dtype), ld_dtype_name(B->dtype));
  if (A->ndim == B->ndim && (A->ndim == 3 || A->ndim == 5))
    return ld_fail(r->err, LD_EUNSUPPORTED,
                   "%s: module '%s' is a convolution in %d dimension%s; only those in 2 are supported",
                   r->name, m->path, A->ndim - 2, A->ndim == 3 ? "" : "s");
  if (A->ndim != B->ndim || (A->ndim != 2 && A->ndim != 4))
    return bad_key(r, m->path, "lora_A and lora_B must be matrices, or kernels with 4 dimensions both");
  if (ld_stored_count(A) < 1 || ld_stored_count(B) < 1) return bad_key(r, m->path, "is empty");
  if (A->ndim == 4 && (B->shape[2] != 1 || B->shape[3] != 1))
    return bad_key(r, m->path, "the kernel of lora_B must be 1 x 1");
  if (A->ndim == 4 && A->shape[0] == m->rank && B->shape[1] < m->rank && m->rank % B->shape[1] == 0)
    return ld_fail(r->err, LD_EUNSUPPORTED,
                   "%s: module '%s' is a convolution in %" PRId64 " groups, which is not supported", r->name,
                   m->path, m->rank / B->shape[1]);
  if (A->shape[0] != m->rank || B->shape[1] != m->rank)
    return ld_fail(r->err, LD_EFORMAT,
                   "%s: module '%s': lora_A has %" PRId64 " rows and lora_B %" PRId64
                   " columns, but adapter_config.json says rank %d",
                   r->name, m->path, A->shape[0], B->shape[1], m->rank);
  return 0;
}

static int set_sizes(const reader *r, ld_adapter_module *m, const ld_stored *A, const ld_stored *B) {
  m->in = ld_stored_count(A) / m->rank;
  m->out = B->shape[0];
  for (int d = 0; A->ndim == 4 && d < 2; d++) {
    if (A->shape[2 + d] > INT_MAX) return bad_key(r, m->path, "has a kernel of an unusable size");
    m->kernel[d] = (int)A->shape[2 + d];
  }
  return 0;
}

/* `key` without its prefix and `suffix`, when it ends so. */
static char *path_before(const char *key, const char *suffix) {
  const size_t k = strlen(key), s = strlen(suffix), p = strlen(PREFIX);
  if (k <= p + s || strcmp(key + k - s, suffix) != 0) return NULL;
  return ld_strndup(key + p, k - p - s);
}

static const ld_stored *partner(const reader *r, const char *path, const char *suffix) {
  char *key = ld_format("%s%s%s", PREFIX, path, suffix);
  const ld_stored *found = ld_safetensors_find(r->tensors, key);
  free(key);
  return found;
}

/* Takes over `path`. */
static int read_module(const reader *r, char *path, const ld_stored *A) {
  ld_adapter_module *m = &r->adapter->modules[r->adapter->n_modules++];
  m->path = path;
  if (!ld_adapter_path_ok(path)) return bad_key(r, path, "not a module path");
  const ld_stored *B = partner(r, path, LORA_B);
  if (!B) return bad_key(r, path, "has a lora_A but no lora_B");
  int code = read_patterns(r, m);
  if (!code) code = check_pair(r, m, A, B);
  if (!code) code = set_sizes(r, m, A, B);
  if (code) return code;
  m->scaling = ld_adapter_scaling(m->alpha, m->rank, r->adapter->rslora);
  m->A = to_f32(A);
  m->B = to_f32(B);
  return 0;
}

static bool is_saved(const reader *r, const char *path) {
  const ld_value *saved = ld_value_get(r->config, "modules_to_save");
  for (size_t i = 0; saved && saved->type == LD_LIST && i < saved->n_items; i++)
    if (saved->items[i].type == LD_STRING && ld_peft_wraps(saved->items[i].string, path)) return true;
  return ld_peft_wraps_head(r->adapter->task_type, path);
}

static int read_counter(const reader *r, ld_adapter_full *full, const ld_stored *tensor) {
  const int64_t value = *(const int64_t *)tensor->data;
  if (value < 0 || value > 1 << 24)
    return bad_key(r, full->path, "holds an integer beyond what a float can count");
  full->data = ld_alloc(1, sizeof *full->data);
  full->data[0] = (float)value;
  return 0;
}

static int read_full(const reader *r, const char *path, const ld_stored *tensor) {
  if (!ld_adapter_path_ok(path) || !is_saved(r, path))
    return bad_key(r, path, "unknown key: neither lora_A or lora_B, nor of a module in modules_to_save");
  ld_adapter_full *full = &r->adapter->full[r->adapter->n_full++];
  full->path = ld_strdup(path);
  full->ndim = tensor->ndim;
  memcpy(full->shape, tensor->shape, sizeof full->shape);
  if (ld_stored_count(tensor) < 1) return bad_key(r, path, "is empty");
  if (tensor->dtype == LD_I64 && tensor->ndim == 0) return read_counter(r, full, tensor);
  if (!ld_dtype_is_float(tensor->dtype))
    return ld_fail(r->err, LD_EUNSUPPORTED, "%s: '%s': dtype %s; expected F32, F16 or BF16", r->name, path,
                   ld_dtype_name(tensor->dtype));
  full->data = to_f32(tensor);
  return 0;
}

/* PEFT saves the frozen weight along with an adapted lm_head unless told not to. The base has it already:
 * what can be checked here is that a module is adapted there, and its shape. */
static int check_base_copy(const reader *r, const char *path, const ld_stored *weight) {
  const ld_stored *A = partner(r, path, LORA_A), *B = partner(r, path, LORA_B);
  if (!A || !B || A->ndim != 2 || B->ndim != 2)
    return bad_key(r, path, "has a base_layer but no lora_A and lora_B");
  const int out = r->adapter->fan_in_fan_out ? 1 : 0;
  if (weight->ndim != 2 || weight->shape[out] != B->shape[0] || weight->shape[1 - out] != A->shape[1])
    return bad_key(r, path, "the shape of its base_layer.weight does not fit lora_A and lora_B");
  return 0;
}

static int read_tensor(const reader *r, const char *key, const ld_stored *tensor) {
  if (strncmp(key, PREFIX, strlen(PREFIX)) != 0)
    return bad_key(r, key, "unknown key: expected " PREFIX "...");
  char *path = path_before(key, LORA_A);
  if (path) return read_module(r, path, tensor);
  path = path_before(key, LORA_B);
  if (path) {
    const int code = partner(r, path, LORA_A) ? 0 : bad_key(r, path, "has a lora_B but no lora_A");
    free(path);
    return code;
  }
  path = path_before(key, BASE_COPY);
  if (path) {
    const int code = check_base_copy(r, path, tensor);
    free(path);
    return code;
  }
  if (strstr(key, ".lora_"))
    return ld_fail(r->err, LD_EUNSUPPORTED,
                   "%s: adapter_model.safetensors: '%s' is a kind of LoRA that is not supported", r->name,
                   key);
  return read_full(r, key + strlen(PREFIX), tensor);
}

/* Numbers in a path compare by value, so that layer 2 stands before layer 10. */
static int compare_paths(const char *a, const char *b) {
  while (*a && *b) {
    const size_t x = strspn(a, "0123456789"), y = strspn(b, "0123456789");
    if (x && y) {
      if (x != y) return x < y ? -1 : 1;
      const int order = memcmp(a, b, x);
      if (order) return order;
      a += x;
      b += y;
    } else if (*a != *b)
      return (unsigned char)*a - (unsigned char)*b;
    else
      a++, b++;
  }
  return (unsigned char)*a - (unsigned char)*b;
}

static int by_module(const void *a, const void *b) {
  return compare_paths(((const ld_adapter_module *)a)->path, ((const ld_adapter_module *)b)->path);
}

static int by_full(const void *a, const void *b) {
  return compare_paths(((const ld_adapter_full *)a)->path, ((const ld_adapter_full *)b)->path);
}

static int read_adapter(const reader *r) {
  const size_t n = ld_safetensors_count(r->tensors);
  int code = check_config(r);
  if (!code) code = read_config(r);
  r->adapter->base_digest = copy_or_null(ld_safetensors_metadata(r->tensors, LD_PEFT_BASE_DIGEST));
  r->adapter->modules = ld_alloc(n, sizeof *r->adapter->modules);
  r->adapter->full = ld_alloc(n, sizeof *r->adapter->full);
  for (size_t i = 0; i < n && !code; i++)
    code = read_tensor(r, ld_safetensors_name(r->tensors, i), ld_safetensors_tensor(r->tensors, i));
  if (!code && r->adapter->n_modules + r->adapter->n_full == 0)
    code = ld_fail(r->err, LD_EFORMAT, "%s: adapter_model.safetensors: holds no tensors", r->name);
  if (code) return code;
  qsort(r->adapter->modules, r->adapter->n_modules, sizeof *r->adapter->modules, by_module);
  qsort(r->adapter->full, r->adapter->n_full, sizeof *r->adapter->full, by_full);
  return 0;
}

/* Takes over both sources. */
static int read_both(ld_value *config, ld_safetensors *tensors, const char *name, ld_adapter **out,
                     ld_error *err) {
  ld_adapter *adapter = ld_alloc(1, sizeof *adapter);
  const reader r = {name, config, tensors, adapter, err};
  const int code = read_adapter(&r);
  if (code)
    ld_adapter_free(adapter);
  else
    *out = adapter;
  ld_value_free(config);
  ld_safetensors_close(tensors);
  return code;
}

int ld_peft_parse(const char *config, size_t config_length, const void *tensors, size_t tensors_length,
                  const char *name, ld_adapter **out, ld_error *err) {
  ld_safetensors *file;
  *out = NULL;
  ld_value *tree = ld_json_parse(config, config_length, name, err);
  if (!tree) return LD_EFORMAT;
  const int code = ld_safetensors_parse(tensors, tensors_length, name, &file, err);
  if (!code) return read_both(tree, file, name, out, err);
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
        "%s: adapter_model.bin is a pickle, which is not read: load it with PEFT and save it again, which "
        "writes adapter_model.safetensors",
        folder);
  return ld_fail(err, LD_EFILE, "%s: no adapter_model.safetensors in this folder", folder);
}

/* Labels that are there must fit the head. */
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

int ld_peft_read(const char *folder, ld_adapter **out, ld_error *err) {
  *out = NULL;
  char *place = ld_folder_present(folder);
  char *config = ld_path_join(place, "adapter_config.json");
  char *tensors = ld_path_join(place, "adapter_model.safetensors");
  ld_safetensors *file = NULL;
  ld_value *tree = NULL;
  int code = 0;
  if (!ld_file_exists(config))
    code = ld_fail(err, LD_EFILE, "%s: no PEFT adapter: adapter_config.json is missing", folder);
  else if (!ld_file_exists(tensors))
    code = no_tensors(place, err);
  if (!code && !(tree = ld_json_read(config, err))) code = LD_EFORMAT;
  if (!code) code = ld_safetensors_open(tensors, &file, err);
  if (!code)
    code = read_both(tree, file, folder, out, err);
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
