/* A source of the files of a folder.
 */
#ifndef LD_SOURCE_FOLDER_H
#define LD_SOURCE_FOLDER_H

#include "io/dataset/source.h"

/* The files of a folder with these relative names, at least one; the source owns the names. A file that
 * changes after it was first read gives LD_EMISMATCH. */
ld_source *ld_source_folder(const char *path, char **names, size_t n);

/* The same with a caption for each file, which the source owns too: a record's bytes are the caption with its NUL, and
 * then the file's. */
ld_source *ld_source_folder_captioned(const char *path, char **names, char **captions, size_t n);

/* Appends the files of a second folder, with a caption for each, to a source with captions, which owns the lists then. A
 * source has at most one such folder. */
void ld_source_folder_add(ld_source *source, const char *path, char **names, char **captions, size_t n);

#endif
