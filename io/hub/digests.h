/* Digests of files' contents, found by reading every byte, and remembered so that files need not be read
 * again.
 *
 * A file is identified by its stamp: host, path, device, inode, size, and the times of its last change.
 * Digests by stamp may be kept in a folder, in the file "digests.txt":
 *
 *   lora_dist digests 2, sealed 0123456789abcdef
 *   <stamp> <bytes> <tensors>                       16 hexadecimal digits each, the oldest entry first
 *
 * The seal is the hash of all lines below it. A damaged file counts as empty.
 *
 * The clock that gives files their times is coarse: a file that is written again within one tick may keep its
 * stamp. So a stamp is kept only if it was older than a tick when the reading began (git calls the others
 * "racily clean"). */
#ifndef LD_DIGESTS_H
#define LD_DIGESTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/error.h"
#include "base/text.h"

/* Digests as files and messages show them: the version of the method, and 16 hexadecimal digits. Version 1
 * had no prefix and did not read all of a model (ld_digest_is_old). */
enum { LD_DIGEST_TEXT = 18 /* without the NUL */ };
void ld_digest_show(uint64_t hash, char text[LD_DIGEST_TEXT + 1]); /* "2:0123456789abcdef" */
bool ld_digest_is_old(const char *text);

typedef struct ld_stamp {
  uint64_t id;            /* over everything; with several files, over all of them */
  uint64_t device, inode; /* of the last file */
  int64_t bytes;          /* of all files; negative if one cannot be seen or is not a regular file */
  int64_t newest;         /* nanoseconds since 1970 */
} ld_stamp;

/* Adds a file to a stamp, which begins zeroed. */
void ld_stamp_add(ld_stamp *stamp, const char *path);
ld_stamp ld_stamp_of(const char *path);

/* The contents of a file, or of a set of files. */
typedef struct ld_contents {
  uint64_t bytes;   /* over every byte */
  uint64_t tensors; /* of a safetensors file: the sum of ld_tensor_hash; 0 for others */
} ld_contents;

typedef struct ld_digests ld_digests;

/* Knows nothing yet. Stamps are for this `host`; reading uses n_threads threads. The caller frees. */
ld_digests *ld_digests_create(const char *host, int n_threads);
void ld_digests_free(ld_digests *digests); /* NULL is fine */
int ld_digests_threads(const ld_digests *digests);

/* The contents of the file, from memory or by reading it. LD_EFILE when it cannot be read, or changes
 * meanwhile. */
int ld_digests_of_file(ld_digests *digests, const char *path, ld_contents *out, ld_error *err);

/* The same in two steps, for a set of files. `path` stands for all of them. `since` is when the reading
 * began, by ld_digests_now. */
bool ld_digests_find(const ld_digests *digests, const char *path, const ld_stamp *stamp, ld_contents *out);
void ld_digests_add(ld_digests *digests, const char *path, const ld_stamp *stamp, int64_t since,
                    const ld_contents *contents);
int64_t ld_digests_now(void);

/* Notes that nothing can be kept for the next start, which a warning has said; whether that was noted. */
void ld_digests_give_up(ld_digests *digests);
bool ld_digests_gave_up(const ld_digests *digests);

/* The bytes read so far, and the seconds that it took. */
void ld_digests_cost(const ld_digests *digests, double *bytes, double *seconds);

/* The hash of a tensor whose bytes have the hash `content` (ld_hash_regions). */
uint64_t ld_tensor_hash(const char *name, const ld_stored *tensor, uint64_t content);

/* For a mapped file whose stamp has changed: LD_EMISMATCH when the bytes in use changed too, else a warning.
 * `changed` says whether they did (it is not called for a file that became shorter). */
int ld_digests_settle(const char *path, const ld_stamp *was, const ld_stamp *now, bool (*changed)(void *user),
                      void *user, ld_error *err);

/* Appends entries as lines, for other ranks: all, or only those found by this process; the other function
 * takes them. */
void ld_digests_put(const ld_digests *digests, bool found, ld_text *out);
void ld_digests_take(ld_digests *digests, const char *lines, size_t length, bool found);

/* Reads what was kept in the folder, if anything. */
void ld_digests_read(ld_digests *digests, const char *folder);

/* Keeps what was found, beside what another job has kept meanwhile; does nothing when nothing was found. The
 * folder must be there. */
int ld_digests_write(ld_digests *digests, const char *folder, ld_error *err);

#endif
