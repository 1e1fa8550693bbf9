/* Any bytes as what `convert` reads: CIFAR's records, or an IDX file, which after an even first byte is also
 * its own labels. The result must open as a data set. */
#include <stdint.h>
#include <stdlib.h>

#include "../unit/data_forms.h"
#include "io/dataset/dataset.h"
#include "io/image/convert.h"
#include "scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_again(const char *path) {
  const ld_image_rule rule = {.resize_height = 4, .resize_width = 4, .height = 4, .width = 4, .channels = 3};
  const ld_dataset_options options = {.forms = of_images, .image_rule = &rule, .eos = -1};
  ld_dataset *dataset;
  ld_error err = {0};
  if (ld_dataset_open(path, &options, &dataset, &err)) abort();
  ld_dataset_close(dataset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const names[] = {"data_batch_1.bin", "train.bin", "images-idx3-ubyte",
                                      "images-idx3-ubyte.gz"};
  ld_error err = {0};
  ld_converted converted;
  char path[128], labels[128], out[128];
  if (size < 2) return 0;
  const char *name = names[data[0] % 4];
  size_t cut = data[0] & 4 ? data[1] : 0;
  if (cut > size - 2) cut = size - 2;
  scratch_write(name, data + 2 + cut, size - 2 - cut, path);
  scratch_write("labels-idx1-ubyte", data + 2, cut, labels);
  snprintf(out, sizeof out, "%s/out.h5", scratch_folder());
  if (ld_image_convert(path, cut ? labels : NULL, out, &converted, &err)) {
    if (!err.text[0] || access(out, F_OK) == 0) abort();
  } else {
    open_again(out);
    unlink(out);
  }
  unlink(path);
  return 0;
}
