/* Image sets in other forms to the HDF5 file that a dataset reads: `images` (N, H, W, C) or, grey, (N, H, W),
 * and `labels` (N).
 *
 * Known: the binary files of CIFAR-10 and CIFAR-100 (one, or a folder with data_batch_*.bin), the IDX files
 * of MNIST and its relatives (plain or .gz), and a folder of class folders of images that all have one size.
 * The names of classes are kept where they are known: folders, or batches.meta.txt and fine_label_names.txt
 * beside CIFAR's files.
 */
#ifndef LD_IMAGE_CONVERT_H
#define LD_IMAGE_CONVERT_H

#include "base/error.h"
#include "io/image/convert_form.h"

/* Writes `out` atomically from `data`, a file or a folder. `labels` is the file of IDX labels (NULL: the name
 * of the images with labels-idx1 in the place of images-idx3, where there is such a file, else no labels);
 * other forms have their labels within and refuse one. */
int ld_image_convert(const char *data, const char *labels, const char *out, ld_converted *converted,
                     ld_error *err);

#endif
