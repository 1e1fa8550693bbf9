/* lora_dist convert: writes an image set as an HDF5 file. */
#include <string.h>

#include "base/log.h"
#include "cmd/command.h"
#include "io/image/convert.h"
#include "job/check.h"

static int run(const ld_options *options, const char *path, ld_comm *comm, ld_error *err) {
  (void)path;
  (void)comm;
  const char *ending = strrchr(options->out, '.');
  if (!ending || (strcmp(ending, ".h5") != 0 && strcmp(ending, ".hdf5") != 0))
    return ld_fail(err, LD_EUSAGE, "--out %s: must end in .h5", options->out);
  ld_converted c;
  int rc = ld_check_new(options, err);
  if (!rc) rc = ld_image_convert(options->data, options->labels_file, options->out, &c, err);
  if (rc) return rc;
  ld_info("%s: %lld images of %d x %d, %s, %s labels (%s)", options->out, (long long)c.n, c.width, c.height,
          c.channels == 1 ? "grey" : "in colour", c.labelled ? "with" : "without", c.form);
  if (c.n_turned)
    ld_info("%s: %lld of them turned upright, by the orientation in the file", options->out,
            (long long)c.n_turned);
  return 0;
}

const ld_command ld_command_convert = {
    .name = "convert",
    .bit = LD_CMD_CONVERT,
    .summary = "convert images (CIFAR, MNIST, a folder) to HDF5",
    .about = "Writes the images and labels of CIFAR-10, CIFAR-100 or MNIST files, or of a folder of class "
             "folders, "
             "as one HDF5 file.",
    .run = run,
};
