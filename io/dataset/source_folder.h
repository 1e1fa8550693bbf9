/* A source of the files of a folder.
 */
#ifndef LD_SOURCE_FOLDER_H
#define LD_SOURCE_FOLDER_H

#include "io/dataset/source.h"

/* A folder's files with these names below it, n at least 1; it owns the names. A file that changes after it was
 * first read is LD_EMISMATCH. */
ld_source *ld_source_folder(const char *path, char **names, size_t n);

#endif
