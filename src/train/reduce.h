/* Sums a step's gradients over the ranks while the last microbatch is still in its backward pass.
 *
 * Neighbouring parameters are joined into buckets. As soon as this rank's last microbatch has passed the
 * layers of a bucket, the sum of the bucket begins. Buckets are summed in the order of the backward pass,
 * which is the same on all ranks. Since the sums are exact, none of this changes their bits. */
#ifndef LD_REDUCE_H
#define LD_REDUCE_H

#include "mpi/comm.h"
#include "nn/tape.h"
#include "train/exact.h"

typedef struct ld_bucket {
  size_t first, end; /* parameters */
  size_t missing;    /* of them, in the current microbatch */
} ld_bucket;

typedef struct ld_reduce {
  ld_comm *comm;
  ld_exact *exact;
  const ld_param *params;
  ld_bucket *buckets; /* in the order in which they are summed */
  size_t n_buckets, n_begun;
  bool *added; /* (n_params) in the current microbatch */
  bool last;   /* the current microbatch is the rank's last of the step */
} ld_reduce;

/* `exact` is borrowed. */
void ld_reduce_create(ld_reduce *reduce, ld_comm *comm, ld_exact *exact);
void ld_reduce_free(ld_reduce *reduce); /* a zeroed one is fine */

/* Before the first microbatch of a step. */
void ld_reduce_begin(ld_reduce *reduce);

/* Call before a microbatch's backward pass, whenever a layer's gradients are complete, and after the pass. */
void ld_reduce_microbatch(ld_reduce *reduce, bool last);
void ld_reduce_layer(ld_reduce *reduce, const ld_linear *layer);
void ld_reduce_rest(ld_reduce *reduce);

/* How long this rank waited for the sums, in seconds. */
typedef struct ld_waits {
  double network; /* seconds when the last rank was ready already, as rank 0 saw it */
  double ranks;   /* seconds for slower ranks: the mean of all */
} ld_waits;

/* Call after the step's last microbatch, also when some failed. Then sums, counters and peaks cover all
 * ranks. `busy` is the time in seconds that the rank computed in this step; `busy_counter` is the counter in
 * which its sum travels. Collective. */
void ld_reduce_end(ld_reduce *reduce, double busy, int busy_counter, ld_waits *waits);

#endif
