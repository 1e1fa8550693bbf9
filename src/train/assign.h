/* Which rank computes which microbatch of a step: assigned by their work, so that all ranks end together. By the
 * exact sums this cannot change a result.
 *
 * The work of a row is that of its sequences, and that of a sequence is counted by a dry pass of its shape, which is
 * remembered for all of about that shape. So nothing here knows what a model or an objective computes.
 */
#ifndef LD_ASSIGN_H
#define LD_ASSIGN_H

#include "data/corpus.h"
#include "nn/tape.h"

/* Work to be done: how much, and the number of the microbatch. */
typedef struct ld_work {
  int64_t amount, number;
} ld_work;

typedef struct ld_assignment {
  int64_t *row_work; /* (rows of the plan) floating-point operations */
  ld_work *work;     /* of the step's microbatches */
  int64_t *load;     /* (n_ranks) */
  int *owner;        /* of each microbatch */
  int64_t micro;
  int n_ranks;
} ld_assignment;

/* Finds the work of each row by dry passes on `tape`, which forgets its memory. LD_EUSAGE when a row is too much for
 * one pass. Free with ld_assignment_free, also after an error. */
int ld_assignment_create(ld_assignment *assignment, const ld_corpus *corpus, ld_tape *tape,
                         const ld_options *options, int n_ranks, ld_error *err);
void ld_assignment_free(ld_assignment *assignment); /* a zeroed one is fine */

/* The owner of each microbatch of a step with these rows; belongs to the assignment, until the next call. */
const int *ld_assign_step(ld_assignment *assignment, const int64_t *rows, int64_t n_rows);

/* Assigns n pieces of work, which it sorts: the largest first, each to the rank that has least so far. `load`
 * (n_ranks) is what each has in the end. */
void ld_assign_work(ld_work *work, int64_t n, int64_t *load, int n_ranks, int *owner);

#endif
