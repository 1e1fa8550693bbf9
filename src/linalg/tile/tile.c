/* The tile in the compiler's own vectors. This file is compiled once per kind of processor (CMakeLists.txt):
 * LD_TILE_NAME is the table's name, LD_TILE_LANES the floats of a vector register, LD_TILE_ROWS what fits: of
 * 32 registers of AVX-512 14 rows of two sums, two of the panel and a spread number; of 16 registers of AVX2 or
 * 32 of NEON, which are half and a quarter as wide, 6 rows over half a panel.
 */
#include "linalg/tile.h"

#include <stdint.h>
#include <string.h>

#if defined(LD_TILE_NEON)
#include <arm_neon.h>
#define FUSED
#elif defined(__FMA__)
#include <immintrin.h>
#define FUSED
#endif

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

/* How many words of k are written out: what the loop itself costs shows where a tile has few rows. */
#if LD_TILE_ROWS == 6
#define UNROLL_WORDS _Pragma("GCC unroll 4")
#else
#define UNROLL_WORDS
#endif

enum { LANES = LD_TILE_LANES, HALF = LD_PANEL / 2, STRIP = (LD_TILE_ROWS + 7) / 8 * 8 };
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef float loose __attribute__((vector_size(4 * LANES), aligned(4), may_alias)); /* of any alignment */

INLINE vec load(const float *x) {
  return *(const loose *)x;
}

INLINE void store(float *x, vec v) {
  *(loose *)x = v;
}

/* sum + left * right, left spread over all columns; fused wherever the processor can, which is asked for by
 * name: a compiler's own choice could differ. */
INLINE vec multiply_add(const float *left, vec right, vec sum) {
#if defined(LD_TILE_BF16)
  int32_t pair;
  memcpy(&pair, left, sizeof pair);
  return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(pair), (__m512bh)right);
#elif defined(__AVX512F__)
  return (vec)_mm512_fmadd_ps(_mm512_set1_ps(*left), (__m512)right, (__m512)sum);
#elif defined(LD_TILE_NEON)
  return (vec)vfmaq_n_f32((float32x4_t)sum, (float32x4_t)right, *left);
#elif defined(__FMA__)
  return (vec)_mm256_fmadd_ps(_mm256_set1_ps(*left), (__m256)right, (__m256)sum);
#else
  return sum + *left * right;
#endif
}

/* Chain by chain. All but `words` and the pointers are constants where this is called. */
INLINE void tile(int rows, int vecs, ptrdiff_t row, ptrdiff_t step, int words, const float *a, const float *b,
                 ptrdiff_t ldb, const float *start, ptrdiff_t ld_start, float *c, ptrdiff_t ldc,
                 ld_fetch *fetch) {
  _Alignas(64) float held[LD_TILE_ROWS * LD_PANEL]; /* between chains */
  do {
    float *to = words > LD_CHAIN_WORDS ? held : c;
    const ptrdiff_t ld_to = words > LD_CHAIN_WORDS ? LD_PANEL : ldc;
    vec sum[LD_TILE_ROWS][LD_PANEL / LANES], right[LD_PANEL / LANES];
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int v = 0; v < vecs; v++) sum[i][v] = (vec){0};
    for (int left = words < LD_CHAIN_WORDS ? words : LD_CHAIN_WORDS; left > 0; left -= LD_FETCH_WORDS) {
      UNROLL_WORDS for (int k = left < LD_FETCH_WORDS ? left : LD_FETCH_WORDS; k > 0;
                        k--, a += step, b += ldb) {
        UNROLL for (int v = 0; v < vecs; v++) right[v] = load(b + v * LANES);
        UNROLL for (int i = 0; i < rows; i++) UNROLL for (int v = 0; v < vecs; v++) sum[i][v] =
            multiply_add(a + i * row, right[v], sum[i][v]);
      }
      if (fetch) ld_fetch_next(fetch);
    }
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int v = 0; v < vecs; v++)
        store(to + i * ld_to + v * LANES, load(start + i * ld_start + v * LANES) + sum[i][v]);
    start = held;
    ld_start = LD_PANEL;
    words -= LD_CHAIN_WORDS;
  } while (words > 0);
}

#define OF_ROWS(n, vecs, row, step)                                                                          \
  case n:                                                                                                    \
    tile(n, vecs, row, step, words, a, b, ldb, start, ld_start, c, ldc, fetch);                              \
    break;
#if LD_TILE_ROWS == 14
#define OF_MORE_ROWS(...)                                                                                    \
  OF_ROWS(7, __VA_ARGS__)                                                                                    \
  OF_ROWS(8, __VA_ARGS__)                                                                                    \
  OF_ROWS(9, __VA_ARGS__)                                                                                    \
  OF_ROWS(10, __VA_ARGS__)                                                                                   \
  OF_ROWS(11, __VA_ARGS__) OF_ROWS(12, __VA_ARGS__) OF_ROWS(13, __VA_ARGS__) OF_ROWS(14, __VA_ARGS__)
#elif LD_TILE_ROWS == 6
#define OF_MORE_ROWS(...)
#endif

/* A function that goes to the tile of that many rows. */
#define TILE_FUNCTION(name, ...)                                                                             \
  static void name(int rows, int words, const float *a, const float *b, ptrdiff_t ldb, const float *start,   \
                   ptrdiff_t ld_start, float *c, ptrdiff_t ldc, ld_fetch *fetch) {                           \
    switch (rows) {                                                                                          \
      OF_ROWS(1, __VA_ARGS__)                                                                                \
      OF_ROWS(2, __VA_ARGS__)                                                                                \
      OF_ROWS(3, __VA_ARGS__)                                                                                \
      OF_ROWS(4, __VA_ARGS__) OF_ROWS(5, __VA_ARGS__) OF_ROWS(6, __VA_ARGS__) OF_MORE_ROWS(__VA_ARGS__)      \
    }                                                                                                        \
  }

TILE_FUNCTION(half_by_rows, HALF / LANES, LD_BLOCK_STRIDE, 1)
TILE_FUNCTION(half_by_columns, HALF / LANES, 1, LD_BLOCK_STRIDE)
TILE_FUNCTION(half_by_strips, HALF / LANES, 1, STRIP)
#if LD_TILE_ROWS == 14
TILE_FUNCTION(by_rows, LD_PANEL / LANES, LD_BLOCK_STRIDE, 1)
TILE_FUNCTION(by_columns, LD_PANEL / LANES, 1, LD_BLOCK_STRIDE)
TILE_FUNCTION(by_strips, LD_PANEL / LANES, 1, STRIP)
#else
/* Too few registers for both halves at once. */
static void by_rows(int rows, int words, const float *a, const float *b, ptrdiff_t ldb, const float *start,
                    ptrdiff_t ld_start, float *c, ptrdiff_t ldc, ld_fetch *fetch) {
  half_by_rows(rows, words, a, b, ldb, start, ld_start, c, ldc, fetch);
  half_by_rows(rows, words, a, b + HALF, ldb, start + HALF, ld_start, c + HALF, ldc, NULL);
}

static void by_columns(int rows, int words, const float *a, const float *b, ptrdiff_t ldb, const float *start,
                       ptrdiff_t ld_start, float *c, ptrdiff_t ldc, ld_fetch *fetch) {
  half_by_columns(rows, words, a, b, ldb, start, ld_start, c, ldc, fetch);
  half_by_columns(rows, words, a, b + HALF, ldb, start + HALF, ld_start, c + HALF, ldc, NULL);
}

static void by_strips(int rows, int words, const float *a, const float *b, ptrdiff_t ldb, const float *start,
                      ptrdiff_t ld_start, float *c, ptrdiff_t ldc, ld_fetch *fetch) {
  half_by_strips(rows, words, a, b, ldb, start, ld_start, c, ldc, fetch);
  half_by_strips(rows, words, a, b + HALF, ldb, start + HALF, ld_start, c + HALF, ldc, NULL);
}
#endif

#ifdef LD_TILE_BF16
/* 32 numbers to 16 pairs. */
INLINE vec pack(vec low, vec high) {
  return (vec)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
}

static uint16_t round_one(float x) {
  uint16_t bits[32];
  const __m512 v = _mm512_set1_ps(x);
  _mm512_storeu_si512(bits, (__m512i)_mm512_cvtne2ps_pbh(v, v));
  return bits[0];
}

static float pair_of(float even, float odd) {
  const uint32_t bits = round_one(even) | (uint32_t)round_one(odd) << 16;
  float word;
  memcpy(&word, &bits, sizeof word);
  return word;
}

static void copy(int n, const float *x, float factor, float *words) {
  int i = 0;
  for (; i + 2 * LANES <= n; i += 2 * LANES)
    store(words + i / 2, pack(factor * load(x + i), factor * load(x + i + LANES)));
  for (; i < n; i += 2) words[i / 2] = pair_of(factor * x[i], i + 1 < n ? factor * x[i + 1] : 0);
}

/* words[i] = factor * (even[i], odd[i]) */
INLINE void weave(int n, const float *even, const float *odd, float factor, float *words) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                                         22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  int i = 0;
  for (; i + LANES <= n; i += LANES) {
    const vec both = pack(factor * load(even + i), factor * load(odd + i));
    store(words + i, (vec)_mm512_permutexvar_epi16(order, (__m512i)both));
  }
  for (; i < n; i++) words[i] = pair_of(factor * even[i], factor * odd[i]);
}

static void lay_alone(int n, const float *x, float factor, float *words) {
  for (int i = 0; i < n; i++) words[i] = pair_of(factor * x[i], 0);
}

static void lay(int n, int n_columns, int padded, const float *x, ptrdiff_t ld, float factor, float *words,
                ptrdiff_t ld_words) {
  for (int k = 0; k < n; k += 2, x += 2 * ld, words += ld_words) {
    if (k + 1 < n)
      weave(n_columns, x, x + ld, factor, words);
    else
      lay_alone(n_columns, x, factor, words);
    for (int i = n_columns; i < padded; i++) words[i] = 0;
  }
}
#else
static void copy(int n, const float *x, float factor, float *words) {
  for (int i = 0; i < n; i++) words[i] = factor * x[i];
}

static void lay(int n, int n_columns, int padded, const float *x, ptrdiff_t ld, float factor, float *words,
                ptrdiff_t ld_words) {
  for (int k = 0; k < n; k++, x += ld, words += ld_words) {
    int i = 0;
    for (; i + LANES <= n_columns; i += LANES) store(words + i, factor * load(x + i));
    for (; i < n_columns; i++) words[i] = factor * x[i];
    for (; i < padded; i++) words[i] = 0;
  }
}
#endif

static void cut(int n, int n_columns, int height, const float *lines, ptrdiff_t ld, float *to,
                ptrdiff_t ld_strip) {
  for (int i = 0; i < n_columns; i += height, to += ld_strip)
    for (int k = 0; k < n; k++)
      UNROLL for (int v = 0; v < STRIP; v += LANES) store(to + k * STRIP + v, load(lines + k * ld + i + v));
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

/* Turns a square of words: each round swaps what lies `far` rows below with what lies `far` words to the
 * right. */
INLINE void turn_square(vec row[LANES]) {
  order place;
  UNROLL for (int e = 0; e < LANES; e++) place[e] = e;
  UNROLL for (int far = LANES / 2; far; far /= 2) {
    const order right = (place & far) != 0; /* -1 or 0 */
    UNROLL for (int i = 0; i < LANES; i++) {
      if (i & far) continue;
      const vec upper = row[i], lower = row[i + far];
      row[i] = pick(upper, lower, place + (right & (LANES - far)));
      row[i + far] = pick(upper, lower, place + far + (right & (LANES - far)));
    }
  }
}

/* The next LANES words of a column. */
INLINE vec take(const float *x, float factor) {
#ifdef LD_TILE_BF16
  return pack(factor * load(x), factor * load(x + LANES));
#else
  return factor * load(x);
#endif
}

enum {
#ifdef LD_TILE_BF16
  PAIR = 2
#else
  PAIR = 1
#endif
};

/* LANES columns. Whole squares at once, what is left over number by number. */
static void turn_columns(int n, int n_columns, const float *x, ptrdiff_t ld, float factor, float *panel) {
  int k = 0;
  for (; n_columns == LANES && k + LANES * PAIR <= n; k += LANES * PAIR) {
    vec row[LANES];
    UNROLL for (int j = 0; j < LANES; j++) row[j] = take(x + j * ld + k, factor);
    turn_square(row);
    UNROLL for (int j = 0; j < LANES; j++) store(panel + (k / PAIR + j) * LD_PANEL, row[j]);
  }
  for (; k < n; k += PAIR)
    for (int j = 0; j < LANES; j++) {
      float word = 0;
      if (j < n_columns) copy(n - k < PAIR ? n - k : PAIR, x + j * ld + k, factor, &word);
      panel[k / PAIR * LD_PANEL + j] = word;
    }
}

static void turn(int n, int n_columns, int padded, const float *x, ptrdiff_t ld, float factor, float *panel) {
  for (int j = 0; j < padded; j += LANES) {
    const int rest = n_columns - j, here = rest < 0 ? 0 : rest < LANES ? rest : LANES;
    turn_columns(n, here, x + j * ld, ld, factor, panel + j);
  }
}

const ld_tile LD_TILE_NAME = {
    .name = LD_TILE_TEXT,
    .rows = LD_TILE_ROWS,
#ifdef FUSED
    .fused = true,
#endif
    .pair = PAIR,
    .by_rows = {by_rows, half_by_rows},
    .by_columns = {by_columns, half_by_columns},
    .by_strips = {by_strips, half_by_strips},
    .strip = STRIP,
    .copy = copy,
    .lay = lay,
    .cut = cut,
    .turn = turn,
};
