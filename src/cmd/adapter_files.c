/* lora_dist export and import: convert an adapter between its forms on disk. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "cmd/command.h"
#include "io/file.h"
#include "io/hub/adapter_formats.h"
#include "io/hub/peft_read.h"
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

/* An adapter that is converted, and its base if that is there. */
typedef struct work {
  ld_base base;
  bool has_base;
  ld_adapter *adapter;
} work;

static void close_work(work *w) {
  if (w->has_base) ld_base_close(&w->base);
  ld_adapter_free(w->adapter);
}

/* Opens the base's folder; a name on a hub is none. */
static int open_base(work *w, const char *model, ld_error *err) {
  if (w->has_base || !model || !ld_is_folder(model)) return 0;
  w->has_base = true;
  return ld_base_open_model(model, &w->base, err);
}

static int load(work *w, const ld_options *options, ld_error *err) {
  int rc = ld_check_new(options, err);
  if (!rc) rc = open_base(w, options->model, err);
  return rc ? rc : ld_adapter_load(options->adapter, w->has_base ? &w->base : NULL, &w->adapter, err);
}

/* The base must be the adapter's. */
static int check(work *w, const ld_options *options, ld_error *err) {
  if (w->has_base) return ld_base_adapt(&w->base, w->adapter, options->adapter, 0, err);
  return check_alone(w->adapter, options->adapter, err);
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

static int write_as(const ld_adapter_format *format, const work *w, const char *out, ld_error *err) {
  const ld_adapter_context context = ld_base_context(w->has_base ? &w->base : NULL);
  const int rc = format->write(out, w->adapter, &context, err);
  free(context.modules);
  return rc;
}

static int run_export(const ld_options *options, const char *path, ld_comm *comm, ld_error *err) {
  (void)path;
  (void)comm;
  work w = {0};
  char *model = NULL;
  int rc = load(&w, options, err);
  if (!rc) rc = find_model(options, w.adapter, &model, err);
  if (!rc && model) ld_adapter_set_base_path(w.adapter, model);
  if (!rc) rc = open_base(&w, model, err);
  if (!rc) rc = check(&w, options, err);
  const ld_adapter_format *format = options->format ? ld_adapter_format_find(options->format)
                                    : rc            ? NULL
                                                    : ld_adapter_format_for(w.adapter);
  if (!rc) rc = write_as(format, &w, options->out, err);
  if (!rc) ld_info("%s: %zu modules for %s", options->out, w.adapter->n_modules, format->title);
  close_work(&w);
  free(model);
  return rc;
}

static int run_import(const ld_options *options, const char *path, ld_comm *comm, ld_error *err) {
  (void)path;
  (void)comm;
  work w = {0};
  int rc = load(&w, options, err);
  if (!rc) rc = check(&w, options, err);
  ld_checkpoint checkpoint = {.config = "{}", .adapter = w.adapter};
  if (!rc) rc = ld_checkpoint_write(options->out, &checkpoint, err);
  if (!rc) ld_info("%s: %zu modules", options->out, w.adapter->n_modules);
  close_work(&w);
  return rc;
}

const ld_command ld_command_export = {
    .name = "export",
    .bit = LD_CMD_EXPORT,
    .summary = "write an adapter for PEFT, diffusers, A1111 or ComfyUI",
    .about = "Writes an adapter as a PEFT folder, or in another format that other programs read.",
    .run = run_export,
};

const ld_command ld_command_import = {
    .name = "import",
    .bit = LD_CMD_IMPORT,
    .summary = "read an adapter of PEFT, diffusers or kohya into an .h5 file",
    .about = "Writes an adapter from another program as an HDF5 file.",
    .run = run_import,
};
