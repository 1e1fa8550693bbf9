#include "base/rng.h"

#include <math.h>

static void philox_round(uint32_t c[4], const uint32_t k[2]) {
  const uint64_t p0 = (uint64_t)0xD2511F53u * c[0];
  const uint64_t p1 = (uint64_t)0xCD9E8D57u * c[2];
  const uint32_t n0 = (uint32_t)(p1 >> 32) ^ c[1] ^ k[0];
  const uint32_t n2 = (uint32_t)(p0 >> 32) ^ c[3] ^ k[1];
  c[0] = n0;
  c[1] = (uint32_t)p1;
  c[2] = n2;
  c[3] = (uint32_t)p0;
}

static void philox(uint32_t c[4], uint32_t k0, uint32_t k1) {
  uint32_t k[2] = {k0, k1};
  for (int round = 0; round < 10; round++) {
    philox_round(c, k);
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
}

ld_stream ld_rng_stream(uint64_t seed, enum ld_rng_use use, uint64_t a, uint64_t b) {
  /* The inputs are longer than key and counter together, so the generator itself hashes them. */
  uint32_t c[4] = {(uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b, (uint32_t)(b >> 32)};
  philox(c, (uint32_t)seed, (uint32_t)(seed >> 32) ^ ((uint32_t)use << 24));
  return (ld_stream){.key = {c[0], c[1]}, .counter = {c[2], c[3]}};
}

void ld_rng_words(const ld_stream *stream, uint64_t index, uint32_t out[4]) {
  out[0] = (uint32_t)index;
  out[1] = (uint32_t)(index >> 32);
  out[2] = stream->counter[0];
  out[3] = stream->counter[1];
  philox(out, stream->key[0], stream->key[1]);
}

float ld_rng_uniform(const ld_stream *stream, uint64_t index) {
  uint32_t words[4];
  ld_rng_words(stream, index / 4, words);
  return (float)(words[index % 4] >> 8) * 0x1p-24f;
}

uint64_t ld_rng_u64(const ld_stream *stream, uint64_t index) {
  uint32_t words[4];
  ld_rng_words(stream, index / 2, words);
  const uint32_t *pair = words + index % 2 * 2;
  return (uint64_t)pair[1] << 32 | pair[0];
}

float ld_rng_normal(const ld_stream *stream, uint64_t index) {
  const double u = 1.0 - (double)ld_rng_uniform(stream, 2 * index),
               v = (double)ld_rng_uniform(stream, 2 * index + 1);
  return (float)(sqrt(-2 * log(u)) * cos(2 * M_PI * v));
}

void ld_rng_permute(const ld_stream *stream, int64_t *order, int64_t n) {
  for (int64_t i = 0; i < n; i++) order[i] = i;
  for (int64_t i = n - 1; i > 0; i--) {
    /* The modulo's bias is below n / 2^64. */
    const int64_t j = (int64_t)(ld_rng_u64(stream, (uint64_t)i) % (uint64_t)(i + 1));
    const int64_t held = order[i];
    order[i] = order[j];
    order[j] = held;
  }
}

void ld_rng_fill(const ld_stream *stream, uint64_t first, float bound, float *x, size_t n) {
  for (size_t i = 0; i < n; i++) x[i] = (2 * ld_rng_uniform(stream, first + i) - 1) * bound;
}

uint64_t ld_rng_name(const char *text) {
  uint64_t hash = 14695981039346656037u;
  for (; *text; text++) hash = (hash ^ (uint8_t)*text) * 1099511628211u;
  return hash;
}
