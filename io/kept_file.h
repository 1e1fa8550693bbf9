/* Files that are kept for the next start, in a folder that several jobs may share.
 *
 * A file is written beside its place under a name of its own, "NAME.tmp.<number>", synced, and renamed: it is whole or
 * not there, and of two jobs that write the same one the last wins. Its writer holds a lock on the part until it has
 * its name. So the part of a writer that was killed can be told from one that is being written, and is removed by
 * the next writer. */
#ifndef LD_KEPT_FILE_H
#define LD_KEPT_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

typedef struct ld_kept_file {
  char *path, *part;
  int file;
} ld_kept_file;

/* Makes the folder if necessary, removes in it what killed writers of such files left (`is_ours` tells their names),
 * and begins a file there. On failure *out is zeroed. */
int ld_kept_file_begin(const char *path, bool (*is_ours)(const char *name), ld_kept_file *out, ld_error *err);

int ld_kept_file_write(ld_kept_file *file, const void *bytes, size_t length, ld_error *err);

/* Gives it its name when `rc` is 0, else removes it; frees. Returns rc, or why it did not get the name. */
int ld_kept_file_end(ld_kept_file *file, int rc, ld_error *err);

#endif
