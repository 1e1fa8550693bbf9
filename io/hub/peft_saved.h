/* PEFT's modules_to_save, the modules trained in full. Only for the PEFT reader and writer.
 *
 * When PEFT (0.21) loads an adapter, it wraps every module whose path ends in one of the names (dots are not
 * treated as separators). Each tensor of a wrapped module must be in the file, and no LoRA is put inside it.
 * With a task type of classification it adds the names "classifier" and "score" itself. */
#ifndef LD_PEFT_SAVED_H
#define LD_PEFT_SAVED_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "io/hub/adapter.h"

/* The key of the base's digest in the metadata of adapter_model.safetensors; PEFT ignores it. */
#define LD_PEFT_BASE_DIGEST "base_digest"
#define LD_PEFT_PROBLEM                                                                                      \
  "problem_type" /* likewise: transformers', where it is not told by the number of outputs */

typedef struct ld_peft_saved {
  char **names; /* for modules_to_save */
  size_t n;
  const char *task_type; /* to write: the adapter's, or NULL */
} ld_peft_saved;

/* Whether PEFT, given this name, wraps a module above the parameter `path`. */
bool ld_peft_wraps(const char *name, const char *path);

/* The same for this task type without a name. */
bool ld_peft_wraps_head(const char *task_type, const char *path);

/* The names for the modules that are trained in full; LD_EUNSUPPORTED where PEFT would also wrap other
 * modules of the adapter or of `all_modules`. `saved` must be freed even then. */
int ld_peft_saved_choose(const ld_adapter *adapter, const char *const *all_modules, size_t n_all_modules,
                         const char *folder, ld_peft_saved *saved, ld_error *err);

void ld_peft_saved_free(ld_peft_saved *saved);

#endif
