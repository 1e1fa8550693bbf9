#include "io/hub/peft_config.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/keys.h"
#include "base/log.h"
#include "base/memory.h"
#include "io/hub/peft_pattern.h"
#include "io/hub/peft_saved.h"

#define FILE_NAME "adapter_config.json"

enum { NAMES = LD_TAKES_STRING | LD_TAKES_STRINGS | LD_TAKES_NULL, SETTINGS = LD_TAKES_MAP | LD_TAKES_NULL };

/* Keys that are read here, or that do not affect the numbers of a saved adapter. */
static const ld_key known[] = {
    {"alpha_pattern", LD_TAKES_MAP, NULL},
    {"auto_mapping", SETTINGS, NULL},
    {"base_model_name_or_path", LD_TAKES_STRING | LD_TAKES_NULL, NULL},
    {"bias", LD_TAKES_STRING, NULL},
    {"corda_config", SETTINGS, NULL},
    {"eva_config", SETTINGS, NULL},
    {"exclude_modules", NAMES, NULL},
    {"fan_in_fan_out", LD_TAKES_FLAG, NULL},
    {"inference_mode", LD_TAKES_FLAG, NULL},
    {"init_lora_weights", LD_TAKES_FLAG | LD_TAKES_STRING | LD_TAKES_NULL, NULL},
    {"layers_pattern", NAMES, NULL},
    {"layers_to_transform", LD_TAKES_ID | LD_TAKES_INTEGERS, NULL},
    {"loftq_config", SETTINGS, NULL},
    {"lora_alpha", LD_TAKES_NUMBER, NULL},
    {"lora_dropout", LD_TAKES_SHARE, NULL},
    {"lora_ga_config", SETTINGS, NULL},
    {"megatron_core", LD_TAKES_STRING | LD_TAKES_NULL, NULL},
    {"merge_weights", LD_TAKES_FLAG | LD_TAKES_NULL, NULL},
    {"modules_to_save", LD_TAKES_STRINGS | LD_TAKES_NULL, NULL},
    {"peft_type", LD_TAKES_STRING, NULL},
    {"peft_version", LD_TAKES_STRING | LD_TAKES_NULL, NULL},
    {"qalora_group_size", LD_TAKES_INTEGER | LD_TAKES_NULL, NULL},
    {"r", LD_TAKES_INTEGER, NULL},
    {"rank_pattern", LD_TAKES_MAP, NULL},
    {"revision", LD_TAKES_STRING | LD_TAKES_NULL, NULL},
    {"target_modules", NAMES, NULL},
    {"task_type", LD_TAKES_STRING | LD_TAKES_NULL, NULL},
    {"use_rslora", LD_TAKES_FLAG, NULL},
    {NULL, 0, NULL},
};

/* PEFT ignores it, with a warning. */
#define IGNORED "runtime_config"

/* Features of PEFT that this program lacks: refused unless null or false. */
static const ld_key features[] = {
    {"alora_invocation_tokens", LD_TAKES_INTEGERS | LD_TAKES_NULL, NULL},
    {"arrow_config", SETTINGS, NULL},
    {"ensure_weight_tying", LD_TAKES_FLAG | LD_TAKES_NULL, NULL},
    {"kasa_config", SETTINGS, NULL},
    {"layer_replication", LD_TAKES_LISTS | LD_TAKES_NULL, NULL},
    {"lora_bias", LD_TAKES_FLAG | LD_TAKES_NULL, NULL},
    {"megatron_config", SETTINGS, NULL},
    {"monteclora_config", SETTINGS, NULL},
    {"target_parameters", LD_TAKES_STRINGS | LD_TAKES_NULL, NULL},
    {"trainable_token_indices", LD_TAKES_INTEGERS | LD_TAKES_MAP | LD_TAKES_NULL, NULL},
    {"use_bdlora", SETTINGS, NULL},
    {"use_dora", LD_TAKES_FLAG | LD_TAKES_NULL, NULL},
    {"use_qalora", LD_TAKES_FLAG | LD_TAKES_NULL, NULL},
    {"velora_config", SETTINGS, NULL},
    {NULL, 0, NULL},
};

static bool is_off(const ld_value *value) {
  return value->type == LD_NULL || (value->type == LD_BOOLEAN && !value->boolean);
}

/* A key of a newer PEFT, of other software, or misspelt. A flag that is on, a list or a map may ask for
 * anything. */
static int check_unknown(const ld_value *field, const char *name, ld_error *err) {
  const bool holds_more = field->n_items > 0;
  if (is_off(field)) return 0;
  if (field->type == LD_BOOLEAN || holds_more)
    return ld_fail(err, LD_EUNSUPPORTED,
                   "%s: %s is an unknown key, and it %s: remove it, or set it to "
                   "null, if the adapter does not depend on it",
                   name, field->key,
                   holds_more ? field->type == LD_MAP ? "holds a map" : "holds a list" : "is on");
  ld_warn("%s: %s is an unknown key, and is ignored, as by PEFT", name, field->key);
  return 0;
}

static int check_field(const ld_value *field, const ld_adapter_form *const *forms, const char *name,
                       ld_error *err) {
  for (int i = 0; forms[i]; i++)
    if (forms[i]->flag && !strcmp(forms[i]->flag, field->key)) return 0;
  if (ld_keys_have(features, field->key))
    return is_off(field) ? 0
                         : ld_fail(err, LD_EUNSUPPORTED,
                                   "%s: %s is on, which is not supported: " LD_PEFT_MERGE, name, field->key);
  if (ld_keys_have(known, field->key) || !strcmp(field->key, IGNORED)) return 0;
  return check_unknown(field, name, err);
}

const ld_adapter_form *ld_peft_config_form(const ld_value *config, const ld_adapter_form *const *forms) {
  const ld_adapter_form *plain = NULL;
  for (int i = 0; forms[i]; i++) {
    const ld_value *flag = forms[i]->flag ? ld_value_get(config, forms[i]->flag) : NULL;
    if (flag && !is_off(flag)) return forms[i];
    if (!forms[i]->flag) plain = forms[i];
  }
  return plain;
}

static int check_task(const ld_value *config, const char *name, ld_error *err) {
  static const char *const tasks[] = {"SEQ_CLS",   "SEQ_2_SEQ_LM", "CAUSAL_LM",
                                      "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"};
  const ld_value *task = ld_value_get(config, "task_type");
  if (!task) return 0;
  for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
    if (!strcmp(tasks[i], task->string)) return 0;
  return ld_fail(err, LD_EFORMAT, "%s: task_type: PEFT knows no task '%s'", name, task->string);
}

/* Initialisations that leave the base as it is; the others (PiSSA, OLoRA, ...) make the saved tensors
 * meaningless without the changed base. */
static int check_init(const ld_value *config, const char *name, ld_error *err) {
  static const char *const harmless[] = {"gaussian", "eva", "orthogonal"};
  const ld_value *init = ld_value_get(config, "init_lora_weights");
  if (!init || init->type != LD_STRING) return 0;
  for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
    if (strcmp(init->string, harmless[i]) == 0) return 0;
  return ld_fail(err, LD_EUNSUPPORTED,
                 "%s: init_lora_weights: '%s' changes the base model; save the adapter again with "
                 "path_initial_model_for_weight_conversion",
                 name, init->string);
}

/* Layers can be chosen only with a list of targets. */
static int check_layers(const ld_value *config, const char *name, ld_error *err) {
  const ld_value *layers = ld_value_get(config, "layers_to_transform");
  const ld_value *pattern = ld_value_get(config, "layers_pattern");
  const ld_value *targets = ld_value_get(config, "target_modules");
  const bool has_pattern = pattern && (pattern->n_items || (pattern->string && *pattern->string));
  const char *key = layers ? "layers_to_transform" : "layers_pattern";
  if (targets && targets->type == LD_STRING && (layers || pattern))
    return ld_fail(err, LD_EFORMAT, "%s: %s needs a list in target_modules, not a string", name, key);
  if (has_pattern && !layers)
    return ld_fail(err, LD_EFORMAT, "%s: layers_pattern needs layers_to_transform", name);
  return 0;
}

int ld_peft_config_check(const ld_value *config, const ld_adapter_form *const *forms, const char *name,
                         ld_error *err) {
  const char *type, *bias;
  if (config->type != LD_MAP) return ld_fail(err, LD_EFORMAT, "%s: expected a JSON object", name);
  int rc = ld_keys_check(config, known, err);
  if (!rc) rc = ld_keys_check(config, features, err);
  if (!rc) rc = ld_value_string(config, "peft_type", "(none)", &type, err);
  if (!rc) rc = ld_value_string(config, "bias", "none", &bias, err);
  if (rc) return ld_fail_prefix(err, rc, "%s", name);
  if (strcmp(type, "LORA") != 0)
    return ld_fail(err, LD_EUNSUPPORTED, "%s: peft_type: '%s' is not supported", name, type);
  if (strcmp(bias, "none") != 0)
    return ld_fail(err, LD_EUNSUPPORTED, "%s: bias: '%s' is not supported: " LD_PEFT_MERGE, name, bias);
  for (size_t i = 0; i < config->n_items && !rc; i++) rc = check_field(&config->items[i], forms, name, err);
  if (!rc) rc = check_task(config, name, err);
  if (!rc) rc = check_layers(config, name, err);
  return rc ? rc : check_init(config, name, err);
}

/* By PEFT's rule for a list of names, or for a string, which is a regular expression for the whole path. */
static int is_named(const ld_value *names, const char *path, const char *key, bool *named, ld_error *err) {
  *named = false;
  if (names->type == LD_STRING) return ld_peft_match(names->string, path, key, named, err);
  for (size_t i = 0; i < names->n_items && !*named; i++)
    *named = ld_peft_selects(names->items[i].string, path);
  return 0;
}

/* Modules in modules_to_save, or inside one, are trained in full and get no LoRA. */
static int is_saved(const ld_value *config, const char *path, bool *saved, ld_error *err) {
  const ld_value *names = ld_value_get(config, "modules_to_save"), *task = ld_value_get(config, "task_type");
  char *inside = ld_format("%s.", path);
  *saved = ld_peft_wraps_head(task ? task->string : NULL, inside);
  free(inside);
  int rc = 0;
  for (size_t i = 0; names && i < names->n_items && !*saved && !rc; i++) {
    char *pattern = ld_format("(^|.*\\.)%s($|\\..*)", names->items[i].string);
    rc = ld_peft_match(pattern, path, FILE_NAME ": modules_to_save", saved, err);
    free(pattern);
  }
  return rc;
}

/* The number of the layer in a path, by the first pattern that matches; -1 for none. */
static int layer_of(const ld_value *pattern, const char *path, int *layer, ld_error *err) {
  const bool list = pattern && pattern->type == LD_LIST;
  const size_t n = list ? pattern->n_items : pattern && *pattern->string ? 1 : 0;
  bool found = false;
  int rc = 0;
  *layer = -1;
  if (!n) return ld_peft_layer(NULL, path, FILE_NAME ": layers_to_transform", &found, layer, err);
  for (size_t i = 0; i < n && !found && !rc; i++)
    rc = ld_peft_layer(list ? pattern->items[i].string : pattern->string, path, FILE_NAME ": layers_pattern",
                       &found, layer, err);
  return rc;
}

static bool has_integer(const ld_value *value, int64_t wanted) {
  if (value->type == LD_INTEGER) return value->integer == wanted;
  for (size_t i = 0; i < value->n_items; i++)
    if (value->items[i].integer == wanted) return true;
  return false;
}

/* A module that the list names exactly is selected whatever its layer. */
static int is_in_layers(const ld_value *config, const char *path, bool *in, ld_error *err) {
  const ld_value *layers = ld_value_get(config, "layers_to_transform");
  const ld_value *targets = ld_value_get(config, "target_modules");
  int layer;
  *in = !layers || (layers->type == LD_LIST && !layers->n_items);
  for (size_t i = 0; targets && i < targets->n_items && !*in; i++)
    *in = !strcmp(targets->items[i].string, path);
  if (*in) return 0;
  const int rc = layer_of(ld_value_get(config, "layers_pattern"), path, &layer, err);
  *in = layer >= 0 && has_integer(layers, layer);
  return rc;
}

int ld_peft_config_selects(const ld_value *config, const char *path, const char *name, bool *selected,
                           ld_error *err) {
  const ld_value *targets = ld_value_get(config, "target_modules");
  const ld_value *excluded = ld_value_get(config, "exclude_modules");
  bool out = false;
  int rc = is_saved(config, path, &out, err);
  if (!rc && excluded && !out) rc = is_named(excluded, path, FILE_NAME ": exclude_modules", &out, err);
  *selected = !rc && !out;
  if (rc || out) return rc ? ld_fail_prefix(err, rc, "%s", name) : 0;
  if (targets && targets->type == LD_STRING && !strcasecmp(targets->string, "all-linear")) {
    *selected = strcmp(path, "lm_head") != 0;
    return 0;
  }
  if (targets) rc = is_named(targets, path, FILE_NAME ": target_modules", selected, err);
  if (!rc && *selected && (!targets || targets->type == LD_LIST))
    rc = is_in_layers(config, path, selected, err);
  return rc ? ld_fail_prefix(err, rc, "%s", name) : 0;
}

static int check_rank(int64_t rank, const char *key, const char *name, ld_error *err) {
  if (rank >= 1 && rank <= LD_MOST_RANK) return 0;
  return ld_fail(err, LD_EFORMAT, "%s: %s: %" PRId64 " is not a rank", name, key, rank);
}

int ld_peft_config_common(const ld_value *config, const char *name, ld_adapter *a, ld_error *err) {
  int64_t rank;
  int rc = ld_value_int(config, "r", 8, &rank, err);
  if (!rc) rc = ld_value_real(config, "lora_alpha", 8, &a->alpha, err);
  if (!rc) rc = ld_value_real(config, "lora_dropout", 0, &a->dropout, err);
  if (!rc) rc = ld_value_bool(config, "use_rslora", false, &a->rslora, err);
  if (!rc) rc = ld_value_bool(config, "fan_in_fan_out", false, &a->fan_in_fan_out, err);
  if (rc) return ld_fail_prefix(err, rc, "%s", name);
  rc = check_rank(rank, "r", name, err);
  a->rank = rc ? 0 : (int)rank;
  return rc;
}

/* The member of rank_pattern or alpha_pattern for this path, which must have a type of the common key; NULL
 * when there is none. */
static int find_pattern(const ld_value *config, const char *key, unsigned takes, const char *path,
                        const ld_value **found, ld_error *err) {
  const ld_value *map = ld_value_get(config, key);
  int rc = ld_peft_pattern(map, path, key, found, err);
  if (!rc && *found) rc = ld_keys_check(map, (ld_key[]){{(*found)->key, takes, NULL}, {0}}, err);
  return rc && *found ? ld_fail_prefix(err, rc, "%s", key) : rc;
}

int ld_peft_config_module(const ld_value *config, const ld_adapter *common, const char *path,
                          const char *name, ld_adapter_module *module, ld_error *err) {
  const ld_value *rank = NULL, *alpha = NULL;
  int rc = find_pattern(config, "rank_pattern", LD_TAKES_INTEGER, path, &rank, err);
  if (!rc) rc = find_pattern(config, "alpha_pattern", LD_TAKES_NUMBER, path, &alpha, err);
  if (rc) return ld_fail_prefix(err, rc, "%s", name);
  const int64_t value = rank ? rank->integer : common->rank;
  module->alpha = alpha ? alpha->real : common->alpha;
  rc = check_rank(value, "rank_pattern", name, err);
  module->rank = rc ? 0 : (int)value;
  return rc;
}
