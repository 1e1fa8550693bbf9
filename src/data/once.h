/* Work that one rank does for all ranks of its host: digests of files that they all see. */
#ifndef LD_ONCE_H
#define LD_ONCE_H

#include "io/hub/digests.h"
#include "mpi/comm.h"
#include "options/options.h"

/* Runs `find` on one rank of each host, for all ranks there that `see` the same (a stamp's id); ranks that
 * see something else have their own. *result, of `bytes` bytes, is copied from the rank that ran it. `find`
 * runs beside the watch. Its code is returned on the rank that ran it, 0 on the others. Collective. */
int ld_once_a_host(ld_comm *comm, uint64_t see, int (*find)(void *user, ld_error *err), void *user,
                   void *result, size_t bytes, ld_error *err);

/* Whether all ranks are on one host and see the very same files there, so that nothing needs to be read to
 * compare them. `there`: this rank sees them at all. Collective. */
bool ld_once_is_one_copy(ld_comm *comm, bool there, uint64_t see);

/* The folder for what is kept for the next start: --cache, or by default `own` (NULL: none); NULL with --cache none. */
const char *ld_once_folder(const ld_options *options, const char *own);

/* The digests known before anything is read: rank 0's digests.txt in `folder` (NULL: none); with --verify, no
 * digests. The caller frees. Collective. */
ld_digests *ld_once_open(ld_comm *comm, const ld_options *options, const char *folder);

/* Writes what the ranks found to rank 0's folder (NULL: nowhere). A failure gives a warning and is not an
 * error. Collective. */
void ld_once_keep(ld_comm *comm, ld_digests *digests, const char *folder);

#endif
