#include "mpi/limit.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"

/* Seconds. Rank 0 prints first. The others give the launcher time to end them, so that only one error is
 * printed; when a rank hangs itself, the next one prints. */
enum { NEXT_RANK = 12, MOST_RANKS = 5 };

struct ld_limit {
  pthread_t thread;
  sem_t over;
  int seconds;
  const char *call, *rest;
};

/* Waits a second, and returns whether the call is over. A process that was stopped and continued loses one
 * second by it, not the time that it was stopped. */
static bool is_over(ld_limit *limit) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec++;
  while (sem_timedwait(&limit->over, &until) != 0)
    if (errno != EINTR) return false;
  return true;
}

/* This process's rank from the launcher's environment, before MPI knows it; 0 without a launcher. */
static int launcher_rank(void) {
  static const char *const ranks[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
  for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
    const char *rank = getenv(ranks[i]);
    if (rank) return atoi(rank);
  }
  return 0;
}

static void *wait_for_end(void *self) {
  ld_limit *limit = self;
  const int rank = launcher_rank();
  const int patient = limit->seconds + NEXT_RANK * (rank < MOST_RANKS ? rank : MOST_RANKS);
  for (int i = 0; i < patient; i++)
    if (is_over(limit)) return NULL;
  ld_complain("%s: a rank is missing for %d s: it hangs, or its host is down or cut off (which one is not "
              "known at this point); all ranks end. %s",
              limit->call, limit->seconds, limit->rest);
  _exit(1);
}

ld_limit *ld_limit_begin(double seconds, const char *call, const char *rest) {
  ld_limit *limit = ld_alloc(1, sizeof *limit);
  *limit = (ld_limit){.seconds = (int)seconds, .call = call, .rest = rest};
  sem_init(&limit->over, 0, 0);
  if (pthread_create(&limit->thread, NULL, wait_for_end, limit) == 0) return limit;
  sem_destroy(&limit->over); /* the call goes on without a limit */
  free(limit);
  return NULL;
}

void ld_limit_end(ld_limit *limit) {
  if (!limit) return;
  sem_post(&limit->over);
  pthread_join(limit->thread, NULL);
  sem_destroy(&limit->over);
  free(limit);
}
