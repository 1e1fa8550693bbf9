#include "io/hash.h"

#include <endian.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/memory.h"

enum { PIECE = 4 << 20, MOST_THREADS = 16 };

uint64_t ld_hash(uint64_t before, const void *bytes, size_t length) {
  return XXH3_64bits_withSeed(bytes, length, before);
}

uint64_t ld_hash_u64(uint64_t before, uint64_t value) {
  const uint64_t little = htole64(value);
  return ld_hash(before, &little, sizeof little);
}

uint64_t ld_hash_string(uint64_t before, const char *string) {
  const uint64_t seed = ld_hash_u64(before, string != NULL);
  return string ? ld_hash(seed, string, strlen(string)) : seed;
}

static size_t n_pieces(const ld_region *region) {
  return region->length / PIECE + (region->length % PIECE != 0);
}

/* Shared by the threads, which take the pieces of all regions in turn. */
typedef struct crew {
  const ld_region *regions;
  size_t *first; /* the first piece of each region, counted over all regions, and the total at the end */
  size_t n_regions, n_pieces;
  uint64_t *hashes; /* (n_pieces) */
  atomic_size_t next;
} crew;

/* Lets a disk or a network fetch the whole piece at once. Only a hint: not all memory is a mapped file. */
static void ask_for(const char *bytes, size_t length) {
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)bytes / page * page;
  (void)madvise((void *)start, (uintptr_t)bytes + length - start, MADV_WILLNEED);
}

static void hash_piece(const crew *c, size_t region, size_t piece) {
  const ld_region *r = &c->regions[region];
  const size_t at = (piece - c->first[region]) * PIECE, rest = r->length - at;
  const size_t length = rest < PIECE ? rest : PIECE;
  const char *bytes = (const char *)r->bytes + at;
  if (length == PIECE) ask_for(bytes, length);
  c->hashes[piece] = ld_hash(0, bytes, length);
}

static void *work(void *self) {
  crew *c = self;
  size_t region = 0;
  for (size_t piece; (piece = atomic_fetch_add(&c->next, 1)) < c->n_pieces;) {
    while (c->first[region + 1] <= piece) region++;
    hash_piece(c, region, piece);
  }
  return NULL;
}

/* mpirun binds a rank to its core; the helpers of a rank that works for its whole host may run elsewhere. */
static void *help(void *self) {
  cpu_set_t all;
  memset(&all, 0xff, sizeof all);
  (void)sched_setaffinity(0, sizeof all, &all);
  return work(self);
}

/* If no thread can be started, this one does everything. */
static void run(crew *c, int n_threads) {
  pthread_t helpers[MOST_THREADS];
  int n = 0;
  while (n < MOST_THREADS && n + 1 < n_threads && (size_t)n + 1 < c->n_pieces &&
         !pthread_create(&helpers[n], NULL, help, c))
    n++;
  work(c);
  while (n) pthread_join(helpers[--n], NULL);
}

void ld_hash_regions(ld_region *regions, size_t n, int n_threads) {
  crew c = {.regions = regions, .n_regions = n, .first = ld_alloc(n + 1, sizeof *c.first)};
  for (size_t i = 0; i < n; i++) c.first[i + 1] = c.first[i] + n_pieces(&regions[i]);
  c.n_pieces = c.first[n];
  c.hashes = ld_alloc(c.n_pieces, sizeof *c.hashes);
  run(&c, n_threads);
  for (size_t i = 0; i < n; i++) {
    regions[i].hash = ld_hash_u64(0, regions[i].length);
    for (size_t piece = c.first[i]; piece < c.first[i + 1]; piece++)
      regions[i].hash = ld_hash_u64(regions[i].hash, c.hashes[piece]);
  }
  free(c.hashes);
  free(c.first);
}
