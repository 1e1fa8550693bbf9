/* An index, joined over all parts, as a file that is mapped by the ranks of a host (docs/file-formats.md has the
 * layout). It is in the byte order of its machine, and is read by nothing but this program. */
#ifndef LD_INDEX_FILE_H
#define LD_INDEX_FILE_H

#include "io/dataset/index.h"

/* Where the index of data with this key is kept in a folder. The key is text that says everything the index follows from;
 * it is also in the file. The caller frees. */
char *ld_index_file_path(const char *folder, const char *key);

/* Whether a file of that name is such an index. */
bool ld_index_file_is_name(const char *name);

/* Writes the index to a new file `path`, whole or not at all (io/kept_file.h), or, not atomically, to an open file.
 * *seal receives the checksum of the file, which is never 0. */
int ld_index_file_write(const char *path, const char *key, const ld_index *index, uint64_t *seal,
                        ld_error *err);
int ld_index_file_put(int file, const char *path, const char *key, const ld_index *index, uint64_t *seal,
                      ld_error *err);

/* Maps an index and reads all of it, with up to n_threads threads. LD_EFILE where there is no such file or it cannot
 * be read; LD_EMISMATCH for an index with another key, form or machine; LD_EFORMAT for a damaged one, which its
 * checksum tells. The records are the file's, and what is written to them is this process's own. On failure *out is
 * zeroed. Free with ld_index_free. */
int ld_index_file_open(const char *path, const char *key, int n_threads, ld_index *out, uint64_t *seal,
                       ld_error *err);

/* Maps an index of any key that has this seal, which was found before by reading all of it. LD_EMISMATCH for another one;
 * on failure *out is zeroed. */
int ld_index_file_map(const char *path, uint64_t seal, ld_index *out, ld_error *err);

/* The checksum of a mapped index by reading all of it. */
uint64_t ld_index_file_seal(const ld_index *index, int n_threads);

/* Appends what an index has besides its records, as bytes for other ranks; takes it from such bytes. LD_EFORMAT for
 * damaged bytes; *out keeps its records. */
void ld_index_put_rest(const ld_index *index, ld_text *out);
int ld_index_take_rest(const char *bytes, size_t length, ld_index *out, ld_error *err);

/* LD_EFORMAT when a record cannot be one of data with so many units and image sizes, and at most so many tokens. */
int ld_index_check(const ld_index *index, uint64_t units, int n_sizes, int64_t most_tokens, ld_error *err);

#endif
