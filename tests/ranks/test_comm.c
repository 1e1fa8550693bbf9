/* Collectives on the number of ranks that mpirun gives: CTest runs it on 1, 2, 3 and 4. Prints nothing when
 * all is well. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/comm.h"

static int failures;

static void expect(bool holds, const char *what, const ld_comm *comm) {
  if (holds) return;
  fprintf(stderr, "rank %d of %d: %s\n", ld_comm_rank(comm), ld_comm_size(comm), what);
  failures++;
}

static void check_sums(ld_comm *comm) {
  const int rank = ld_comm_rank(comm), size = ld_comm_size(comm);
  int64_t values[3] = {1, rank, (int64_t)1 << 61 >> rank};
  int64_t want = 0;
  for (int r = 0; r < size; r++) want += (int64_t)1 << 61 >> r;
  ld_comm_sum_i64(comm, values, 3);
  expect(values[0] == size && values[1] == size * (size - 1) / 2 && values[2] == want, "sum_i64", comm);
  double real = -rank;
  ld_comm_max_f64(comm, &real, 1);
  expect(real == 0, "max_f64", comm);
}

static void check_gather(ld_comm *comm) {
  char mine[8] = "rank   \n";
  mine[5] = (char)('0' + ld_comm_rank(comm));
  void *all;
  size_t total, want = 0;
  ld_comm_gather_all(comm, mine, (size_t)ld_comm_rank(comm) + 1, &all, &total);
  for (int r = 0; r < ld_comm_size(comm); r++) want += (size_t)r + 1;
  expect(total == want, "gather_all: size", comm);
  expect(!memcmp(all, "rra", want < 3 ? want : 3), "gather_all: order", comm);
  free(all);
}

/* Whichever ranks fail, all get the lowest one's error. */
static void check_agree(ld_comm *comm) {
  const int size = ld_comm_size(comm);
  ld_error err = {0};
  expect(ld_comm_agree(comm, 0, &err) == 0, "agree: none failed", comm);
  for (int first = 0; first < size; first++) {
    int rc = 0;
    if (ld_comm_rank(comm) >= first) rc = ld_fail(&err, LD_EFILE, "rank %d failed", ld_comm_rank(comm));
    expect(ld_comm_agree(comm, rc, &err) == LD_EFILE, "agree: code", comm);
    char want[32];
    snprintf(want, sizeof want, "rank %d failed", first);
    expect(!strcmp(err.text, want), "agree: text", comm);
  }
}

/* Two sums in progress at once, while this rank does other things. */
static void check_begun(ld_comm *comm) {
  enum { N = 100000 };
  const int size = ld_comm_size(comm);
  int64_t *many = malloc(N * sizeof *many), one = 1;
  uint32_t peak = (uint32_t)ld_comm_rank(comm);
  for (int i = 0; i < N; i++) many[i] = i;
  ld_comm_begin_sum_i64(comm, many, N);
  ld_comm_poll(comm);
  ld_comm_begin_sum_i64(comm, &one, 1);
  ld_comm_begin_max_u32(comm, &peak, 1);
  ld_comm_poll(comm);
  ld_comm_wait(comm);
  expect(many[0] == 0 && many[N - 1] == (int64_t)size * (N - 1), "begin_sum_i64", comm);
  expect(one == size && peak == (uint32_t)size - 1, "begun together", comm);
  free(many);
}

/* Each rank to its neighbour; the first sends before it receives. */
static void check_pairs(ld_comm *comm) {
  const int rank = ld_comm_rank(comm), size = ld_comm_size(comm);
  int got = -1;
  if (size == 1) return;
  if (rank == 0) ld_comm_send(comm, &rank, sizeof rank, 1);
  ld_comm_receive(comm, &got, sizeof got, (rank + size - 1) % size);
  if (rank) ld_comm_send(comm, &rank, sizeof rank, (rank + 1) % size);
  expect(got == (rank + size - 1) % size, "send and receive", comm);
}

static void check_parts(ld_comm *comm) {
  const int rank = ld_comm_rank(comm), size = ld_comm_size(comm);
  ld_comm *even = ld_comm_among(comm, rank % 2 == 0), *node = ld_comm_of_node(comm);
  int64_t sum = rank, n = 1;
  expect((even != NULL) == (rank % 2 == 0), "among: members", comm);
  if (even) {
    expect(ld_comm_rank(even) == rank / 2 && ld_comm_size(even) == (size + 1) / 2, "among: places", comm);
    ld_comm_sum_i64(even, &sum, 1);
    expect(sum == (size - 1) / 2 * ((size - 1) / 2 + 1), "among: sum", comm);
  }
  ld_comm_sum_i64(node, &n, 1);
  expect(n == size, "of_node", comm);
  ld_comm_leave(even);
  ld_comm_leave(node);
}

static int errand(void *user, ld_error *err) {
  *(int *)user += 1;
  return ld_fail(err, LD_EFILE, "as told");
}

static void check_meanwhile(ld_comm *comm) {
  int n = 1;
  ld_error err = {0};
  expect(ld_comm_meanwhile(comm, errand, &n, &err) == LD_EFILE && n == 2, "meanwhile", comm);
  expect(!strcmp(err.text, "as told"), "meanwhile: error", comm);
}

int main(int argc, char **argv) {
  ld_comm *comm;
  ld_error err;
  if (ld_comm_start(&argc, &argv, LD_PATIENCE, &comm, &err)) return 1;
  expect(ld_comm_node_size(comm) == ld_comm_size(comm) && ld_comm_nodes(comm) == 1, "node", comm);
  check_sums(comm);
  check_gather(comm);
  check_agree(comm);
  check_begun(comm);
  check_pairs(comm);
  check_parts(comm);
  check_meanwhile(comm);
  int64_t all = failures;
  ld_comm_sum_i64(comm, &all, 1);
  ld_comm_finish(comm);
  return all != 0;
}
