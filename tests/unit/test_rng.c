#include <criterion/criterion.h>

#include "base/rng.h"

/* Known answers of Philox4x32-10 from its authors' distribution (Random123, kat_vectors). */
Test(rng, known_answers) {
  uint32_t out[4];
  const ld_stream zero = {{0, 0}, {0, 0}};
  ld_rng_words(&zero, 0, out);
  cr_assert(out[0] == 0x6627e8d5 && out[1] == 0xe169c58d && out[2] == 0xbc57ac4c && out[3] == 0x9b00dbd8);
  const ld_stream ones = {{0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}};
  ld_rng_words(&ones, 0xffffffffffffffff, out);
  cr_assert(out[0] == 0x408f276d && out[1] == 0x41c83b0e && out[2] == 0xa20bc7c6 && out[3] == 0x6d5451fd);
}

Test(rng, streams_differ_and_repeat) {
  const ld_stream a = ld_rng_stream(1, LD_RNG_DROPOUT, 7, 3), again = ld_rng_stream(1, LD_RNG_DROPOUT, 7, 3);
  const ld_stream others[] = {ld_rng_stream(2, LD_RNG_DROPOUT, 7, 3), ld_rng_stream(1, LD_RNG_INIT, 7, 3),
                              ld_rng_stream(1, LD_RNG_DROPOUT, 8, 3), ld_rng_stream(1, LD_RNG_DROPOUT, 7, 4)};
  cr_assert(ld_rng_u64(&a, 5) == ld_rng_u64(&again, 5));
  for (int i = 0; i < 4; i++) cr_assert(ld_rng_u64(&a, 5) != ld_rng_u64(&others[i], 5));
}

Test(rng, uniform_has_the_right_moments) {
  const ld_stream s = ld_rng_stream(0, LD_RNG_INIT, 0, 0);
  double sum = 0, squares = 0;
  enum { N = 100000 };
  for (int i = 0; i < N; i++) {
    const double x = (double)ld_rng_uniform(&s, (uint64_t)i);
    cr_assert(x >= 0 && x < 1);
    sum += x;
    squares += x * x;
  }
  cr_assert_float_eq(sum / N, 0.5, 0.005);
  cr_assert_float_eq(squares / N - 0.25, 1.0 / 12, 0.005);
}

Test(rng, permutation_holds_each_number_once) {
  enum { N = 1000 };
  int64_t order[N];
  int seen[N] = {0}, moved = 0;
  const ld_stream s = ld_rng_stream(3, LD_RNG_SHUFFLE, 0, 0);
  ld_rng_permute(&s, order, N);
  for (int i = 0; i < N; i++) {
    seen[order[i]]++;
    moved += order[i] != i;
  }
  for (int i = 0; i < N; i++) cr_assert(seen[i] == 1);
  cr_assert(moved > N / 2);
}
