/* lora_dist convert: writes an image set as an HDF5 file, and a checkpoint in one file as a model folder. */
#include <string.h>

#include "base/log.h"
#include "cmd/command.h"
#include "io/hub/single_file.h"
#include "io/image/convert.h"
#include "job/check.h"

static int convert_images(const ld_options *options, ld_error *err) {
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

static int convert_model(const ld_options *options, ld_error *err) {
  const ld_single_request request = {.prediction = options->prediction, .tokenizer = options->tokenizer};
  const int rc = ld_check_new(options, err);
  return rc ? rc : ld_single_file_convert(options->model, &request, options->out, err);
}

static int run(const ld_options *options, const char *path, ld_comm *comm, ld_error *err) {
  (void)path;
  (void)comm;
  if (options->data && options->model)
    return ld_fail(err, LD_EUSAGE, "--data and --model exclude each other: convert images or a model");
  if (options->model) return convert_model(options, err);
  if (options->data) return convert_images(options, err);
  return ld_fail(err, LD_EUSAGE, "--data PATH (images) or --model FILE (a model in one file) is missing");
}

const ld_command ld_command_convert = {
    .name = "convert",
    .bit = LD_CMD_CONVERT,
    .summary = "convert images to HDF5, or a model in one file to a folder",
    .about = "Writes the images and labels of CIFAR-10, CIFAR-100 or MNIST files, or of a folder of class "
             "folders, as one HDF5 file; or Stable Diffusion in one file as a diffusers folder.",
    .run = run,
};
