/* Writing an adapter as a PEFT folder.
 */
#ifndef LD_PEFT_WRITE_H
#define LD_PEFT_WRITE_H

#include "io/hub/adapter.h"

/* PEFT folder (float32), written so that a killed run leaves the old one or the new one; an existing folder
 * is replaced only when it holds nothing but these files. Without labels there is no labels.json, or an empty
 * one where one is replaced.
 *
 * target_modules lists for each module the shortest suffix of its path that selects no other of `all_modules`
 * (all linear modules of the base) by PEFT's rule, the full path where that needs a layer's number; without
 * `all_modules` (n_all_modules 0) full paths. Where no list can do it, a regular expression. Modules with
 * another rank or alpha go into rank_pattern and alpha_pattern. An adapter of which all modules are trained in full
 * gets the target that PEFT (0.21 for one) lets match nothing.
 *
 * modules_to_save lists the modules that hold the full tensors; a classification head goes by its first name
 * ("classifier" for "classifier.dense.weight"), as PEFT adds that one itself. LD_EUNSUPPORTED for what PEFT
 * cannot load: it takes a name there for all modules that end in it, so that "classifier" trained whole with
 * a "pre_classifier" that is not is refused, and LoRA within a module that is saved whole. The task types of
 * classification are left out when no head was trained whole, since PEFT demands one with them. */
int ld_peft_write(const char *folder, const ld_adapter *adapter, const ld_adapter_form *const *forms,
                  const char *const *all_modules, size_t n_all_modules, ld_error *err);

/* Whether ld_peft_write may write a file of that name into the folder. */
bool ld_peft_is_name(const char *name);

/* What of this ld_peft_write would refuse, known before there is anything worth writing; `name` stands for the
 * folder. */
int ld_peft_check(const ld_adapter *adapter, const char *const *all_modules, size_t n_all_modules,
                  const char *name, ld_error *err);

#endif
