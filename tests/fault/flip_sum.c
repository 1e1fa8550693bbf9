/* Preloaded into all ranks, flips one bit of a sum as one rank receives it, like faulty memory would:
 *
 *   FLIP_RANK=R  FLIP_AT=N     the N-th long sum of rank R, from 1 */
#include <mpi.h>
#include <stdint.h>
#include <stdlib.h>

enum { LONG = 1000 };

static int number(const char *name) {
  const char *text = getenv(name);
  return text ? atoi(text) : -1;
}

/* Waits for the sum here: only then is there something to flip. */
int MPI_Iallreduce(const void *send, void *receive, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm,
                   MPI_Request *request) {
  static int sums;
  int rank;
  MPI_Comm_rank(comm, &rank);
  *request = MPI_REQUEST_NULL;
  const int rc = MPI_Allreduce(send, receive, n, type, op, comm);
  if (op == MPI_SUM && n >= LONG && ++sums == number("FLIP_AT") && rank == number("FLIP_RANK"))
    ((int64_t *)receive)[n / 2] ^= (int64_t)1 << 38; /* large enough to be seen in a float */
  return rc;
}
