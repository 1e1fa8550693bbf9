#include "io/hub/peft_saved.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/file.h"

static const char *const heads[] = {"classifier", "score"};

enum { N_HEADS = sizeof heads / sizeof *heads };

static bool ends_with(const char *text, size_t length, const char *end) {
  const size_t e = strlen(end);
  return e > 0 && e <= length && memcmp(text + length - e, end, e) == 0;
}

bool ld_peft_wraps(const char *name, const char *path) {
  for (size_t length = 0; path[length]; length++)
    if (path[length] == '.' && ends_with(path, length, name)) return true;
  return false;
}

static bool adds_heads(const char *task_type) {
  return task_type && (strcmp(task_type, "SEQ_CLS") == 0 || strcmp(task_type, "TOKEN_CLS") == 0);
}

bool ld_peft_wraps_head(const char *task_type, const char *path) {
  for (size_t i = 0; i < N_HEADS && adds_heads(task_type); i++)
    if (ld_peft_wraps(heads[i], path)) return true;
  return false;
}

/* The name under which a module is saved: its path. The exception is a classifier of several layers, which
 * PEFT wraps as a whole by itself. */
static char *name_of(const char *task_type, const char *path) {
  const size_t first = strcspn(path, ".");
  for (size_t i = 0; i < N_HEADS && adds_heads(task_type); i++)
    if (strlen(heads[i]) == first && memcmp(heads[i], path, first) == 0) return ld_strndup(path, first);
  return ld_strdup(path);
}

static void add_names(const ld_adapter *adapter, ld_peft_saved *saved) {
  saved->names = ld_alloc(adapter->n_modules, sizeof *saved->names);
  for (size_t i = 0; i < adapter->n_modules; i++) {
    if (!ld_adapter_is_whole(&adapter->modules[i])) continue;
    char *name = name_of(saved->task_type, adapter->modules[i].path);
    bool known = false;
    for (size_t k = 0; k < saved->n; k++) known = known || strcmp(saved->names[k], name) == 0;
    if (known)
      free(name);
    else
      saved->names[saved->n++] = name;
  }
}

/* The name by which PEFT wraps this module or one above it; NULL for none. */
static const char *wrapped_by(const ld_peft_saved *saved, const char *module) {
  char *inside = ld_format("%s.", module);
  const char *found = NULL;
  for (size_t i = 0; i < saved->n && !found; i++)
    if (ld_peft_wraps(saved->names[i], inside)) found = saved->names[i];
  for (size_t i = 0; i < N_HEADS && !found && adds_heads(saved->task_type); i++)
    if (ld_peft_wraps(heads[i], inside)) found = heads[i];
  free(inside);
  return found;
}

static int check_others(const ld_adapter *adapter, const char *const *all, size_t n_all, const char *folder,
                        const ld_peft_saved *saved, ld_error *err) {
  for (size_t i = 0; i < adapter->n_modules; i++) {
    const ld_adapter_module *m = &adapter->modules[i];
    const char *name = ld_adapter_is_whole(m) ? NULL : wrapped_by(saved, m->path);
    if (name)
      return ld_fail(err, LD_EUNSUPPORTED,
                     "%s: PEFT puts no LoRA on '%s', since '%s' is trained in full: name it in one of "
                     "--target and --whole",
                     folder, m->path, name);
  }
  for (size_t i = 0; i < n_all; i++) {
    const char *name = wrapped_by(saved, all[i]);
    const ld_adapter_module *m = name ? ld_adapter_module_at(adapter, all[i]) : NULL;
    if (name && !(m && ld_adapter_is_whole(m)))
      return ld_fail(err, LD_EUNSUPPORTED,
                     "%s: PEFT would take '%s' for a name of '%s' too, which is not trained in full: train "
                     "both in full",
                     folder, name, all[i]);
  }
  return 0;
}

static bool wraps_head(const char *task_type, const ld_adapter_module *m) {
  char *inside = ld_format("%s.", m->path);
  const bool wraps = ld_adapter_is_whole(m) && ld_peft_wraps_head(task_type, inside);
  free(inside);
  return wraps;
}

int ld_peft_saved_choose(const ld_adapter *adapter, const char *const *all_modules, size_t n_all_modules,
                         const char *folder, ld_peft_saved *saved, ld_error *err) {
  bool head = false;
  *saved = (ld_peft_saved){.task_type = adapter->task_type};
  for (size_t i = 0; i < adapter->n_modules; i++)
    head = head || wraps_head(adapter->task_type, &adapter->modules[i]);
  if (!head && adds_heads(adapter->task_type)) saved->task_type = NULL;
  add_names(adapter, saved);
  return check_others(adapter, all_modules, n_all_modules, folder, saved, err);
}

void ld_peft_saved_free(ld_peft_saved *saved) {
  ld_names_free(saved->names, saved->n);
}
