/* adapter_config.json, as PEFT (0.21) reads it: for the PEFT reader, and for putting its adapters on a base. */
#ifndef LD_PEFT_CONFIG_H
#define LD_PEFT_CONFIG_H

#include <stdbool.h>

#include "base/error.h"
#include "base/value.h"
#include "io/hub/adapter.h"

/* The remedy for an adapter that holds more than this program supports. */
#define LD_PEFT_MERGE "merge the adapter by PEFT's merge_and_unload, and give the folder as --model"

/* Checks a config. LD_EFORMAT for a value of another type than PEFT takes; LD_EUNSUPPORTED for anything that
 * would change the numbers and is not known here, neither as a key nor as a flag of one of the forms. Warns
 * of keys that PEFT does not know and ignores. `name` is the file: "DIR: adapter_config.json". */
int ld_peft_config_check(const ld_value *config, const ld_adapter_form *const *forms, const char *name,
                         ld_error *err);

/* The form whose flag is on in a checked config, else the one without a flag. */
const ld_adapter_form *ld_peft_config_form(const ld_value *config, const ld_adapter_form *const *forms);

/* Whether PEFT puts LoRA on the module `path`, by target_modules, exclude_modules, layers_to_transform,
 * layers_pattern, modules_to_save and the task type of a checked config. Without target_modules, which then
 * depend on the model's family, it counts as selected. */
int ld_peft_config_selects(const ld_value *config, const char *path, const char *name, bool *selected,
                           ld_error *err);

/* Fills the adapter's common rank, alpha and dropout, and its flags, from a checked config. `name` is the
 * file. */
int ld_peft_config_common(const ld_value *config, const char *name, ld_adapter *adapter, ld_error *err);

/* The rank and alpha of the module at `path`: those of the patterns, or else the common ones. */
int ld_peft_config_module(const ld_value *config, const ld_adapter *common, const char *path,
                          const char *name, ld_adapter_module *module, ld_error *err);

#endif
