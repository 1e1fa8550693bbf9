/* Distributes files of rank 0's host to every rank, so that no file system needs to be shared.
 *
 * A host whose ranks all see the same files at the same path reads them itself (it maps them, so its ranks
 * share one copy). Every other host receives them once, over MPI, into memory that its ranks share. "The
 * same" means the same bytes: one rank of each host reads them all. When all ranks are on one host and see
 * the very same file (device, inode, size, times), nothing needs to be read for this. */
#ifndef LD_DISTRIBUTE_H
#define LD_DISTRIBUTE_H

#include "data/corpus.h"
#include "load/base.h"
#include "mpi/comm.h"

typedef struct ld_distributed {
  char *path;                 /* where this rank reads its copy of rank 0's file, until it is closed */
  int n_reading, n_receiving; /* hosts that read it themselves, and hosts that received it */
  bool received;              /* by this rank's host: the files are in memory */
  int64_t bytes;              /* of its files */
  char *links;                /* a folder of links to the files in memory, made by this rank; NULL on most */
  int *files;
  size_t n_files;
} ld_distributed;

/* Distributes a model folder, what ld_adapter_load takes, or one file. All ranks give the same path, which
 * only rank 0 must be able to read. If it cannot, ->path is the given path, and opening that fails as usual.
 * The caller closes. Collective. */
int ld_distribute_model(ld_comm *comm, const char *path, ld_digests *digests, ld_distributed *out,
                        ld_error *err);
int ld_distribute_adapter(ld_comm *comm, const char *path, ld_digests *digests, ld_distributed *out,
                          ld_error *err);
int ld_distribute_file(ld_comm *comm, const char *path, ld_digests *digests, ld_distributed *out,
                       ld_error *err);

/* Call when all ranks have opened the files (mapped files stay) or never will; the numbers stay. A zeroed one
 * is fine. Not collective. */
void ld_distributed_close(ld_distributed *distributed);

/* Opens a base for use, with the adapter (NULL: none), from rank 0's files; base->digests is `digests`.
 * ld_base_close frees it, also after an error. Collective: an error on one rank is everyone's. */
int ld_distribute_open_ready(ld_comm *comm, const char *model, const char *adapter, bool other_base,
                             ld_digests *digests, ld_base *base, ld_error *err);

/* Finds the digest of a folder while its files can be read at its path. LD_EMISMATCH when a rank's copy holds
 * other tensors than rank 0's. Collective. */
int ld_distribute_digest(ld_comm *comm, ld_model_folder *folder, ld_digests *digests, ld_error *err);

/* Puts the adapter that the options name on an open base. The digest that it needs comes from --cache, or
 * from reading the whole base. Collective. */
int ld_distribute_adapt(ld_comm *comm, const ld_options *options, ld_base *base, ld_error *err);

/* Appends how a model and its data (valid may be NULL) reach the ranks: "model read by 1 host, received by 2
 * (475.2 MiB each); data read by every rank". */
void ld_distributed_put(const ld_distributed *model, const ld_corpus *data, const ld_corpus *valid,
                        ld_text *out);

#endif
