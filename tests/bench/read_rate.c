/* Measures how fast this core reads memory: the sum of a large array, again and again. One thread.
 *
 *   read_rate [MIB]     of the array (default 512); started once on each core at the same time, it gives the
 *                       machine's rate: the best at which weights could stream through the cores
 *
 * Prints one JSON object: gbytes, 1e9 bytes a second (the best of several passes). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LANES = 64, PASSES = 12 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Many sums at once, so that no addition waits for another. */
static uint64_t sum(const uint64_t *values, size_t n) {
  uint64_t sums[LANES] = {0}, total = 0;
  for (size_t i = 0; i + LANES <= n; i += LANES)
    for (size_t k = 0; k < LANES; k++) sums[k] += values[i + k];
  for (size_t k = 0; k < LANES; k++) total += sums[k];
  return total;
}

int main(int argc, char **argv) {
  const size_t n = (argc > 1 ? strtoul(argv[1], NULL, 10) : 512) * 1024 * 1024 / sizeof(uint64_t);
  uint64_t *values = malloc(n * sizeof *values), total = 0;
  if (!values || !n) return 1;
  for (size_t i = 0; i < n; i++) values[i] = i;
  double best = 0;
  for (int pass = 0; pass < PASSES; pass++) {
    const double begin = now();
    total += sum(values, n);
    const double rate = (double)(n * sizeof *values) / (now() - begin) / 1e9;
    if (rate > best) best = rate;
  }
  printf("{\"gbytes\": %.2f, \"sum\": \"%llu\"}\n", best, (unsigned long long)total);
  free(values);
  return 0;
}
