/* Writing an adapter as a PEFT folder.
 */
#ifndef LD_PEFT_WRITE_H
#define LD_PEFT_WRITE_H

#include "base/text.h"
#include "io/hub/adapter.h"

/* Writes a PEFT folder (float32) so that a killed run leaves the old one or the new one. An existing folder
 * is replaced only when it holds nothing but these files. Without labels there is no labels.json; if the old
 * folder had one, the new one is empty.
 *
 * target_modules lists for each module the shortest suffix of its path that selects no other of `all_modules`
 * (all linear modules of the base) by PEFT's rule, or the full path where the suffix would need a layer's
 * number; without `all_modules` (n_all_modules 0), full paths. Where no list works, it is a regular
 * expression. Modules with another rank or alpha go into rank_pattern and alpha_pattern. An adapter whose
 * modules are all trained in full gets the target that PEFT (0.21 at least) lets match nothing.
 *
 * modules_to_save lists the modules that hold the full tensors. A classification head goes by its first name
 * ("classifier" for "classifier.dense.weight"), since PEFT adds that one itself. LD_EUNSUPPORTED for what
 * PEFT cannot load. It applies a name to all modules that end in it, so a "classifier" trained in full with a
 * "pre_classifier" that is not is refused; so is LoRA within a module that is saved in full. Classification
 * task types are left out when no head was trained in full, since PEFT requires one with them. */
int ld_peft_write(const char *folder, const ld_adapter *adapter, const ld_adapter_form *const *forms,
                  const char *const *all_modules, size_t n_all_modules, ld_error *err);

/* Appends the members of adapter_config.json, each key after `prefix` ("unet."), to an object that has just
 * begun ("{\n") or has members already. Modules are named by their full paths. `name` stands for the file. */
int ld_peft_put_config(ld_text *out, const char *prefix, const ld_adapter *adapter,
                       const ld_adapter_form *const *forms, const char *name, ld_error *err);

/* Checks in advance what ld_peft_write would refuse, before there is anything worth writing; `name` stands
 * for the folder. */
int ld_peft_check(const ld_adapter *adapter, const char *const *all_modules, size_t n_all_modules,
                  const char *name, ld_error *err);

#endif
