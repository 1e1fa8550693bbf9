#include "job/check.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/file.h"

int ld_check_not_model(const ld_options *options, ld_error *err) {
  const char *model = options->model, *out = options->out;
  if (!model || !ld_file_inside(out, model)) return 0;
  if (ld_file_same(model, out))
    return ld_fail(err, LD_EUSAGE, "--out %s is the base model's own folder: choose another", out);
  return ld_fail(err, LD_EUSAGE,
                 "--out %s lies in the base model's own folder %s: choose a place outside of it", out, model);
}

int ld_check_new(const ld_options *options, ld_error *err) {
  const int rc = ld_check_not_model(options, err);
  return rc ? rc : ld_output_check(options->out, err);
}

int ld_check_outside(const char *name, const char *data, const char *out, ld_error *err) {
  int rc = 0;
  for (const char *at = data; at && !rc; at = strchr(at, '\n')) {
    at += *at == '\n';
    char *path = ld_strndup(at, strcspn(at, "\n"));
    if (ld_file_inside(out, path))
      rc = ld_fail(err, LD_EUSAGE,
                   "--out %s lies in --%s %s and would be read as data: choose a place "
                   "outside of it",
                   out, name, path);
    free(path);
  }
  return rc;
}

static int look_for_adapter(const char *model, const char *adapter, ld_error *err) {
  char *config = ld_path_join(model, "adapter_config.json");
  const bool there = ld_file_exists(config);
  free(config);
  if (!there || (adapter && ld_file_same(model, adapter))) return 0;
  return ld_fail(
      err, LD_EMISMATCH,
      "%s: holds an adapter too (adapter_config.json), which transformers loads along with the model: "
      "give the folder as the adapter as well, or move adapter_config.json out of it to use the model "
      "alone",
      model);
}

int ld_check_model(const char *model, const char *adapter, ld_comm *comm, ld_error *err) {
  return ld_comm_agree(comm, ld_comm_rank(comm) ? 0 : look_for_adapter(model, adapter, err), err);
}
