/* What readers of a single adapter file share, whatever its names: tensors arrive one by one, each with its
 * module and its role; then the modules are completed. For diffusers' and kohya's files. */
#ifndef LD_LORA_FILE_H
#define LD_LORA_FILE_H

#include "io/hub/adapter.h"

/* The role of a scalar tensor with the module's alpha, which is not kept as a tensor. */
#define LD_LORA_ALPHA "alpha"

typedef struct ld_lora_file {
  const char *name; /* for errors */
  const ld_adapter_form *const *forms;
  ld_adapter *adapter; /* being filled */
  ld_error *err;
} ld_lora_file;

/* Adds the tensor `key` of the file. LD_EFORMAT when the module has that role already. */
int ld_lora_put(const ld_lora_file *file, const char *key, const char *path, const char *role,
                const ld_stored *tensor);

/* Whether the file has an alpha for the module; otherwise its alpha is NAN until it is completed. */
bool ld_lora_has_alpha(const ld_adapter_module *module);

/* Gives the module the form whose roles are its tensors. LD_EFORMAT when one is missing. Its rank is that of
 * its lora_A; without an alpha, that is its alpha. */
int ld_lora_complete(const ld_lora_file *file, ld_adapter_module *module);

/* Checks the module, whose rank and alpha are known, and sets its scaling. */
int ld_lora_check(const ld_lora_file *file, ld_adapter_module *module);

/* Sets the adapter's common rank and alpha, those of most modules, and sorts the modules by name with numbers
 * by value. LD_EFORMAT when there is no module. */
int ld_lora_finish(const ld_lora_file *file);

#endif
