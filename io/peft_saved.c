#include "io/peft_saved.h"

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

/* The module to name for this parameter: the one that holds it, but for a classifier of several layers, which
 * PEFT wraps as a whole of its own accord. NULL for a parameter of the model itself. */
static char *module_of(const char *task_type, const char *path) {
  const size_t first = strcspn(path, ".");
  for (size_t i = 0; i < N_HEADS && adds_heads(task_type); i++)
    if (strlen(heads[i]) == first && memcmp(heads[i], path, first) == 0) return ld_strndup(path, first);
  const char *dot = strrchr(path, '.');
  return dot ? ld_strndup(path, (size_t)(dot - path)) : NULL;
}

static int add_names(const ld_adapter *adapter, const char *folder, ld_peft_saved *saved, ld_error *err) {
  saved->names = ld_alloc(adapter->n_full, sizeof *saved->names);
  for (size_t i = 0; i < adapter->n_full; i++) {
    char *name = module_of(saved->task_type, adapter->full[i].path);
    if (!name)
      return ld_fail(err, LD_EUNSUPPORTED, "%s: '%s' is in no module, and PEFT saves modules only", folder,
                     adapter->full[i].path);
    bool known = false;
    for (size_t k = 0; k < saved->n; k++) known = known || strcmp(saved->names[k], name) == 0;
    if (known)
      free(name);
    else
      saved->names[saved->n++] = name;
  }
  return 0;
}

/* The name by which PEFT wraps this module or one above it; NULL when none does. */
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

static bool holds_full(const ld_adapter *adapter, const char *module) {
  const size_t length = strlen(module);
  for (size_t i = 0; i < adapter->n_full; i++)
    if (strncmp(adapter->full[i].path, module, length) == 0 && adapter->full[i].path[length] == '.')
      return true;
  return false;
}

static int check_others(const ld_adapter *adapter, const char *const *all, size_t n_all, const char *folder,
                        const ld_peft_saved *saved, ld_error *err) {
  for (size_t i = 0; i < adapter->n_modules; i++) {
    const char *name = wrapped_by(saved, adapter->modules[i].path);
    if (name)
      return ld_fail(err, LD_EUNSUPPORTED,
                     "%s: PEFT puts no LoRA on '%s', since '%s' is trained in full: name it in one of "
                     "--target and --whole",
                     folder, adapter->modules[i].path, name);
  }
  for (size_t i = 0; i < n_all; i++) {
    const char *name = wrapped_by(saved, all[i]);
    if (name && !holds_full(adapter, all[i]))
      return ld_fail(err, LD_EUNSUPPORTED,
                     "%s: PEFT would take '%s' for a name of '%s' too, which is not trained in full: train "
                     "both in full",
                     folder, name, all[i]);
  }
  return 0;
}

int ld_peft_saved_choose(const ld_adapter *adapter, const char *const *all_modules, size_t n_all_modules,
                         const char *folder, ld_peft_saved *saved, ld_error *err) {
  bool head = false;
  *saved = (ld_peft_saved){.task_type = adapter->task_type};
  for (size_t i = 0; i < adapter->n_full; i++)
    head = head || ld_peft_wraps_head(adapter->task_type, adapter->full[i].path);
  if (!head && adds_heads(adapter->task_type)) saved->task_type = NULL;
  const int code = add_names(adapter, folder, saved, err);
  return code ? code : check_others(adapter, all_modules, n_all_modules, folder, saved, err);
}

void ld_peft_saved_free(ld_peft_saved *saved) {
  ld_names_free(saved->names, saved->n);
}
