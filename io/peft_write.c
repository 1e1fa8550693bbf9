#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "io/adapter.h"
#include "io/file.h"
#include "io/json.h"
#include "io/adapter_labels.h"
#include "io/peft_pattern.h"
#include "io/peft_saved.h"
#include "io/safetensors.h"

/* The modules by name: what is adapted and what is not. */
typedef struct chooser {
  const ld_adapter *adapter;
  const char **others; /* of all_modules, those that are not adapted */
  size_t n_others;
  const char **targets;
  size_t n_targets;
} chooser;

static int by_string(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void set_others(chooser *c, const char *const *all, size_t n_all) {
  const size_t n = c->adapter->n_modules;
  const char **adapted = ld_alloc(n, sizeof *adapted);
  for (size_t i = 0; i < n; i++) adapted[i] = c->adapter->modules[i].path;
  qsort(adapted, n, sizeof *adapted, by_string);
  c->others = ld_alloc(n_all, sizeof *c->others);
  for (size_t i = 0; i < n_all; i++)
    if (!bsearch(&all[i], adapted, n, sizeof *adapted, by_string)) c->others[c->n_others++] = all[i];
  free(adapted);
}

static bool selects_other(const chooser *c, const char *target) {
  for (size_t i = 0; i < c->n_others; i++)
    if (ld_peft_selects(target, c->others[i])) return true;
  return false;
}

/* Whether the part of a path that begins here is a number, a layer's as a rule. */
static bool is_number(const char *part) {
  const size_t digits = strspn(part, "0123456789");
  return digits > 0 && (part[digits] == '.' || !part[digits]);
}

/* The shortest suffix that selects no other module; the full path where a layer's number would be in it; NULL
 * when not even that selects this module alone. */
static const char *shortest_target(const chooser *c, const char *path, bool full) {
  for (const char *suffix = path + strlen(path); suffix > path && !full;) {
    suffix--;
    while (suffix > path && suffix[-1] != '.') suffix--;
    full = is_number(suffix);
    if (!full && !selects_other(c, suffix)) return suffix;
    if (suffix > path) suffix--;
  }
  return selects_other(c, path) ? NULL : path;
}

static bool has_target(const chooser *c, const char *target) {
  for (size_t i = 0; i < c->n_targets; i++)
    if (strcmp(c->targets[i], target) == 0) return true;
  return false;
}

/* Fills `targets`; false when no list can select just these modules. */
static bool choose_targets(chooser *c, bool full) {
  c->targets = ld_alloc(c->adapter->n_modules, sizeof *c->targets);
  for (size_t i = 0; i < c->adapter->n_modules; i++) {
    const char *target = shortest_target(c, c->adapter->modules[i].path, full);
    if (!target) return false;
    if (!has_target(c, target)) c->targets[c->n_targets++] = target;
  }
  return true;
}

static void put_escaped(ld_text *out, const char *path) {
  for (; *path; path++) {
    if (strchr(".^$*+?{}[]\\|()", *path)) ld_text_puts(out, "\\");
    ld_text_append(out, path, 1);
  }
}

/* A string is a regular expression for the whole path. */
static void put_target_pattern(ld_text *out, const ld_adapter *adapter) {
  ld_text pattern = {0};
  for (size_t i = 0; i < adapter->n_modules; i++) {
    if (i) ld_text_puts(&pattern, "|");
    put_escaped(&pattern, adapter->modules[i].path);
  }
  ld_json_quote(out, pattern.bytes);
  ld_text_free(&pattern);
}

static void put_list(ld_text *out, const char *const *items, size_t n) {
  ld_text_puts(out, "[");
  for (size_t i = 0; i < n; i++) {
    ld_text_puts(out, i ? ",\n    " : "\n    ");
    ld_json_quote(out, items[i]);
  }
  ld_text_puts(out, n ? "\n  ]" : "]");
}

static void put_targets(ld_text *out, const ld_adapter *adapter, const char *const *all, size_t n_all) {
  if (!adapter->n_modules) {
    ld_text_puts(out, "\"" LD_PEFT_NO_TARGET "\"");
    return;
  }
  chooser c = {.adapter = adapter};
  set_others(&c, all, n_all);
  if (choose_targets(&c, n_all == 0))
    put_list(out, c.targets, c.n_targets);
  else
    put_target_pattern(out, adapter);
  free(c.targets);
  free(c.others);
}

/* Whether the bare path `key`, taken as PEFT's regular expression, matches `path` too: a dot is any character
 * there. */
static bool also_matches(const char *key, const char *path) {
  const size_t k = strlen(key), p = strlen(path);
  if (k > p || (k < p && path[p - k - 1] != '.')) return false;
  for (size_t i = 0; i < k; i++)
    if (key[i] != '.' && key[i] != path[p - k + i]) return false;
  return true;
}

/* Bare paths are what every PEFT understands as keys; where one would match another module too, or holds a
 * sign with a meaning, it is escaped and tied to the start. */
static void put_pattern_key(ld_text *out, const ld_adapter *adapter, const ld_adapter_module *module) {
  bool bare = !strpbrk(module->path, "^$*+?{}[]\\|()");
  for (size_t i = 0; i < adapter->n_modules && bare; i++)
    bare = &adapter->modules[i] == module || !also_matches(module->path, adapter->modules[i].path);
  ld_text key = {0};
  if (bare)
    ld_text_puts(&key, module->path);
  else {
    ld_text_puts(&key, "^");
    put_escaped(&key, module->path);
  }
  ld_json_quote(out, key.bytes);
  ld_text_free(&key);
}

static void put_patterns(ld_text *out, const ld_adapter *adapter, bool ranks) {
  size_t n = 0;
  ld_text_puts(out, "{");
  for (size_t i = 0; i < adapter->n_modules; i++) {
    const ld_adapter_module *m = &adapter->modules[i];
    if (ranks ? m->rank == adapter->rank : m->alpha == adapter->alpha) continue;
    ld_text_puts(out, n++ ? ",\n    " : "\n    ");
    put_pattern_key(out, adapter, m);
    ld_text_puts(out, ": ");
    ld_json_number(out, ranks ? m->rank : m->alpha);
  }
  ld_text_puts(out, n ? "\n  }" : "}");
}

static void put_string_or_null(ld_text *out, const char *string) {
  if (string)
    ld_json_quote(out, string);
  else
    ld_text_puts(out, "null");
}

static const char *true_or_false(bool value) {
  return value ? "true" : "false";
}

/* Only fields that every PEFT knows: older ones refuse what they do not. */
static void put_config(ld_text *out, const ld_adapter *a, const ld_peft_saved *saved, const char *const *all,
                       size_t n_all) {
  ld_text_puts(out, "{\n  \"alpha_pattern\": ");
  put_patterns(out, a, false);
  ld_text_puts(out, ",\n  \"base_model_name_or_path\": ");
  put_string_or_null(out, a->base_name);
  ld_text_printf(out, ",\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": %s", true_or_false(a->fan_in_fan_out));
  ld_text_puts(out, ",\n  \"inference_mode\": true,\n  \"init_lora_weights\": true");
  ld_text_puts(out, ",\n  \"layers_pattern\": null,\n  \"layers_to_transform\": null,\n  \"lora_alpha\": ");
  ld_json_number(out, a->alpha);
  ld_text_puts(out, ",\n  \"lora_dropout\": ");
  ld_json_number(out, a->dropout);
  ld_text_puts(out, ",\n  \"modules_to_save\": ");
  if (saved->n)
    put_list(out, (const char *const *)saved->names, saved->n);
  else
    ld_text_puts(out, "null");
  ld_text_printf(
      out, ",\n  \"peft_type\": \"LORA\",\n  \"r\": %d,\n  \"rank_pattern\": ", a->rank > 0 ? a->rank : 1);
  put_patterns(out, a, true);
  ld_text_puts(out, ",\n  \"revision\": null,\n  \"target_modules\": ");
  put_targets(out, a, all, n_all);
  ld_text_puts(out, ",\n  \"task_type\": ");
  put_string_or_null(out, saved->task_type);
  ld_text_printf(out, ",\n  \"use_dora\": false,\n  \"use_rslora\": %s\n}\n", true_or_false(a->rslora));
}

static bool is_counter(const ld_adapter_full *full) {
  static const char end[] = ".num_batches_tracked";
  const size_t length = strlen(full->path);
  return full->ndim == 0 && length >= sizeof end && strcmp(full->path + length - (sizeof end - 1), end) == 0;
}

/* A convolution's A has the kernel, its B is 1 x 1. */
static ld_named lora_tensor(const ld_adapter_module *m, bool is_A) {
  const int64_t A[] = {m->rank, ld_adapter_channels(m), m->kernel[0], m->kernel[1]},
                B[] = {m->out, m->rank, 1, 1};
  ld_named named = {.name = ld_format("base_model.model.%s.lora_%c.weight", m->path, is_A ? 'A' : 'B'),
                    .tensor = {.data = is_A ? m->A : m->B, .dtype = LD_F32, .ndim = m->kernel[0] ? 4 : 2}};
  memcpy(named.tensor.shape, is_A ? A : B, sizeof A);
  return named;
}

static ld_named full_tensor(const ld_adapter_full *full, int64_t *counter) {
  ld_named named = {.name = ld_format("base_model.model.%s", full->path),
                    .tensor = {.data = full->data, .dtype = LD_F32, .ndim = full->ndim}};
  memcpy(named.tensor.shape, full->shape, sizeof named.tensor.shape);
  if (is_counter(full)) {
    *counter = (int64_t)full->data[0];
    named.tensor.data = counter;
    named.tensor.dtype = LD_I64;
  }
  return named;
}

static int write_tensors(const char *path, const ld_adapter *a, ld_error *err) {
  const size_t n = 2 * a->n_modules + a->n_full;
  ld_named *tensors = ld_alloc(n, sizeof *tensors);
  int64_t *counters = ld_alloc(a->n_full, sizeof *counters);
  for (size_t i = 0; i < a->n_modules; i++) {
    const ld_adapter_module *m = &a->modules[i];
    tensors[2 * i] = lora_tensor(m, true);
    tensors[2 * i + 1] = lora_tensor(m, false);
  }
  for (size_t i = 0; i < a->n_full; i++)
    tensors[2 * a->n_modules + i] = full_tensor(&a->full[i], &counters[i]);
  const char *digest = a->base_digest && *a->base_digest ? a->base_digest : NULL;
  const int code =
      ld_safetensors_write_noted(path, tensors, n, digest ? LD_PEFT_BASE_DIGEST : NULL, digest, err);
  for (size_t i = 0; i < n; i++) free((void *)(uintptr_t)tensors[i].name);
  free(counters);
  free(tensors);
  return code;
}

static int write_text(const char *folder, const char *name, const ld_text *text, ld_error *err) {
  char *path = ld_path_join(folder, name);
  const int code = ld_file_write(path, text->bytes, text->length, err);
  free(path);
  return code;
}

bool ld_peft_is_name(const char *name) {
  static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors", "labels.json"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i], name) == 0) return true;
  return false;
}

/* A file of the old folder that the new one lacks would keep it from being replaced. */
static bool has_labels_file(const char *folder) {
  char *place = ld_folder_present(folder), *path = ld_path_join(place, "labels.json");
  const bool there = ld_file_exists(path);
  free(path);
  free(place);
  return there;
}

static int write_labels(const char *part, const char *folder, const ld_adapter *adapter, ld_error *err) {
  if (!adapter->n_labels && !has_labels_file(folder)) return 0;
  ld_text labels = {0};
  ld_adapter_labels_put_map(&labels, adapter->labels, adapter->n_labels);
  const int code = write_text(part, "labels.json", &labels, err);
  ld_text_free(&labels);
  return code;
}

static int write_files(const char *part, const char *folder, const ld_adapter *adapter, const ld_text *config,
                       ld_error *err) {
  int code = write_text(part, "adapter_config.json", config, err);
  if (!code) code = write_labels(part, folder, adapter, err);
  if (code) return code;
  char *path = ld_path_join(part, "adapter_model.safetensors");
  code = write_tensors(path, adapter, err);
  free(path);
  return code;
}

/* The names come first: their error says more than that of a label too few in half a head. */
static int check(const ld_adapter *adapter, const char *const *all_modules, size_t n_all_modules,
                 const char *name, ld_peft_saved *saved, ld_error *err) {
  int code = ld_peft_saved_choose(adapter, all_modules, n_all_modules, name, saved, err);
  if (!code) code = ld_adapter_check(adapter, name, err);
  if (!code && !adapter->n_modules && !adapter->n_full)
    code = ld_fail(err, LD_EMISMATCH, "%s: the adapter is empty", name);
  return code;
}

int ld_peft_check(const ld_adapter *adapter, const char *const *all_modules, size_t n_all_modules,
                  const char *name, ld_error *err) {
  ld_peft_saved saved;
  const int code = check(adapter, all_modules, n_all_modules, name, &saved, err);
  ld_peft_saved_free(&saved);
  return code;
}

int ld_peft_write(const char *folder, const ld_adapter *adapter, const char *const *all_modules,
                  size_t n_all_modules, ld_error *err) {
  ld_peft_saved saved;
  ld_text config = {0};
  char *part = NULL;
  int code = check(adapter, all_modules, n_all_modules, folder, &saved, err);
  if (!code && !(part = ld_folder_begin(folder, err))) code = err ? err->code : LD_EFILE;
  if (!code) {
    put_config(&config, adapter, &saved, all_modules, n_all_modules);
    code = ld_folder_end(part, folder, write_files(part, folder, adapter, &config, err), err);
  }
  ld_text_free(&config);
  ld_peft_saved_free(&saved);
  return code;
}
