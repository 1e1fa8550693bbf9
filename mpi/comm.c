#include "mpi/comm.h"

#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/memory.h"

/* Counts in MPI 3 are ints; longer arrays go in chunks of this many elements. */
enum { CHUNK = 1 << 26 };

struct ld_comm {
  bool alone;
  MPI_Comm world;
  int rank, size, node_rank, node_size, nodes;
  char host[256];
};

/* Every launcher leaves its mark in the environment; without one, MPI_Init would only cost time. */
static bool launched(void) {
  static const char *const marks[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE"};
  for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
    if (getenv(marks[i])) return true;
  return false;
}

bool ld_comm_speaks(void) {
  static const char *const ranks[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
  for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
    const char *rank = getenv(ranks[i]);
    if (rank) return !strcmp(rank, "0");
  }
  return true;
}

ld_comm *ld_comm_alone(void) {
  ld_comm *comm = ld_alloc(1, sizeof *comm);
  comm->alone = true;
  comm->size = comm->node_size = comm->nodes = 1;
  if (gethostname(comm->host, sizeof comm->host - 1)) strcpy(comm->host, "localhost");
  return comm;
}

/* Ranks whose mpirun was killed would go on by themselves, beside the job that was started in its place. */
static void end_with_launcher(void) {
  if (getenv("OMPI_COMM_WORLD_SIZE")) prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static void find_places(ld_comm *comm) {
  MPI_Comm node;
  MPI_Comm_rank(comm->world, &comm->rank);
  MPI_Comm_size(comm->world, &comm->size);
  MPI_Comm_split_type(comm->world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  MPI_Comm_rank(node, &comm->node_rank);
  MPI_Comm_size(node, &comm->node_size);
  MPI_Comm_free(&node);
  int first = comm->node_rank == 0;
  MPI_Allreduce(&first, &comm->nodes, 1, MPI_INT, MPI_SUM, comm->world);
}

int ld_comm_start(int *argc, char ***argv, ld_comm **out, ld_error *err) {
  ld_comm *comm = *out = ld_comm_alone();
  if (!launched()) return 0;
  int provided;
  /* Errors inside MPI end the job (MPI_ERRORS_ARE_FATAL, the default): no rank could go on without the
   * others. */
  if (MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS)
    return ld_fail(err, LD_ESYSTEM,
                   "MPI does not start: check that mpirun and the library are of the same Open MPI");
  end_with_launcher();
  comm->alone = false;
  comm->world = MPI_COMM_WORLD;
  find_places(comm);
  return 0;
}

void ld_comm_finish(ld_comm *comm) {
  if (!comm) return;
  if (!comm->alone) MPI_Finalize();
  free(comm);
}

int ld_comm_rank(const ld_comm *comm) {
  return comm->rank;
}

int ld_comm_size(const ld_comm *comm) {
  return comm->size;
}

int ld_comm_node_rank(const ld_comm *comm) {
  return comm->node_rank;
}

int ld_comm_node_size(const ld_comm *comm) {
  return comm->node_size;
}

int ld_comm_nodes(const ld_comm *comm) {
  return comm->nodes;
}

const char *ld_comm_host(const ld_comm *comm) {
  return comm->host;
}

void ld_comm_abort(ld_comm *comm, int status) {
  if (!comm->alone) MPI_Abort(comm->world, status);
  _exit(status);
}

static void reduce(ld_comm *comm, void *values, size_t count, size_t size, MPI_Datatype type, MPI_Op op) {
  if (comm->alone) return;
  for (size_t at = 0; at < count; at += CHUNK) {
    const size_t n = count - at < CHUNK ? count - at : CHUNK;
    MPI_Allreduce(MPI_IN_PLACE, (char *)values + at * size, (int)n, type, op, comm->world);
  }
}

void ld_comm_sum_i64(ld_comm *comm, int64_t *values, size_t count) {
  reduce(comm, values, count, sizeof *values, MPI_INT64_T, MPI_SUM);
}

void ld_comm_max_i64(ld_comm *comm, int64_t *values, size_t count) {
  reduce(comm, values, count, sizeof *values, MPI_INT64_T, MPI_MAX);
}

void ld_comm_max_u32(ld_comm *comm, uint32_t *values, size_t count) {
  reduce(comm, values, count, sizeof *values, MPI_UINT32_T, MPI_MAX);
}

void ld_comm_max_f64(ld_comm *comm, double *values, size_t count) {
  reduce(comm, values, count, sizeof *values, MPI_DOUBLE, MPI_MAX);
}

void ld_comm_broadcast(ld_comm *comm, void *bytes, size_t count, int root) {
  if (comm->alone) return;
  for (size_t at = 0; at < count; at += CHUNK) {
    const size_t n = count - at < CHUNK ? count - at : CHUNK;
    MPI_Bcast((char *)bytes + at, (int)n, MPI_BYTE, root, comm->world);
  }
}

void ld_comm_barrier(ld_comm *comm) {
  if (!comm->alone) MPI_Barrier(comm->world);
}

void ld_comm_gather_all(ld_comm *comm, const void *mine, size_t bytes, void **all, size_t *total) {
  int64_t *sizes = ld_alloc((size_t)comm->size, sizeof *sizes);
  sizes[comm->rank] = (int64_t)bytes;
  ld_comm_sum_i64(comm, sizes, (size_t)comm->size);
  *total = 0;
  for (int r = 0; r < comm->size; r++) *total += (size_t)sizes[r];
  char *joined = *all = ld_alloc(*total, 1);
  for (int r = 0; r < comm->size; joined += sizes[r++]) {
    if (r == comm->rank && bytes) memcpy(joined, mine, bytes);
    ld_comm_broadcast(comm, joined, (size_t)sizes[r], r);
  }
  free(sizes);
}

int ld_comm_agree(ld_comm *comm, int rc, ld_error *err) {
  int64_t first = rc ? -comm->rank : -(int64_t)comm->size;
  ld_comm_max_i64(comm, &first, 1);
  if (first == -(int64_t)comm->size) return 0;
  ld_error shared = {0};
  if (rc && err) shared = *err;
  if (rc) shared.code = rc;
  ld_comm_broadcast(comm, &shared, sizeof shared, (int)-first);
  if (err) *err = shared;
  return shared.code;
}
