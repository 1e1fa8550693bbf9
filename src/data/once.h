/* What one rank finds for all ranks of its host: digests of files that they all see.
 */
#ifndef LD_ONCE_H
#define LD_ONCE_H

#include "io/hub/digests.h"
#include "mpi/comm.h"
#include "options/options.h"

/* Runs `find` on one rank of each host, for all ranks there that `see` the same (a stamp's id); ranks that see
 * something else have one of their own. *result, of `bytes` bytes, is that of the rank that ran it. `find`
 * runs beside the watch; its code comes back on the rank that ran it, 0 on the others. Collective. */
int ld_once_a_host(ld_comm *comm, uint64_t see, int (*find)(void *user, ld_error *err), void *user,
                   void *result, size_t bytes, ld_error *err);

/* Whether all ranks stand on one host and see the very same files there, so that nothing need be read to know
 * it. `there`: this rank sees any. Collective. */
bool ld_once_is_one_copy(ld_comm *comm, bool there, uint64_t see);

/* What is known before anything is read: rank 0's digests.txt in `folder` (NULL: none), but with --verify
 * nothing. Collective; the caller frees. */
ld_digests *ld_once_open(ld_comm *comm, const ld_options *options, const char *folder);

/* Keeps in rank 0's folder (NULL: nowhere) what the ranks found; that this fails is said, and no error.
 * Collective. */
void ld_once_keep(ld_comm *comm, ld_digests *digests, const char *folder);

#endif
