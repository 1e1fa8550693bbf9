/* Data that some ranks do not have: which ranks have it, and how the others get its records.
 *
 * Rank 0 must have the data. A rank that sees nothing at the path, or other bytes, makes its data set of rank 0's
 * opening; before it reads a record it must have fetched it. Where all ranks have the data nothing is fetched.
 */
#ifndef LD_FETCH_H
#define LD_FETCH_H

#include "data/corpus.h"

/* Opens corpus->dataset on every rank, and finds which ranks read the data themselves. Collective: an error of one
 * rank is everyone's. */
int ld_corpus_open_data(ld_corpus *corpus, ld_comm *comm, const char *path, const ld_dataset_options *options,
                        ld_error *err);

/* Finds the digest, unless it is known already: for which one rank of each host reads all of the data.
 * Collective. */
int ld_corpus_find_digest(ld_corpus *corpus, ld_comm *comm, ld_error *err);

/* Whether a recorded digest, the same on every rank, is the data's; one of version 1 is compared as version 1
 * was made. Collective. */
bool ld_corpus_has_digest(const ld_corpus *corpus, ld_comm *comm, const char *digest);

/* Whether some ranks must fetch. The same on every rank. */
bool ld_corpus_is_fetched(const ld_corpus *corpus);

/* Fetches the records of rows[i] to rank owners[i], where that does not have the data; what was fetched before is
 * forgotten. Collective. */
int ld_corpus_fetch(const ld_corpus *corpus, ld_comm *comm, const int64_t *rows, const int *owners, int64_t n,
                    ld_error *err);

/* How many of the next rows to fetch at once: all where they are few bytes or all ranks have the data, else a
 * multiple of `unit`. The same on every rank. */
int64_t ld_corpus_window(const ld_corpus *corpus, const int64_t *rows, int64_t n, int64_t unit);

/* Fetches rows for a walk through all of them in order, microbatches by rank in turn, when it has reached *until,
 * which is moved on; `first` is where the walk stands. Passes `rc` on, the code of the rank's own walk, which is
 * everyone's where rows are fetched. Collective. */
int ld_corpus_fetch_next(const ld_corpus *corpus, ld_comm *comm, int64_t first, int64_t micro_batch,
                         int64_t *until, int rc, ld_error *err);

#endif
