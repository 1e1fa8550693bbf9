/* metadata.jsonl and metadata.csv: captions of images, as in Hugging Face's image folders. */
#ifndef LD_PICTURE_METADATA_H
#define LD_PICTURE_METADATA_H

#include "base/error.h"
#include "base/tally.h"

/* Receives the image and its caption, as written. An error is prefixed with the file and the line. */
typedef int (*ld_picture_sink)(void *user, const char *file_name, const char *caption, ld_error *err);

/* Whether a file of this name is one of them. */
bool ld_picture_metadata_is_named(const char *name);

/* Reads the captions of a file, whose records have "file_name" and "text". Others of their keys or columns are counted
 * in `unused`. LD_EFORMAT names the file and the line. */
int ld_picture_metadata_read(const char *path, ld_picture_sink sink, void *user, ld_tally *unused,
                             ld_error *err);

#endif
