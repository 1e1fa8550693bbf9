/* Where the bytes of a data set come from: a file that is mapped, the files of a folder, an HDF5 file, or rank 0.
 *
 * A source is a row of units from 0 to its length: the bytes of a file, the files of a folder, the images of an
 * HDF5 file. A record is units [offset, offset + n); reading it gives its bytes, which a format decodes. That a
 * rank does not have the data is known to its source alone:
 *
 *   a rank with the data                        a rank without it
 *   a source of the file or folder
 *   open: reads its start, keeps the opening
 *   ld_source_put_opening     --- bytes --->    ld_source_of_opening
 *                                               open: reads the opening
 *   ld_source_put             --- bytes --->    ld_source_receive
 *   ld_source_read                              ld_source_read
 *
 * The opening is what a format must know before it can read a record: the first line of a JSONL file, the line
 * with a table's columns. A received source has the opening for as long as it lives, and the records of the last
 * ld_source_receive.
 */
#ifndef LD_SOURCE_H
#define LD_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"
#include "io/digests.h"
#include "io/file.h"

typedef struct ld_source ld_source;

void ld_source_close(ld_source *source); /* NULL is fine */

const char *ld_source_path(const ld_source *source);

/* The name of the file at `offset` below a folder; NULL of other sources. Belongs to the source. */
const char *ld_source_name(const ld_source *source, uint64_t offset);

/* Bytes of a source while they are held. */
typedef struct ld_bytes {
  const char *at;
  size_t length;
  const char *name; /* as ld_source_name; also of a received record */
  ld_map map;       /* what the source made for them */
  char *own;
} ld_bytes;

/* The bytes of units [offset, offset + n). LD_EMISMATCH for units beyond the end, LD_EFILE for a record that was
 * not received. *out is zeroed first; the caller frees it with ld_bytes_free before the source is closed or
 * receives again. */
int ld_source_read(const ld_source *source, uint64_t offset, uint64_t n, ld_bytes *out, ld_error *err);
void ld_bytes_free(ld_bytes *bytes);

/* How many bytes ld_source_put appends for a unit, about: 1 of a file, of files and images their mean. Not of a
 * received source. */
size_t ld_source_unit_bytes(const ld_source *source);

/* Appends the opening for a rank without the data, which makes a source of it there; errors name `path`. The
 * caller closes. */
void ld_source_put_opening(const ld_source *source, ld_text *out);
int ld_source_of_opening(const char *path, const char *bytes, size_t length, ld_source **out, ld_error *err);

/* Appends a record for a rank without the data. */
int ld_source_put(const ld_source *source, uint64_t offset, uint64_t n, ld_text *out, ld_error *err);

/* The records that a received source gives from now on, as ld_source_put appended them one after the other. It
 * owns `bytes`, which come from malloc, also after an error. */
int ld_source_receive(ld_source *source, char *bytes, size_t length, ld_error *err);

/* One number for what stands at the path: ranks of a host that have the same read the same files. Not of a
 * received source; nor are the digests. */
uint64_t ld_source_stamp(const ld_source *source);

/* "2:" and 16 hexadecimal digits over every byte of the file, of a folder over the names and every byte of its
 * files; as `digests` knows them, or by reading them. */
int ld_source_digest(const ld_source *source, ld_digests *digests, char digest[LD_DIGEST_TEXT + 1],
                     ld_error *err);

/* The digest of version 1, 16 digits, by which older checkpoints know their data: of a folder it covers the
 * first and last KiB of each file. */
void ld_source_old_digest(const ld_source *source, char digest[17]);

/* LD_EMISMATCH when the mapped file, which has this digest, was changed since it was opened; a file that was only
 * touched, or replaced while the old one is still mapped, is warned of once. Only its stamp is read while that
 * stays the same. A folder's files are checked when they are read; a received source has none. */
int ld_source_check(ld_source *source, const char *digest, ld_error *err);

#endif
