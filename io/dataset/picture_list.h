/* The images of a folder with their captions.
 *
 * Images may lie in the folder and in folders below. Captions are
 *   - lines of metadata.jsonl or rows of metadata.csv, {"file_name": "a.png", "text": "a boat"}, whose file names are
 *     relative to the folder of that file; or
 *   - text files beside the images: a.txt or a.caption for a.png, of which the first line counts, as in kohya's
 *     scripts; or
 *   - one caption for all images that have none of their own.
 * Other files, and names that begin with a dot, are skipped and counted. */
#ifndef LD_PICTURE_LIST_H
#define LD_PICTURE_LIST_H

#include <stddef.h>

#include "base/error.h"
#include "base/tally.h"

/* Image i and its caption, sorted by the paths' bytes. */
typedef struct ld_picture_list {
  char **paths; /* relative to the folder */
  char **captions;
  size_t n;
  size_t n_default; /* images that have the common caption */
  ld_tally others;  /* skipped files, by kind */
  ld_tally unused;  /* keys and columns of metadata */
  size_t n_more;    /* text files with further lines, which are not used */
} ld_picture_list;

/* `caption` is the common one; NULL: none. LD_EFORMAT, naming the file, for an image without a caption or a caption
 * without an image; for captions in metadata and in text files; for an image with two captions; for a name outside
 * the folder; for a folder without images. *out is zeroed first. The caller frees with ld_picture_list_free, also
 * after an error. */
int ld_picture_list_read(const char *folder, const char *caption, ld_picture_list *out, ld_error *err);
void ld_picture_list_free(ld_picture_list *list);

/* Says what was skipped, and how many images have the common caption. */
void ld_picture_list_warn(const ld_picture_list *list, const char *folder);

#endif
