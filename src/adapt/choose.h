/* Which modules are trained, by name.
 */
#ifndef LD_CHOOSE_H
#define LD_CHOOSE_H

#include "adapt/params.h"
#include "base/error.h"
#include "model/model.h"

/* Lists are comma-separated; NULL is the model's default, "none" nothing. */
typedef struct ld_selection {
  const char
      *targets; /* modules that take an adapter: the path of each, or its end after a dot, or "all-linear" */
  const char *whole; /* modules that are trained in full: as in PEFT's modules_to_save */
  bool texts;        /* and the model's text_targets */
  ld_choice like;    /* kind, rank, alpha and scaling of the adapters */
} ld_selection;

/* The modules that PEFT would adapt for the targets, in the model's order, followed by those that are trained
 * in full, which always include new ones. "all-linear" means every linear module but the head. LD_EUSAGE,
 * naming it, for a name that matches no module or is in both lists; LD_EUNSUPPORTED for a module that cannot
 * be trained in full (a convolution, a tied head, GPT-2's layers). The caller frees `choices`. */
int ld_choose(const ld_model *model, const ld_selection *selection, ld_choice **choices, size_t *n,
              ld_error *err);

/* Whether one of the targets, as above, names the layer. */
bool ld_is_targeted(const ld_linear *layer, const char *targets);

/* The last name in a module's path, with the one before it if it is a number: "q_proj", "to_out.0". */
const char *ld_module_name(const char *path);

/* The layer of that path; NULL when there is none. */
ld_linear *ld_model_layer(const ld_model *model, const char *path);

#endif
