/* The images in a folder, as torchvision's ImageFolder finds them.
 *
 * Each subfolder is a class, with the images in it and in the folders below; images beside class folders are
 * ignored. A folder without subfolders holds images without classes. Names are sorted bytewise: classes, then
 * the folders of a class by their whole path, then the files of a folder. Images are files that end in .png,
 * .jpg, .jpeg or .webp, in any case. Other files, and names that begin with a dot, are skipped and counted. */
#ifndef LD_IMAGE_LIST_H
#define LD_IMAGE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/tally.h"

typedef struct ld_image_file {
  char *path; /* relative to the folder */
  int class;  /* of `classes`; -1: none */
} ld_image_file;

typedef struct ld_image_list {
  ld_image_file *files;
  size_t n, room;
  char **classes;
  size_t n_classes;
  ld_tally others; /* skipped entries by kind: ".gif", "hidden", ... */
} ld_image_list;

/* LD_EFORMAT for a class or a folder without images. *out is zeroed first. The caller frees with
 * ld_image_list_free, also after an error. */
int ld_image_list_read(const char *folder, ld_image_list *out, ld_error *err);
void ld_image_list_free(ld_image_list *list);

/* LD_EFORMAT when the folders are splits of a data set (train, valid, ...) and not its classes. */
int ld_image_list_check_classes(const ld_image_list *list, const char *folder, ld_error *err);

/* Warns of the files that were skipped, if any. */
void ld_image_list_warn(const ld_image_list *list, const char *folder);

#endif
