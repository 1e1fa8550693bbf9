/* lora_dist export and import: convert an adapter between its two forms on disk. */
#include <stdlib.h>
#include <string.h>

#include "adapt/kinds.h"
#include "base/log.h"
#include "base/memory.h"
#include "cmd/command.h"
#include "io/file.h"
#include "io/hub/peft_read.h"
#include "io/hub/peft_write.h"
#include "io/state/checkpoint.h"
#include "job/check.h"
#include "load/base.h"
#include "load/base_adapter.h"
#include "options/run_setting.h"

/* The checks of an adapter that need no base. */
static int check_alone(const ld_adapter *adapter, const char *path, ld_error *err) {
  if (adapter->n_copies)
    ld_warn("%s: its copy of the base's '%s' is left out; whether it is the base's is not known here", path,
            adapter->copies[0].path);
  const int rc = ld_adapter_check_finite(adapter, path, err);
  return rc ? rc : ld_peft_warn_of_gaps(adapter, path, err);
}

/* With the base, module names can be written as PEFT shortens them. The base must be the adapter's, which is
 * checked. */
static int write_for(const char *model, ld_adapter *adapter, const ld_options *options, ld_error *err) {
  ld_base base = {0};
  size_t n = 0;
  int rc = ld_base_open_model(model, &base, err);
  if (!rc) rc = ld_base_adapt(&base, adapter, options->adapter, 0, err);
  const char **paths = rc ? NULL : ld_base_module_paths(&base, &n);
  if (!rc) rc = ld_peft_write(options->out, adapter, ld_adapter_forms(), paths, n, err);
  free(paths);
  ld_base_close(&base);
  return rc;
}

/* The base that export uses: the given one, or else the one that the run records, if it exists. */
static int find_model(const ld_options *options, const ld_adapter *adapter, char **model, ld_error *err) {
  *model = options->model ? ld_strdup(options->model) : NULL;
  if (*model || adapter->base_name) return 0;
  const int rc = ld_run_setting(options->adapter, "model", model, err);
  if (*model && !ld_is_folder(*model)) {
    free(*model);
    *model = NULL;
  }
  return rc;
}

static int run_export(const ld_options *options, const char *path, ld_comm *comm, ld_error *err) {
  (void)path;
  (void)comm;
  ld_adapter *adapter = NULL;
  char *model = NULL;
  int rc = ld_check_new(options, err);
  if (!rc) rc = ld_adapter_load(options->adapter, &adapter, err);
  if (!rc) rc = find_model(options, adapter, &model, err);
  if (!rc && model) ld_adapter_set_base_path(adapter, model);
  if (!rc && model && ld_is_folder(model)) {
    rc = write_for(model, adapter, options, err);
  } else if (!rc) {
    rc = check_alone(adapter, options->adapter, err);
    if (!rc) rc = ld_peft_write(options->out, adapter, ld_adapter_forms(), NULL, 0, err);
  }
  if (!rc) ld_info("%s: %zu modules for PEFT", options->out, adapter->n_modules);
  ld_adapter_free(adapter);
  free(model);
  return rc;
}

static int run_import(const ld_options *options, const char *path, ld_comm *comm, ld_error *err) {
  (void)path;
  (void)comm;
  ld_checkpoint checkpoint = {.config = "{}"};
  int rc = ld_check_new(options, err);
  if (!rc) rc = ld_adapter_load(options->adapter, &checkpoint.adapter, err);
  if (!rc) rc = check_alone(checkpoint.adapter, options->adapter, err);
  if (!rc) rc = ld_checkpoint_write(options->out, &checkpoint, err);
  if (!rc) ld_info("%s: %zu modules", options->out, checkpoint.adapter->n_modules);
  ld_adapter_free(checkpoint.adapter);
  return rc;
}

const ld_command ld_command_export = {
    .name = "export",
    .bit = LD_CMD_EXPORT,
    .summary = "write an adapter as a PEFT folder",
    .about = "Writes an adapter as a PEFT folder.",
    .run = run_export,
};

const ld_command ld_command_import = {
    .name = "import",
    .bit = LD_CMD_IMPORT,
    .summary = "read a PEFT folder into an .h5 file",
    .about = "Writes a PEFT adapter as an HDF5 file.",
    .run = run_import,
};
