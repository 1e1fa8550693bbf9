#include "base/machine.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/memory.h"

double ld_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void ld_machine_cores(uint64_t cores[LD_CORE_WORDS]) {
  cpu_set_t set;
  memset(cores, 0, LD_CORE_WORDS * sizeof *cores);
  if (sched_getaffinity(0, sizeof set, &set)) return;
  for (int i = 0; i < CPU_SETSIZE && i < 64 * LD_CORE_WORDS; i++)
    if (CPU_ISSET(i, &set)) cores[i / 64] |= (uint64_t)1 << i % 64;
}

int ld_machine_count_cores(const uint64_t cores[LD_CORE_WORDS]) {
  int n = 0;
  for (int i = 0; i < LD_CORE_WORDS; i++) n += __builtin_popcountll(cores[i]);
  return n;
}

static void *wait_for(void *gate) {
  pthread_mutex_lock(gate);
  pthread_mutex_unlock(gate);
  return NULL;
}

bool ld_machine_can_start(int threads) {
  pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
  pthread_t *started = ld_alloc((size_t)threads, sizeof *started);
  int n = 0;
  pthread_mutex_lock(&gate); /* let all of them start first */
  while (n < threads && !pthread_create(&started[n], NULL, wait_for, &gate)) n++;
  pthread_mutex_unlock(&gate);
  for (int i = 0; i < n; i++) pthread_join(started[i], NULL);
  free(started);
  return n == threads;
}

/* The number after `key` in a file of lines; without a key, the file's only number. -1 for none. */
static int64_t read_number(const char *path, const char *key) {
  FILE *file = fopen(path, "re");
  char line[256];
  int64_t number = -1;
  const size_t n = strlen(key);
  if (!file) return -1;
  while (number < 0 && fgets(line, sizeof line, file))
    if (!strncmp(line, key, n) && sscanf(line + n, " %" SCNd64, &number) != 1) number = -1;
  fclose(file);
  return number;
}

/* The memory that a control group still allows; -1 for no limit. Its cache counts as free. */
static int64_t group_memory(const char *folder, const char *limit, const char *usage, const char *cache) {
  char *limit_path = ld_format("%s/%s", folder, limit), *usage_path = ld_format("%s/%s", folder, usage);
  char *stat_path = ld_format("%s/memory.stat", folder);
  const int64_t most = read_number(limit_path, ""), used = read_number(usage_path, "");
  const int64_t cached = read_number(stat_path, cache);
  free(limit_path);
  free(usage_path);
  free(stat_path);
  if (most < 0 || used < 0) return -1;
  return most - used + (cached > 0 ? cached : 0);
}

static int64_t smaller(int64_t a, int64_t b) {
  if (a < 0 || b < 0) return a < 0 ? b : a;
  return a < b ? a : b;
}

/* The tightest limit of the group and of the groups around it. `path` is cut at its slashes. */
static int64_t groups_memory(const char *root, char *path, const char *limit, const char *usage,
                             const char *cache) {
  int64_t least = -1;
  for (;;) {
    char *folder = ld_format("%s%s", root, path);
    least = smaller(least, group_memory(folder, limit, usage, cache));
    free(folder);
    char *slash = strrchr(path, '/');
    if (!slash) return least;
    *slash = 0;
  }
}

int64_t ld_machine_memory(void) {
  int64_t least = read_number("/proc/meminfo", "MemAvailable:");
  if (least >= 0) least *= 1024;
  FILE *file = fopen("/proc/self/cgroup", "re");
  char line[4096];
  while (file && fgets(line, sizeof line, file)) {
    char *path = strrchr(line, ':');
    line[strcspn(line, "\n")] = 0;
    if (!path) continue;
    path++;
    if (!strncmp(line, "0::", 3))
      least = smaller(least,
                      groups_memory("/sys/fs/cgroup", path, "memory.max", "memory.current", "inactive_file"));
    else if (strstr(line, ":memory:"))
      least = smaller(least, groups_memory("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes",
                                           "memory.usage_in_bytes", "total_inactive_file"));
  }
  if (file) fclose(file);
  return least;
}
