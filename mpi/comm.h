/* The ranks of a job, without a type of MPI in sight.
 *
 * A communicator of one rank needs no MPI at all, so a program that was not started by mpirun or srun runs as
 * it is. All functions but ld_comm_rank, ld_comm_size and ld_comm_abort are collective: every rank must call
 * them in the same order.
 */
#ifndef LD_COMM_H
#define LD_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

typedef struct ld_comm ld_comm;

/* Joins the job that started this process; alone when none did. The caller ends it with ld_comm_finish. */
int ld_comm_start(int *argc, char ***argv, ld_comm **out, ld_error *err);
void ld_comm_finish(ld_comm *comm);

/* Whether this process is the one that speaks for its job (rank 0, or alone), known from the launcher's
 * environment before ld_comm_start. Not collective. */
bool ld_comm_speaks(void);

/* A communicator of this process alone. */
ld_comm *ld_comm_alone(void);

int ld_comm_rank(const ld_comm *comm);
int ld_comm_size(const ld_comm *comm);
int ld_comm_node_rank(const ld_comm *comm); /* place among the ranks of the same node */
int ld_comm_node_size(const ld_comm *comm);
int ld_comm_nodes(const ld_comm *comm);
const char *ld_comm_host(const ld_comm *comm);

/* Ends all ranks at once. Does not return. Not collective: for what cannot be agreed on. */
void ld_comm_abort(ld_comm *comm, int status);

/* In place, any count; integers, so that every order of summation gives the same bits. */
void ld_comm_sum_i64(ld_comm *comm, int64_t *values, size_t count);
void ld_comm_max_i64(ld_comm *comm, int64_t *values, size_t count);
void ld_comm_max_u32(ld_comm *comm, uint32_t *values, size_t count);
void ld_comm_max_f64(ld_comm *comm, double *values, size_t count);

void ld_comm_broadcast(ld_comm *comm, void *bytes, size_t count, int root);
void ld_comm_barrier(ld_comm *comm);

/* Joins each rank's `bytes` bytes in rank order; every rank gets all. The caller frees *all. */
void ld_comm_gather_all(ld_comm *comm, const void *mine, size_t bytes, void **all, size_t *total);

/* Agreement before going on: when any rank failed (its rc is not 0), all get the lowest failing rank's error
 * and code. So one rank prints, and all leave the same way. */
int ld_comm_agree(ld_comm *comm, int rc, ld_error *err);

#endif
