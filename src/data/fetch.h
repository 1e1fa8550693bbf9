/* Data that some ranks do not have: finds which ranks have it, and fetches its records for the others.
 *
 * Rank 0 must have the data. A rank that finds nothing at the path, or other bytes, builds its data set from
 * what rank 0 sends about its own, and must fetch a record before it reads it. When all ranks have the data,
 * nothing is fetched. */
#ifndef LD_FETCH_H
#define LD_FETCH_H

#include "data/corpus.h"

/* Opens corpus->dataset on every rank, and finds which ranks read the data themselves. Collective: an error
 * on one rank is everyone's. */
int ld_corpus_open_data(ld_corpus *corpus, ld_comm *comm, const char *path, const ld_dataset_options *options,
                        ld_error *err);

/* Finds the digest unless it is known: one rank of each host then reads all of the data. Collective. */
int ld_corpus_find_digest(ld_corpus *corpus, ld_comm *comm, ld_error *err);

/* Whether a recorded digest, the same on every rank, is the data's. A digest of version 1 is compared with
 * one made in the same way. Collective. */
bool ld_corpus_has_digest(const ld_corpus *corpus, ld_comm *comm, const char *digest);

/* Whether some ranks must fetch. The same on every rank. */
bool ld_corpus_is_fetched(const ld_corpus *corpus);

/* Fetches the records of rows[i] to rank owners[i] where that rank does not have the data. Records fetched
 * before are dropped. Collective. */
int ld_corpus_fetch(const ld_corpus *corpus, ld_comm *comm, const int64_t *rows, const int *owners, int64_t n,
                    ld_error *err);

/* How many of the next rows to fetch at once: all of them when they are few bytes or all ranks have the data,
 * else a multiple of `unit`. The same on every rank. */
int64_t ld_corpus_window(const ld_corpus *corpus, const int64_t *rows, int64_t n, int64_t unit);

/* The rank of the microbatch that begins with row `first`, in a walk through all rows in order. */
int ld_corpus_owner(int64_t first, int64_t micro_batch, const ld_comm *comm);

/* For a walk through all rows in order, whose microbatches go to the ranks in turn: once `first`, the walk's
 * position, reaches *until, fetches the next rows and moves *until on. Passes on `rc`, the code of this
 * rank's walk so far; where rows are fetched, an error becomes everyone's. Collective. */
int ld_corpus_fetch_next(const ld_corpus *corpus, ld_comm *comm, int64_t first, int64_t micro_batch,
                         int64_t *until, int rc, ld_error *err);

#endif
