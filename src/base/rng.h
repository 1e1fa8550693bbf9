/* Random numbers without state: a counter goes in, bits come out.
 *
 * Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011). A stream is named by
 * what the number is for, (seed, step, sample, tensor), and a number by its index in the stream. So no number
 * depends on a rank or on the order of calls. */
#ifndef LD_RNG_H
#define LD_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct ld_stream {
  uint32_t key[2];
  uint32_t counter[2]; /* the upper half of the counter; the lower half counts within the stream */
} ld_stream;

/* What a stream is for, so that different uses never share one. */
enum ld_rng_use {
  LD_RNG_INIT = 1,
  LD_RNG_SHUFFLE,
  LD_RNG_DROPOUT,
  LD_RNG_SAMPLE,
  LD_RNG_AUGMENT,
  LD_RNG_NOISE,
  LD_RNG_PICTURE
};

/* The stream of (seed, use, a, b): for instance (seed, LD_RNG_DROPOUT, step, module). */
ld_stream ld_rng_stream(uint64_t seed, enum ld_rng_use use, uint64_t a, uint64_t b);

/* Four words at `index` (words 4 * index to 4 * index + 3 of the stream). */
void ld_rng_words(const ld_stream *stream, uint64_t index, uint32_t out[4]);

/* Number `index` of the stream: uniform in [0, 1) with 24 bits, and a 64-bit word. */
float ld_rng_uniform(const ld_stream *stream, uint64_t index);
uint64_t ld_rng_u64(const ld_stream *stream, uint64_t index);

/* Normal with mean 0 and deviation 1; number `index` uses two uniform ones (Box and Muller, 1958). */
float ld_rng_normal(const ld_stream *stream, uint64_t index);

/* Fills x (n) from U(-bound, bound) with the numbers of the stream from `first` on. */
void ld_rng_fill(const ld_stream *stream, uint64_t first, float bound, float *x, size_t n);

/* A number for a text, to name a stream by (FNV-1a). */
uint64_t ld_rng_name(const char *text);

/* Fills `order` with a permutation of 0 .. n-1 (Fisher-Yates over the stream). */
void ld_rng_permute(const ld_stream *stream, int64_t *order, int64_t n);

#endif
