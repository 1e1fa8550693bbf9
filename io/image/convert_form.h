/* Forms of image sets that can be converted to a dataset's HDF5 file. One file each; convert.c has the table. */
#ifndef LD_CONVERT_FORM_H
#define LD_CONVERT_FORM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

typedef struct ld_converted {
  int64_t n;
  int height, width, channels;
  bool labelled;
  const char *form; /* "CIFAR-10", "IDX", ... */
  int64_t n_turned; /* images that were turned upright, by the orientation in their files */
} ld_converted;

typedef struct ld_convert_form {
  bool takes_labels; /* may have its labels in another file */
  /* Whether `data`, a file or a folder, is of this form, by a quick check. */
  bool (*fits)(const char *data);
  /* As ld_image_convert; `labels` is NULL unless takes_labels. */
  int (*convert)(const char *data, const char *labels, const char *out, ld_converted *converted,
                 ld_error *err);
} ld_convert_form;

extern const ld_convert_form ld_convert_idx, ld_convert_cifar, ld_convert_folder;

#endif
