/* Where an output may be: what is read must not change, and what is there is not overwritten. */
#include "cmd/command.h"
#include "io/file.h"

int ld_cmd_check_new(const ld_options *options, ld_error *err) {
  if (!options->model || !ld_file_same(options->model, options->out)) return ld_output_check(options->out, err);
  return ld_fail(err, LD_EUSAGE, "--out %s is the base model's own folder: choose another", options->out);
}

int ld_cmd_check_outside(const char *name, const char *data, const char *out, ld_error *err) {
  if (!data || !ld_file_inside(out, data)) return 0;
  return ld_fail(err, LD_EUSAGE, "--out %s lies in --%s %s and would be read as data: choose a place "
                                 "outside of it",
                 out, name, data);
}
