/* The ranks of a job, without a type of MPI in sight.
 *
 * A communicator of one rank needs no MPI at all, so a program that was not started by mpirun or srun runs as
 * it is. Functions are collective unless they say otherwise: every rank of the communicator must call them in
 * the same order.
 *
 * Whoever waits here also answers: a rank that has waited long asks rank 0, and rank 0 asks all, whether they
 * are still there. A host that does not answer within the patience ends the job with an error that names it.
 * So nothing hangs when a host is cut off; a rank that computes long must poll, one that works long without
 * a poll goes by ld_comm_meanwhile.
 */
#ifndef LD_COMM_H
#define LD_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

typedef struct ld_comm ld_comm;

/* Joins the job that started this process; alone when none did. The caller ends it with ld_comm_finish. Where
 * a rank does not come, neither of them waits for ever: the limits are some times the patience, in seconds. */
int ld_comm_start(int *argc, char ***argv, double patience, ld_comm **out, ld_error *err);
void ld_comm_finish(ld_comm *comm);

/* Whether this process prints for its job (rank 0, or alone), as far as the environment shows it before
 * ld_comm_start: false only where a launcher that is still there says that this is another rank. Afterwards
 * ld_comm_rank knows. Not collective. */
bool ld_comm_speaks(void);

/* Whether mpirun, or its daemon on this host, is this process's parent. Not collective. */
bool ld_comm_by_mpirun(void);

/* The name and version of the MPI library ("Open MPI v4.1.4"). Needs no job. Not collective. */
void ld_comm_library(char *name, size_t size);

/* A communicator of this process alone. */
ld_comm *ld_comm_alone(void);

/* Not collective. */
int ld_comm_rank(const ld_comm *comm);
int ld_comm_size(const ld_comm *comm);
int ld_comm_node_size(const ld_comm *comm);
int ld_comm_nodes(const ld_comm *comm);
const char *ld_comm_host(const ld_comm *comm);
const char *ld_comm_host_of(const ld_comm *comm, int rank);

/* The ranks that are `member`, in their order, as a communicator of their own; NULL for the others. Freed by
 * ld_comm_leave (collective over the part; NULL is fine), before the whole is finished. */
ld_comm *ld_comm_among(ld_comm *comm, bool member);
/* The ranks of each node, likewise. */
ld_comm *ld_comm_of_node(ld_comm *comm);
void ld_comm_leave(ld_comm *part);

/* In place, any count; integers, so that every order of summation gives the same bits. */
void ld_comm_sum_i64(ld_comm *comm, int64_t *values, size_t count);
void ld_comm_max_i64(ld_comm *comm, int64_t *values, size_t count);
void ld_comm_max_f64(ld_comm *comm, double *values, size_t count);

/* The same, begun: `values` belong to the reductions until ld_comm_wait, which ends all that were begun. They
 * move only while someone polls. */
void ld_comm_begin_sum_i64(ld_comm *comm, int64_t *values, size_t count);
void ld_comm_begin_max_u32(ld_comm *comm, uint32_t *values, size_t count);
void ld_comm_wait(ld_comm *comm);

/* Moves what is under way and answers other ranks; returns at once. Not collective: to be called between
 * pieces of work of up to some seconds. */
void ld_comm_poll(ld_comm *comm);

/* Runs `work` in a thread of its own while this one polls, and returns its code: for work without polls, such
 * as writing a file. It must not call MPI. Not collective. */
int ld_comm_meanwhile(ld_comm *comm, int (*work)(void *user, ld_error *err), void *user, ld_error *err);

/* Rank 0 does the work so, and its result is everyone's. Collective. */
int ld_comm_by_first(ld_comm *comm, int (*work)(void *user, ld_error *err), void *user, ld_error *err);

/* What this rank is doing ("step 17"), for the error of one that waits for it; and the seconds that a rank
 * may stay without an answer (at first LD_PATIENCE). Not collective. */
enum { LD_PATIENCE = 30 };
void ld_comm_at(ld_comm *comm, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ld_comm_set_patience(ld_comm *comm, double seconds);

/* Any count of bytes; 0 is fine. Not collective: between two ranks. */
void ld_comm_send(ld_comm *comm, const void *bytes, size_t count, int to);
void ld_comm_receive(ld_comm *comm, void *bytes, size_t count, int from);

void ld_comm_broadcast(ld_comm *comm, void *bytes, size_t count, int root);
void ld_comm_broadcast_text(ld_comm *comm, ld_text *text, int root);
void ld_comm_barrier(ld_comm *comm);

/* Joins each rank's `bytes` bytes in rank order; every rank gets all. The caller frees *all. */
void ld_comm_gather_all(ld_comm *comm, const void *mine, size_t bytes, void **all, size_t *total);

/* Agreement before going on: when any rank failed (its rc is not 0), all get the lowest failing rank's error
 * and code. So one rank prints, and all leave the same way. */
int ld_comm_agree(ld_comm *comm, int rc, ld_error *err);

#endif
