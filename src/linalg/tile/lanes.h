/* The compiler's vectors, of LD_TILE_LANES floats each: what the files of this folder are written in. */
#ifndef LD_TILE_LANES_H
#define LD_TILE_LANES_H

#include <stddef.h>
#include <stdint.h>

#include "linalg/tile.h"

#if defined(LD_TILE_NEON)
#include <arm_neon.h>
#define FUSED
#elif defined(__FMA__)
#include <immintrin.h>
#define FUSED
#endif

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { LANES = LD_TILE_LANES };

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef float loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias)); /* of any alignment */
typedef uint32_t bits __attribute__((vector_size(4 * LANES)));
typedef uint16_t halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

INLINE vec load(const float *x) {
  return *(const loose *)x;
}

INLINE void store(float *x, vec v) {
  *(loose *)x = v;
}

/* sum + left * right, left spread over all columns; fused wherever the processor can, which is asked for by
 * name: a compiler's own choice could differ. */
INLINE vec multiply_add(const float *left, vec right, vec sum) {
#if defined(__AVX512F__)
  return (vec)_mm512_fmadd_ps(_mm512_set1_ps(*left), (__m512)right, (__m512)sum);
#elif defined(LD_TILE_NEON)
  return (vec)vfmaq_n_f32((float32x4_t)sum, (float32x4_t)right, *left);
#elif defined(__FMA__)
  return (vec)_mm256_fmadd_ps(_mm256_set1_ps(*left), (__m256)right, (__m256)sum);
#else
  return sum + *left * right;
#endif
}

typedef int32_t order __attribute__((vector_size(4 * LANES)));

/* Elements of two vectors by their places; clang, of which the fuzz targets are built, shuffles by constants
 * only. */
INLINE vec pick(vec low, vec high, order place) {
#ifdef __clang__
  vec out = low;
  for (int e = 0; e < LANES; e++) out[e] = place[e] < LANES ? low[place[e]] : high[place[e] - LANES];
  return out;
#else
  return __builtin_shuffle(low, high, place);
#endif
}

/* The same four places in each 16 bytes of two vectors, of which number 4 + e is element e of the second. Processors
 * move such numbers in one instruction. */
INLINE order each_four(int a, int b, int c, int d) {
  const int four[4] = {a, b, c, d};
  order place;
  UNROLL for (int e = 0; e < LANES; e++) place[e] = four[e % 4] % 4 + e / 4 * 4 + four[e % 4] / 4 * LANES;
  return place;
}

/* Swaps what lies `far` rows below with what lies `far` words to the right. */
INLINE void swap_far(vec row[LANES], int far) {
  order place;
  UNROLL for (int e = 0; e < LANES; e++) place[e] = e;
  const order right = (place & far) != 0; /* -1 or 0 */
  UNROLL for (int i = 0; i < LANES; i++) {
    if (i & far) continue;
    const vec upper = row[i], lower = row[i + far];
    row[i] = pick(upper, lower, place + (right & (LANES - far)));
    row[i + far] = pick(upper, lower, place + far + (right & (LANES - far)));
  }
}

/* Turns a square of words: squares of four words first, then whole ones. */
INLINE void turn_square(vec row[LANES]) {
  const order low = each_four(0, 4, 1, 5), high = each_four(2, 6, 3, 7);
  const order low_pair = each_four(0, 1, 4, 5), high_pair = each_four(2, 3, 6, 7);
  UNROLL for (int i = 0; i < LANES / 4; i++) {
    vec *four = row + 4 * i;
    const vec a = pick(four[0], four[1], low), b = pick(four[0], four[1], high);
    const vec c = pick(four[2], four[3], low), d = pick(four[2], four[3], high);
    four[0] = pick(a, c, low_pair);
    four[1] = pick(a, c, high_pair);
    four[2] = pick(b, d, low_pair);
    four[3] = pick(b, d, high_pair);
  }
  if (LANES > 4) swap_far(row, LANES / 2);
  if (LANES > 8) swap_far(row, LANES / 4);
}

#endif
