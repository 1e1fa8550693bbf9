#include "io/hub/peft_write.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "io/file.h"
#include "io/hub/adapter_labels.h"
#include "io/hub/peft_pattern.h"
#include "io/hub/peft_saved.h"
#include "io/hub/safetensors.h"
#include "io/json.h"

/* The modules by name: the adapted ones, and the others. */
typedef struct chooser {
  const char **adapted; /* in the adapter's order */
  size_t n_adapted;
  const char **others; /* those of all_modules that are not adapted */
  size_t n_others;
  const char **targets;
  size_t n_targets;
} chooser;

static int by_string(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void set_modules(chooser *c, const ld_adapter *adapter, const char *const *all, size_t n_all) {
  c->adapted = ld_alloc(adapter->n_modules, sizeof *c->adapted);
  c->others = ld_alloc(n_all, sizeof *c->others);
  for (size_t i = 0; i < adapter->n_modules; i++)
    if (!ld_adapter_is_whole(&adapter->modules[i])) c->adapted[c->n_adapted++] = adapter->modules[i].path;
  const char **sorted = ld_alloc(c->n_adapted, sizeof *sorted);
  if (c->n_adapted) memcpy(sorted, c->adapted, c->n_adapted * sizeof *sorted);
  qsort(sorted, c->n_adapted, sizeof *sorted, by_string);
  for (size_t i = 0; i < n_all; i++)
    if (!bsearch(&all[i], sorted, c->n_adapted, sizeof *sorted, by_string)) c->others[c->n_others++] = all[i];
  free(sorted);
}

static bool selects_other(const chooser *c, const char *target) {
  for (size_t i = 0; i < c->n_others; i++)
    if (ld_peft_selects(target, c->others[i])) return true;
  return false;
}

/* Whether the part of a path that begins here is a number, usually a layer's. */
static bool is_number(const char *part) {
  const size_t digits = strspn(part, "0123456789");
  return digits > 0 && (part[digits] == '.' || !part[digits]);
}

/* The shortest suffix that selects no other module; the full path where the suffix would contain a layer's
 * number; NULL when not even that selects this module alone. */
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

/* Fills `targets`; false when no list selects exactly these modules. */
static bool choose_targets(chooser *c, bool full) {
  c->targets = ld_alloc(c->n_adapted, sizeof *c->targets);
  for (size_t i = 0; i < c->n_adapted; i++) {
    const char *target = shortest_target(c, c->adapted[i], full);
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
static void put_target_pattern(ld_text *out, const chooser *c) {
  ld_text pattern = {0};
  for (size_t i = 0; i < c->n_adapted; i++) {
    if (i) ld_text_puts(&pattern, "|");
    put_escaped(&pattern, c->adapted[i]);
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
  chooser c = {0};
  set_modules(&c, adapter, all, n_all);
  if (!c.n_adapted)
    ld_text_puts(out, "\"" LD_PEFT_NO_TARGET "\"");
  else if (choose_targets(&c, n_all == 0))
    put_list(out, c.targets, c.n_targets);
  else
    put_target_pattern(out, &c);
  free(c.targets);
  free(c.others);
  free(c.adapted);
}

/* Whether the bare path `key`, read as PEFT's regular expression, also matches `path`: a dot matches any
 * character. */
static bool also_matches(const char *key, const char *path) {
  const size_t k = strlen(key), p = strlen(path);
  if (k > p || (k < p && path[p - k - 1] != '.')) return false;
  for (size_t i = 0; i < k; i++)
    if (key[i] != '.' && key[i] != path[p - k + i]) return false;
  return true;
}

/* Every version of PEFT accepts bare paths as keys. Where a path would match another module too, or contains
 * a special character, it is escaped and anchored at the start. */
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
    if (ld_adapter_is_whole(m) || (ranks ? m->rank == adapter->rank : m->alpha == adapter->alpha)) continue;
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

/* What goes into a PEFT folder: the adapter, what is derived from it, and how its kind is stored. */
typedef struct writer {
  const char *prefix; /* of the config's keys */
  const ld_adapter *adapter;
  const ld_adapter_form *const *forms;
  const ld_adapter_form *form; /* of all modules that are not trained in full; NULL if there are none */
  const char *const *all;
  size_t n_all;
  ld_peft_saved saved;
} writer;

static void put_key(ld_text *out, const writer *w, const char *key) {
  ld_text_printf(out, "%s  \"%s%s\": ", out->length > 2 ? ",\n" : "", w->prefix, key);
}

static void put_flag(ld_text *out, const writer *w, const char *key, bool value) {
  put_key(out, w, key);
  ld_text_puts(out, value ? "true" : "false");
}

static void put_word(ld_text *out, const writer *w, const char *key, const char *word) {
  put_key(out, w, key);
  put_string_or_null(out, word);
}

static void put_number(ld_text *out, const writer *w, const char *key, double value) {
  put_key(out, w, key);
  ld_json_number(out, value);
}

static void put_flags(ld_text *out, const writer *w) {
  for (int i = 0; w->forms[i]; i++)
    if (w->forms[i]->flag) put_flag(out, w, w->forms[i]->flag, w->forms[i] == w->form);
}

static void put_saved(ld_text *out, const writer *w) {
  put_key(out, w, "modules_to_save");
  if (w->saved.n)
    put_list(out, (const char *const *)w->saved.names, w->saved.n);
  else
    ld_text_puts(out, "null");
}

/* The members of the config, into an object that has just begun, or after others. Only fields that every PEFT
 * knows: older versions refuse unknown ones. */
static void put_members(ld_text *out, const writer *w) {
  const ld_adapter *a = w->adapter;
  put_key(out, w, "alpha_pattern");
  put_patterns(out, a, false);
  put_word(out, w, "base_model_name_or_path", a->base_name);
  put_word(out, w, "bias", "none");
  put_flag(out, w, "fan_in_fan_out", a->fan_in_fan_out);
  put_flag(out, w, "inference_mode", true);
  put_flag(out, w, "init_lora_weights", true);
  put_word(out, w, "layers_pattern", NULL);
  put_word(out, w, "layers_to_transform", NULL);
  put_number(out, w, "lora_alpha", a->alpha);
  put_number(out, w, "lora_dropout", a->dropout);
  put_saved(out, w);
  put_word(out, w, "peft_type", "LORA");
  put_number(out, w, "r", a->rank > 0 ? a->rank : 1);
  put_key(out, w, "rank_pattern");
  put_patterns(out, a, true);
  put_word(out, w, "revision", NULL);
  put_key(out, w, "target_modules");
  put_targets(out, a, w->all, w->n_all);
  put_word(out, w, "task_type", w->saved.task_type);
  put_flags(out, w);
  put_flag(out, w, "use_rslora", a->rslora);
}

static void put_config(ld_text *out, const writer *w) {
  ld_text_puts(out, "{\n");
  put_members(out, w);
  ld_text_puts(out, "\n}\n");
}

static const char *key_of(const ld_adapter_form *form, const char *role) {
  for (int i = 0; form && form->roles[i].role; i++)
    if (!strcmp(form->roles[i].role, role)) return form->roles[i].key;
  return role;
}

/* A counter of batches is an integer in PEFT's file. */
static ld_named named_tensor(const ld_adapter_form *form, const ld_adapter_module *m,
                             const ld_adapter_tensor *t, int64_t *counter) {
  ld_named named = {.name = ld_format("base_model.model.%s.%s", m->path, key_of(form, t->role)),
                    .tensor = {.data = t->data, .dtype = LD_F32, .ndim = t->ndim}};
  memcpy(named.tensor.shape, t->shape, sizeof named.tensor.shape);
  if (t->ndim == 0 && !strcmp(t->role, "num_batches_tracked")) {
    *counter = (int64_t)t->data[0];
    named.tensor.data = counter;
    named.tensor.dtype = LD_I64;
  }
  return named;
}

static int write_tensors(const char *path, const writer *w, ld_error *err) {
  const ld_adapter *a = w->adapter;
  const size_t most = ld_adapter_n_tensors(a);
  ld_named *tensors = ld_alloc(most, sizeof *tensors);
  int64_t *counters = ld_alloc(most, sizeof *counters);
  size_t n = 0;
  for (size_t i = 0; i < a->n_modules; i++) {
    const ld_adapter_module *m = &a->modules[i];
    const ld_adapter_form *form = ld_adapter_is_whole(m) ? NULL : w->form;
    for (size_t k = 0; k < m->n_tensors; k++, n++)
      tensors[n] = named_tensor(form, m, &m->tensors[k], &counters[n]);
  }
  const char *digest = a->base_digest && *a->base_digest ? a->base_digest : NULL;
  const ld_note notes[] = {{LD_PEFT_BASE_DIGEST, digest}, {LD_PEFT_PROBLEM, a->problem}};
  const int code = ld_safetensors_write_noted(path, tensors, n, notes, 2, err);
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

/* A file of the old folder that is missing from the new one would keep the old folder from being replaced. */
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

static int write_files(const char *part, const char *folder, const writer *w, ld_error *err) {
  ld_text config = {0};
  put_config(&config, w);
  int code = write_text(part, "adapter_config.json", &config, err);
  ld_text_free(&config);
  if (!code) code = write_labels(part, folder, w->adapter, err);
  if (code) return code;
  char *path = ld_path_join(part, "adapter_model.safetensors");
  code = write_tensors(path, w, err);
  free(path);
  return code;
}

/* One flag holds for all modules. */
static int find_form(writer *w, const char *name, ld_error *err) {
  const char *kind = NULL;
  for (size_t i = 0; i < w->adapter->n_modules; i++) {
    const ld_adapter_module *m = &w->adapter->modules[i];
    if (ld_adapter_is_whole(m)) continue;
    if (kind && strcmp(kind, m->kind) != 0)
      return ld_fail(err, LD_EUNSUPPORTED,
                     "%s: holds modules of the kinds %s and %s, but PEFT takes only one kind at a time", name,
                     kind, m->kind);
    kind = m->kind;
  }
  for (int i = 0; kind && w->forms[i]; i++)
    if (!strcmp(w->forms[i]->kind, kind)) w->form = w->forms[i];
  return !kind || w->form ? 0
                          : ld_fail(err, LD_EUNSUPPORTED, "%s: PEFT does not have the kind %s", name, kind);
}

/* The names are checked first, because their error says more than one about a missing label in half a head. */
static int check(writer *w, const char *name, ld_error *err) {
  int code = ld_peft_saved_choose(w->adapter, w->all, w->n_all, name, &w->saved, err);
  if (!code) code = ld_adapter_check(w->adapter, name, err);
  if (!code && !w->adapter->n_modules) code = ld_fail(err, LD_EMISMATCH, "%s: the adapter is empty", name);
  return code;
}

int ld_peft_check(const ld_adapter *adapter, const char *const *all_modules, size_t n_all_modules,
                  const char *name, ld_error *err) {
  writer w = {.adapter = adapter, .all = all_modules, .n_all = n_all_modules};
  const int code = check(&w, name, err);
  ld_peft_saved_free(&w.saved);
  return code;
}

int ld_peft_put_config(ld_text *out, const char *prefix, const ld_adapter *adapter,
                       const ld_adapter_form *const *forms, const char *name, ld_error *err) {
  writer w = {.prefix = prefix, .adapter = adapter, .forms = forms};
  int code = check(&w, name, err);
  if (!code) code = find_form(&w, name, err);
  if (!code) put_members(out, &w);
  ld_peft_saved_free(&w.saved);
  return code;
}

int ld_peft_write(const char *folder, const ld_adapter *adapter, const ld_adapter_form *const *forms,
                  const char *const *all_modules, size_t n_all_modules, ld_error *err) {
  writer w = {.prefix = "", .adapter = adapter, .forms = forms, .all = all_modules, .n_all = n_all_modules};
  char *part = NULL;
  int code = check(&w, folder, err);
  if (!code) code = find_form(&w, folder, err);
  if (!code && !(part = ld_folder_begin(folder, err))) code = err ? err->code : LD_EFILE;
  if (!code) code = ld_folder_end(part, folder, write_files(part, folder, &w, err), err);
  ld_peft_saved_free(&w.saved);
  return code;
}
