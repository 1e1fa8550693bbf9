/* A walk through all rows of a corpus over all ranks, whose results rank 0 receives in the rows' order. */
#ifndef LD_WALK_H
#define LD_WALK_H

#include "data/corpus.h"

typedef struct ld_walk {
  /* Appends the results of rows [first, first + n), each ended by a NUL. Called on every rank, for the rows
   * that are its. */
  int (*work)(int64_t first, int n, ld_text *results, void *user, ld_error *err);
  /* Receives a row's result on rank 0. An error ends the walk on all ranks. */
  int (*sink)(int64_t row, const char *result, void *user, ld_error *err);
  void *worker, *receiver; /* user of each */
} ld_walk;

/* Walks in units of `unit` rows, each of which is one rank's. A result must not depend on the others of its
 * unit. Collective. */
int ld_corpus_walk(const ld_corpus *corpus, ld_comm *comm, int unit, const ld_walk *walk, ld_error *err);

#endif
