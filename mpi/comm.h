/* The ranks of a job, without MPI's types.
 *
 * A communicator of one rank needs no MPI at all, so a program that was not started by mpirun or srun runs as
 * it is. Functions are collective unless they say otherwise: every rank of the communicator must call them in
 * the same order.
 *
 * A rank that waits here also answers. A rank that has waited long asks rank 0, and rank 0 asks all, whether
 * they are still there. When a host does not answer within the patience, the job ends with an error that
 * names it. So nothing hangs when a host is cut off. A rank that computes for long must poll; work that takes
 * long without polls goes through ld_comm_meanwhile. */
#ifndef LD_COMM_H
#define LD_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text.h"

typedef struct ld_comm ld_comm;

/* Joins the job that started this process, or makes a job of it alone. The caller ends it with
 * ld_comm_finish. When a rank is missing, neither call waits for ever: their limits are multiples of the
 * patience, which is in seconds. */
int ld_comm_start(int *argc, char ***argv, double patience, ld_comm **out, ld_error *err);
void ld_comm_finish(ld_comm *comm);

/* Whether this process prints for its job (it is rank 0, or alone), as far as the environment tells before
 * ld_comm_start: false only when a live launcher says that this is another rank. After ld_comm_start use
 * ld_comm_rank. Not collective. */
bool ld_comm_prints(void);

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

/* A communicator of the ranks that are `member`, in their order; NULL on the other ranks. Freed by
 * ld_comm_leave (collective over its ranks; NULL is fine), before the whole job's is finished. */
ld_comm *ld_comm_among(ld_comm *comm, bool member);
/* The ranks of each node, likewise. */
ld_comm *ld_comm_of_node(ld_comm *comm);
void ld_comm_leave(ld_comm *part);

/* In place, any count. Sums of integers have the same bits in every order. */
void ld_comm_sum_i64(ld_comm *comm, int64_t *values, size_t count);
void ld_comm_max_i64(ld_comm *comm, int64_t *values, size_t count);
void ld_comm_max_f64(ld_comm *comm, double *values, size_t count);

/* Begins the same: `values` belong to the reduction until ld_comm_wait, which completes all that were begun.
 * They only advance while somebody polls. */
void ld_comm_begin_sum_i64(ld_comm *comm, int64_t *values, size_t count);
void ld_comm_begin_max_u32(ld_comm *comm, uint32_t *values, size_t count);
void ld_comm_wait(ld_comm *comm);

/* Advances pending transfers and answers other ranks; returns at once. Call it between pieces of work of at
 * most a few seconds. Not collective. */
void ld_comm_poll(ld_comm *comm);

/* Runs `work` in its own thread while this one polls, and returns its code: for work without polls, such as
 * writing a file. It must not call MPI. Not collective. */
int ld_comm_meanwhile(ld_comm *comm, int (*work)(void *user, ld_error *err), void *user, ld_error *err);

/* Rank 0 does the work in this way, and every rank returns its result. Collective. */
int ld_comm_by_first(ld_comm *comm, int (*work)(void *user, ld_error *err), void *user, ld_error *err);

/* What this rank is doing ("step 17"), for the errors of ranks that wait for it; and how many seconds a rank
 * may stay without an answer (LD_PATIENCE by default). Not collective. */
enum { LD_PATIENCE = 30 };
void ld_comm_at(ld_comm *comm, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ld_comm_set_patience(ld_comm *comm, double seconds);

/* Any number of bytes, also 0. Not collective: between two ranks. */
void ld_comm_send(ld_comm *comm, const void *bytes, size_t count, int to);
void ld_comm_receive(ld_comm *comm, void *bytes, size_t count, int from);

void ld_comm_broadcast(ld_comm *comm, void *bytes, size_t count, int root);
void ld_comm_broadcast_text(ld_comm *comm, ld_text *text, int root);
void ld_comm_barrier(ld_comm *comm);

/* Joins the `bytes` bytes of each rank in rank order; every rank gets them all. The caller frees *all. */
void ld_comm_gather_all(ld_comm *comm, const void *mine, size_t bytes, void **all, size_t *total);

/* Agrees on success: when any rank failed (its rc is not 0), all return the error and code of the lowest
 * failing rank. So only one rank prints, and all end in the same way. */
int ld_comm_agree(ld_comm *comm, int rc, ld_error *err);

#endif
