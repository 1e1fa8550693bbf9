/* Results of frozen layers that are kept during a job, on the disk of each host (nn/keep.h says which, and why that
 * cannot change a number). The ranks of a host share them: each is computed there once, by the rank that needs it
 * first. The file has no name while the job runs, so nothing is left of it, however the job ends. */
#ifndef LD_REUSE_H
#define LD_REUSE_H

#include "data/corpus.h"
#include "mpi/comm.h"
#include "nn/keep.h"

typedef struct ld_reuse ld_reuse;

/* For at most n_results results, also those that are little work with `all`. NULL, with a warning, where the folder (--scratch; NULL: TMPDIR, or /tmp) takes no
 * files. Collective. */
ld_reuse *ld_reuse_open(ld_comm *comm, const char *folder, int64_t n_results, bool all);
void ld_reuse_close(ld_reuse *reuse); /* NULL is fine; not collective */

/* Its keeper, which lives as long. */
const ld_keeper *ld_reuse_keeper(const ld_reuse *reuse);

/* Bytes that all ranks of the host have kept so far, and the folder. */
int64_t ld_reuse_bytes(const ld_reuse *reuse);
const char *ld_reuse_folder(const ld_reuse *reuse);

#endif
