#include "mpi/comm.h"

#include <fcntl.h>
#include <mpi.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "mpi/limit.h"
#include "mpi/watch.h"

/* Counts in MPI 3 are ints; longer arrays go in chunks of this many elements. */
enum { CHUNK = 1 << 26, HOST_BYTES = 64 };

struct ld_comm {
  bool alone, part;
  MPI_Comm world;
  int rank, size, node_rank, node_size, nodes;
  char **hosts; /* (size) of all ranks */
  ld_watch *watch;
  double patience;
  MPI_Request *begun; /* the requests that ld_comm_wait waits for */
  size_t n_begun, begun_room;
};

/* Whatever a rank starts inherits the launcher's variables, and shells and job files may keep them. But when
 * the launcher ends, its folder disappears, and so does the channel to it, an open descriptor. */
static bool launcher_is_gone(void) {
  const char *folder = getenv("PMIX_SERVER_TMPDIR");
  return folder && access(folder, F_OK);
}

static bool under_pmix(void) {
  return getenv("PMIX_NAMESPACE") && !launcher_is_gone();
}

static bool is_open(const char *descriptor) {
  return descriptor && fcntl(atoi(descriptor), F_GETFD) >= 0;
}

/* Every launcher leaves its mark in the environment; without one, MPI_Init would only cost time. */
static bool launched(void) {
  static const char *const marks[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE"};
  for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
    if (getenv(marks[i])) return true;
  return false;
}

bool ld_comm_prints(void) {
  const char *pmix = under_pmix() ? getenv("PMIX_RANK") : NULL;
  const char *pmi = is_open(getenv("PMI_FD")) ? getenv("PMI_RANK") : NULL;
  const char *rank = pmix ? pmix : pmi;
  return !rank || !strcmp(rank, "0");
}

ld_comm *ld_comm_alone(void) {
  ld_comm *comm = ld_alloc(1, sizeof *comm);
  comm->alone = true;
  comm->size = comm->node_size = comm->nodes = 1;
  comm->hosts = ld_alloc(1, sizeof *comm->hosts);
  comm->hosts[0] = ld_alloc(HOST_BYTES, 1);
  if (gethostname(comm->hosts[0], HOST_BYTES - 1)) strcpy(comm->hosts[0], "localhost");
  return comm;
}

/* The library's description continues with packages and dates; MPICH puts tabs in it. */
void ld_comm_library(char *name, size_t size) {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length;
  MPI_Get_library_version(text, &length);
  text[strcspn(text, ",\n")] = 0;
  for (char *at = text; (at = strchr(at, '\t'));) *at = ' ';
  snprintf(name, size, "%s", text);
}

bool ld_comm_by_mpirun(void) {
  return getenv("OMPI_COMM_WORLD_SIZE") && under_pmix();
}

/* Ranks whose mpirun was killed would continue by themselves, beside the job that was started in its place. */
static void end_with_launcher(void) {
  if (ld_comm_by_mpirun()) prctl(PR_SET_PDEATHSIG, SIGKILL);
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

static void find_hosts(ld_comm *comm) {
  char *mine = comm->hosts[0], *all = ld_alloc((size_t)comm->size, HOST_BYTES);
  MPI_Allgather(mine, HOST_BYTES, MPI_BYTE, all, HOST_BYTES, MPI_BYTE, comm->world);
  free(mine);
  comm->hosts = ld_realloc(comm->hosts, (size_t)comm->size, sizeof *comm->hosts);
  for (int r = 0; r < comm->size; r++) comm->hosts[r] = ld_strdup(all + (size_t)r * HOST_BYTES);
  free(all);
}

/* Sends gradients in both directions at once, which is faster over TCP than Open MPI's own choice. (Its
 * progress thread would hide a little more, but is not safe while the ranks connect.) A value in the
 * environment takes precedence. */
static void tune(void) {
  setenv("OMPI_MCA_btl_tcp_flags", "1", 0);
}

/* Seconds for an MPI call in which all ranks must take part; starting includes the launcher's own work. */
static double start_limit(double patience) {
  return 10 + 4 * patience;
}

static double call_limit(const ld_comm *comm) {
  return 10 + 2 * comm->patience;
}

/* With less address space, Open MPI ends with messages of its own, or crashes. */
enum { MPI_BYTES = 176 << 20 };

int ld_comm_start(int *argc, char ***argv, double patience, ld_comm **out, ld_error *err) {
  ld_comm *comm = *out = ld_comm_alone();
  if (!launched()) return 0;
  if (launcher_is_gone()) {
    ld_warn(
        "the environment holds variables of a launcher that has ended (its folder %s is gone): this process "
        "runs alone; unset PMIX_RANK and OMPI_COMM_WORLD_SIZE",
        getenv("PMIX_SERVER_TMPDIR"));
    return 0;
  }
  if (!ld_memory_is_there(MPI_BYTES))
    return ld_fail(err, LD_EMEMORY, "out of memory: MPI needs about %d MiB to start: %s", MPI_BYTES >> 20,
                   LD_MEMORY_REMEDY);
  int provided;
  tune();
  comm->patience = patience;
  ld_limit *limit = ld_limit_begin(start_limit(patience), "MPI_Init",
                                   "Where starting takes longer, give a longer --patience");
  /* Errors inside MPI end the job (MPI_ERRORS_ARE_FATAL, the default): no rank could continue without the
   * others. */
  if (MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS) {
    ld_limit_end(limit);
    return ld_fail(err, LD_ESYSTEM,
                   "MPI does not start: check that mpirun and the library are of the same Open MPI");
  }
  end_with_launcher();
  comm->alone = false;
  comm->world = MPI_COMM_WORLD;
  find_places(comm);
  find_hosts(comm);
  comm->watch = ld_watch_start(comm->world, comm->hosts, patience);
  ld_limit_end(limit);
  return 0;
}

static void free_hosts(ld_comm *comm) {
  for (int r = 0; comm->hosts && r < comm->size; r++) free(comm->hosts[r]);
  free(comm->hosts);
}

void ld_comm_finish(ld_comm *comm) {
  if (!comm) return;
  if (!comm->alone) {
    ld_comm_barrier(comm); /* no rank asks after it */
    ld_limit *limit = ld_limit_begin(call_limit(comm), "MPI_Finalize",
                                     "The command's work was already complete and is written");
    ld_watch_free(comm->watch);
    MPI_Finalize();
    ld_limit_end(limit);
  }
  free(comm->begun);
  free_hosts(comm);
  free(comm);
}

static ld_comm *part_of(const ld_comm *comm, MPI_Comm group) {
  if (group == MPI_COMM_NULL) return NULL;
  ld_comm *part = ld_alloc(1, sizeof *part);
  *part =
      (ld_comm){.part = true, .world = group, .watch = comm->watch, .patience = comm->patience, .nodes = 1};
  MPI_Comm_rank(group, &part->rank);
  MPI_Comm_size(group, &part->size);
  part->node_size = part->size;
  part->node_rank = part->rank;
  return part;
}

static ld_limit *limit_split(ld_comm *comm) {
  ld_comm_barrier(comm); /* waits under the watch: what follows cannot take long */
  return ld_limit_begin(call_limit(comm), "MPI_Comm_split",
                        "The same command resumes from the latest checkpoint");
}

ld_comm *ld_comm_among(ld_comm *comm, bool member) {
  if (comm->alone) return member ? ld_comm_alone() : NULL;
  MPI_Comm group;
  ld_limit *limit = limit_split(comm);
  MPI_Comm_split(comm->world, member ? 0 : MPI_UNDEFINED, comm->rank, &group);
  ld_limit_end(limit);
  return part_of(comm, group);
}

ld_comm *ld_comm_of_node(ld_comm *comm) {
  if (comm->alone) return ld_comm_alone();
  MPI_Comm group;
  ld_limit *limit = limit_split(comm);
  MPI_Comm_split_type(comm->world, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &group);
  ld_limit_end(limit);
  return part_of(comm, group);
}

void ld_comm_leave(ld_comm *part) {
  if (!part) return;
  if (!part->alone) MPI_Comm_free(&part->world);
  free(part->begun);
  free_hosts(part);
  free(part);
}

int ld_comm_rank(const ld_comm *comm) {
  return comm->rank;
}

int ld_comm_size(const ld_comm *comm) {
  return comm->size;
}

int ld_comm_node_size(const ld_comm *comm) {
  return comm->node_size;
}

int ld_comm_nodes(const ld_comm *comm) {
  return comm->nodes;
}

const char *ld_comm_host(const ld_comm *comm) {
  return comm->hosts[comm->rank];
}

const char *ld_comm_host_of(const ld_comm *comm, int rank) {
  return comm->hosts[rank];
}

void ld_comm_at(ld_comm *comm, const char *format, ...) {
  if (comm->alone) return;
  char text[64];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  ld_watch_at(comm->watch, text);
}

void ld_comm_set_patience(ld_comm *comm, double seconds) {
  comm->patience = seconds;
  if (!comm->alone) ld_watch_set_patience(comm->watch, seconds);
}

void ld_comm_poll(ld_comm *comm) {
  if (!comm->alone) ld_watch_serve(comm->watch);
}

static MPI_Request *new_request(ld_comm *comm) {
  comm->begun = ld_grow(comm->begun, comm->n_begun, &comm->begun_room, sizeof *comm->begun);
  return &comm->begun[comm->n_begun++];
}

void ld_comm_wait(ld_comm *comm) {
  if (comm->n_begun) ld_watch_wait(comm->watch, comm->begun, (int)comm->n_begun);
  comm->n_begun = 0;
}

static void begin(ld_comm *comm, void *values, size_t count, size_t size, MPI_Datatype type, MPI_Op op) {
  if (comm->alone) return;
  for (size_t at = 0; at < count; at += CHUNK) {
    const size_t n = count - at < CHUNK ? count - at : CHUNK;
    MPI_Iallreduce(MPI_IN_PLACE, (char *)values + at * size, (int)n, type, op, comm->world,
                   new_request(comm));
  }
}

void ld_comm_begin_sum_i64(ld_comm *comm, int64_t *values, size_t count) {
  begin(comm, values, count, sizeof *values, MPI_INT64_T, MPI_SUM);
}

void ld_comm_begin_max_u32(ld_comm *comm, uint32_t *values, size_t count) {
  begin(comm, values, count, sizeof *values, MPI_UINT32_T, MPI_MAX);
}

void ld_comm_sum_i64(ld_comm *comm, int64_t *values, size_t count) {
  begin(comm, values, count, sizeof *values, MPI_INT64_T, MPI_SUM);
  ld_comm_wait(comm);
}

void ld_comm_max_i64(ld_comm *comm, int64_t *values, size_t count) {
  begin(comm, values, count, sizeof *values, MPI_INT64_T, MPI_MAX);
  ld_comm_wait(comm);
}

void ld_comm_max_f64(ld_comm *comm, double *values, size_t count) {
  begin(comm, values, count, sizeof *values, MPI_DOUBLE, MPI_MAX);
  ld_comm_wait(comm);
}

/* One chunk after the other: all at once would need memory for all chunks in transit. */
void ld_comm_broadcast(ld_comm *comm, void *bytes, size_t count, int root) {
  if (comm->alone) return;
  for (size_t at = 0; at < count; at += CHUNK) {
    const size_t n = count - at < CHUNK ? count - at : CHUNK;
    MPI_Ibcast((char *)bytes + at, (int)n, MPI_BYTE, root, comm->world, new_request(comm));
    ld_comm_wait(comm);
  }
}

void ld_comm_broadcast_text(ld_comm *comm, ld_text *text, int root) {
  uint64_t length = text->length;
  ld_comm_broadcast(comm, &length, sizeof length, root);
  if (comm->rank != root) {
    ld_text_free(text);
    *text = (ld_text){.bytes = ld_alloc(length + 1, 1), .length = length, .room = length + 1};
  }
  ld_comm_broadcast(comm, text->bytes, length, root);
}

void ld_comm_barrier(ld_comm *comm) {
  if (comm->alone) return;
  MPI_Ibarrier(comm->world, new_request(comm));
  ld_comm_wait(comm);
}

void ld_comm_send(ld_comm *comm, const void *bytes, size_t count, int to) {
  for (size_t at = 0; at < count; at += CHUNK) {
    const size_t n = count - at < CHUNK ? count - at : CHUNK;
    MPI_Isend((const char *)bytes + at, (int)n, MPI_BYTE, to, 0, comm->world, new_request(comm));
    ld_comm_wait(comm);
  }
}

void ld_comm_receive(ld_comm *comm, void *bytes, size_t count, int from) {
  for (size_t at = 0; at < count; at += CHUNK) {
    const size_t n = count - at < CHUNK ? count - at : CHUNK;
    MPI_Irecv((char *)bytes + at, (int)n, MPI_BYTE, from, 0, comm->world, new_request(comm));
    ld_comm_wait(comm);
  }
}

/* Work in its own thread. */
typedef struct errand {
  int (*work)(void *user, ld_error *err);
  void *user;
  ld_error *err;
  int code;
  sem_t done;
} errand;

static void *run_errand(void *self) {
  errand *e = self;
  e->code = e->work(e->user, e->err);
  sem_post(&e->done);
  return NULL;
}

/* Waits for the end of the work, but no longer than until the next poll. */
static bool is_done(errand *e) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += 200000;
  if (until.tv_nsec >= 1000000000) until = (struct timespec){until.tv_sec + 1, until.tv_nsec - 1000000000};
  return sem_timedwait(&e->done, &until) == 0;
}

int ld_comm_meanwhile(ld_comm *comm, int (*work)(void *user, ld_error *err), void *user, ld_error *err) {
  errand e = {.work = work, .user = user, .err = err};
  pthread_t thread;
  if (comm->alone) return work(user, err);
  sem_init(&e.done, 0, 0);
  if (pthread_create(&thread, NULL, run_errand, &e) == 0) {
    while (!is_done(&e)) ld_comm_poll(comm);
    pthread_join(thread, NULL);
  } else {
    e.code = work(user, err);
  }
  sem_destroy(&e.done);
  return e.code;
}

int ld_comm_by_first(ld_comm *comm, int (*work)(void *user, ld_error *err), void *user, ld_error *err) {
  return ld_comm_agree(comm, comm->rank == 0 ? ld_comm_meanwhile(comm, work, user, err) : 0, err);
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
