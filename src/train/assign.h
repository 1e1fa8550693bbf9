/* Which rank computes which microbatch of a step. Microbatches are assigned by their work, so that all ranks
 * finish at about the same time. Since sums are exact, the assignment cannot change a result.
 *
 * The work of a row is the sum over its sequences. The work of a sequence is counted by a dry pass of its
 * shape, and remembered for all sequences of about that shape. So nothing here knows what a model or an
 * objective computes. */
#ifndef LD_ASSIGN_H
#define LD_ASSIGN_H

#include "data/corpus.h"
#include "nn/tape.h"

/* The work of one microbatch, and its number. */
typedef struct ld_work {
  int64_t amount, number;
} ld_work;

typedef struct ld_assignment {
  const ld_plan *plan;
  int64_t *row_work; /* (rows of the plan) floating-point operations */
  ld_work *work;     /* of the step's microbatches */
  int64_t *load;     /* (n_ranks) */
  int *owner;        /* of each microbatch */
  int64_t micro;
  int n_ranks;
} ld_assignment;

/* Finds the work of each row by dry passes on `tape`, whose memory they reset. LD_EUSAGE when a row is too
 * much for one pass. Free with ld_assignment_free, also after an error. */
int ld_assignment_create(ld_assignment *assignment, const ld_corpus *corpus, ld_tape *tape,
                         const ld_options *options, int n_ranks, ld_error *err);
void ld_assignment_free(ld_assignment *assignment); /* a zeroed one is fine */

/* The owner of each microbatch of a step with these rows. The array belongs to the assignment and is valid
 * until the next call. */
const int *ld_assign_step(ld_assignment *assignment, const int64_t *rows, int64_t n_rows);

/* Assigns n pieces of work, sorting them on the way: the largest first, each to the rank with the least work
 * so far. `load` (n_ranks) receives the total of each rank. */
void ld_assign_work(ld_work *work, int64_t n, int64_t *load, int n_ranks, int *owner);

#endif
