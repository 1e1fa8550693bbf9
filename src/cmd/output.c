/* Where an output may be: what is read must not change, and what is there is not overwritten. */
#include "cmd/command.h"
#include "io/file.h"

int ld_cmd_check_not_model(const ld_options *options, ld_error *err) {
  const char *model = options->model, *out = options->out;
  if (!model || !ld_file_inside(out, model)) return 0;
  if (ld_file_same(model, out))
    return ld_fail(err, LD_EUSAGE, "--out %s is the base model's own folder: choose another", out);
  return ld_fail(err, LD_EUSAGE, "--out %s lies in the base model's own folder %s: choose a place outside of it", out,
                 model);
}

int ld_cmd_check_new(const ld_options *options, ld_error *err) {
  const int rc = ld_cmd_check_not_model(options, err);
  return rc ? rc : ld_output_check(options->out, err);
}

int ld_cmd_check_outside(const char *name, const char *data, const char *out, ld_error *err) {
  if (!data || !ld_file_inside(out, data)) return 0;
  return ld_fail(err, LD_EUSAGE, "--out %s lies in --%s %s and would be read as data: choose a place "
                                 "outside of it",
                 out, name, data);
}
