/* Where the bytes of a data set come from: a mapped file, the files of a folder, an HDF5 file, or rank 0.
 *
 * A source is a sequence of units from 0 to its length: the bytes of a file, the files of a folder, the
 * images of an HDF5 file. A record is units [offset, offset + n); reading it gives its bytes, which a format
 * decodes. Only the source knows when a rank does not have the data:
 *
 *   a rank with the data                        a rank without it
 *   a source of the file or folder
 *   open: reads its start, keeps the opening
 *   ld_source_put_opening     --- bytes --->    ld_source_of_opening
 *                                               open: reads the opening
 *   ld_source_put             --- bytes --->    ld_source_receive
 *   ld_source_read                              ld_source_read
 *
 * The opening is what a format must know before it can read a record: the first line of a JSONL file, the
 * line with a table's columns. A received source holds the opening as long as it lives, and the records of
 * the last ld_source_receive. */
#ifndef LD_SOURCE_H
#define LD_SOURCE_H

#include "io/dataset/source_kind.h"

void ld_source_close(ld_source *source); /* NULL is fine */

const char *ld_source_path(const ld_source *source);

/* Its units. */
uint64_t ld_source_length(const ld_source *source);

/* The name of the file at `offset`, relative to the folder; NULL for other sources. Belongs to the source. */
const char *ld_source_name(const ld_source *source, uint64_t offset);

/* The bytes of units [offset, offset + n). LD_EMISMATCH for units beyond the end, LD_EFILE for a record that
 * was not received. *out is zeroed first. The caller frees it with ld_bytes_free, before the source is closed
 * or receives again. */
int ld_source_read(const ld_source *source, uint64_t offset, uint64_t n, ld_bytes *out, ld_error *err);
void ld_bytes_free(ld_bytes *bytes);

/* About how many bytes ld_source_put appends per unit: 1 for a file; for a folder of files and for images
 * their mean. Not for a received source. */
size_t ld_source_unit_bytes(const ld_source *source);

/* One number for what is at the path: ranks of a host with the same number read the same files. Not for a
 * received source; the digests neither. */
uint64_t ld_source_stamp(const ld_source *source);

/* "2:" and 16 hexadecimal digits over every byte of the file; for a folder over the names and every byte of
 * its files. Taken from `digests`, or found by reading. */
int ld_source_digest(const ld_source *source, ld_digests *digests, char digest[LD_DIGEST_TEXT + 1],
                     ld_error *err);

/* The digest of version 1, 16 digits, with which older checkpoints identify their data; for a folder it
 * covers the first and last KiB of each file. */
void ld_source_old_digest(const ld_source *source, char digest[17]);

/* LD_EMISMATCH when the mapped file, which has this digest, has changed since it was opened. A file that was
 * only touched, or that was replaced while the old one is still mapped, gives one warning. While its stamp
 * stays the same, only the stamp is read. A folder's files are checked when they are read; a received source
 * has none, and joined files are a copy. */
int ld_source_check(ld_source *source, const char *digest, ld_error *err);

/* For the formats. A source of this kind without a file; the kind fills in the rest. */
ld_source *ld_source_create(const ld_source_kind *kind, const char *path);

/* A mapped file whose units are its bytes; another kind sets `length` to its own number of units. On failure
 * *out is NULL. */
int ld_source_map(const char *path, const ld_source_kind *kind, ld_source **out, ld_error *err);
extern const ld_source_kind ld_source_file;

/* What a format's `open` reads: the file from `begin` on, or, without the file, the opening. */
ld_bytes ld_source_start(const ld_source *source);

/* Says which bytes of the start are the opening, the ones that `open` needs. By default it is empty. */
void ld_source_keep(ld_source *source, const char *at, size_t length);

#endif
