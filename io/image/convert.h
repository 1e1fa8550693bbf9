/* Converts image sets to the HDF5 file that a dataset reads: `images` (N, H, W, C) or, grey, (N, H, W), and
 * `labels` (N).
 *
 * Supported: the binary files of CIFAR-10 and CIFAR-100 (one, or a folder with data_batch_*.bin), the IDX
 * files of MNIST and similar sets (plain or .gz), and a folder of class folders of images that all have one
 * size. The names of classes are kept where they are known: from folders, or from batches.meta.txt and
 * fine_label_names.txt beside CIFAR's files. */
#ifndef LD_IMAGE_CONVERT_H
#define LD_IMAGE_CONVERT_H

#include "base/error.h"
#include "io/image/convert_form.h"

/* Writes `out` atomically from `data`, a file or a folder. `labels` is the file of IDX labels. For NULL it is
 * the images' name with labels-idx1 for images-idx3, if that file exists; otherwise there are no labels.
 * Other forms contain their labels and refuse a file of labels. */
int ld_image_convert(const char *data, const char *labels, const char *out, ld_converted *converted,
                     ld_error *err);

#endif
