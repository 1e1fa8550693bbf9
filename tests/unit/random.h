/* Random numbers for tests, from N(0, 1): the same in every run, others for each name. */
#ifndef TEST_RANDOM_H
#define TEST_RANDOM_H

#include "base/memory.h"
#include "base/rng.h"

__attribute__((unused)) static void fill_random(float *x, size_t n, uint64_t name) {
  const ld_stream stream = ld_rng_stream(7, LD_RNG_INIT, name, 0);
  for (size_t i = 0; i < n; i++) x[i] = ld_rng_normal(&stream, i);
}

/* n of them. The caller frees. */
__attribute__((unused)) static float *random_numbers(size_t n, uint64_t name) {
  float *x = ld_alloc(n, sizeof *x);
  fill_random(x, n, name);
  return x;
}

#endif
