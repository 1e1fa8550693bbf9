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

#if !defined(LD_TILE_BF16) && !defined(LD_TILE_ROUNDED)
#define PAIR_IS_ONE 1
#endif

/* How words are made: each of a number, of a pair of bfloat16 (LD_TILE_BF16), or two of a pair that are rounded as these
 * (LD_TILE_ROUNDED). */
enum {
#if defined(LD_TILE_BF16) || defined(LD_TILE_ROUNDED)
  PAIR = 2,
#else
  PAIR = 1,
#endif
#ifdef LD_TILE_ROUNDED
  PAIR_WORDS = 2,
#else
  PAIR_WORDS = 1,
#endif
  CHAIN = LD_CHAIN_WORDS * PAIR_WORDS,
};

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

/* Between begin and end, sums and factors too small for a normal number become 0, as in products of bfloat16. The empty
 * instructions keep the compiler from computing sums outside. */
INLINE unsigned begin_flushing(int rows, int vecs, vec sum[][LD_PANEL / LANES]) {
  unsigned mode = 0;
#ifdef LD_TILE_ROUNDED
  mode = _mm_getcsr();
  _mm_setcsr(mode | _MM_FLUSH_ZERO_ON | 0x40); /* 0x40: factors */
  UNROLL for (int i = 0; i < rows; i++)
      UNROLL for (int v = 0; v < vecs; v++) __asm__ volatile("" : "+v"(sum[i][v]));
#else
  (void)rows, (void)vecs, (void)sum;
#endif
  return mode;
}

INLINE void end_flushing(unsigned mode, int rows, int vecs, vec sum[][LD_PANEL / LANES]) {
#ifdef LD_TILE_ROUNDED
  UNROLL for (int i = 0; i < rows; i++)
      UNROLL for (int v = 0; v < vecs; v++) __asm__ volatile("" : "+v"(sum[i][v]));
  _mm_setcsr(mode);
  UNROLL for (int i = 0; i < rows; i++)
      UNROLL for (int v = 0; v < vecs; v++) __asm__ volatile("" : "+v"(sum[i][v]));
#else
  (void)mode, (void)rows, (void)vecs, (void)sum;
#endif
}

/* Chain by chain. All but `words` and the pointers are constants where this is called. */
INLINE void tile(int rows, int vecs, ptrdiff_t row, ptrdiff_t step, int words, const float *a, const float *b,
                 ptrdiff_t ldb, const float *start, ptrdiff_t ld_start, float *c, ptrdiff_t ldc,
                 ld_fetch *fetch) {
  _Alignas(64) float held[LD_TILE_ROWS * LD_PANEL]; /* between chains */
  do {
    float *to = words > CHAIN ? held : c;
    const ptrdiff_t ld_to = words > CHAIN ? LD_PANEL : ldc;
    vec sum[LD_TILE_ROWS][LD_PANEL / LANES], right[LD_PANEL / LANES];
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int v = 0; v < vecs; v++) sum[i][v] = (vec){0};
    const unsigned mode = begin_flushing(rows, vecs, sum);
    for (int left = words < CHAIN ? words : CHAIN; left > 0; left -= LD_FETCH_WORDS) {
      UNROLL_WORDS for (int k = left < LD_FETCH_WORDS ? left : LD_FETCH_WORDS; k > 0;
                        k--, a += step, b += ldb) {
        UNROLL for (int v = 0; v < vecs; v++) right[v] = load(b + v * LANES);
        UNROLL for (int i = 0; i < rows; i++) UNROLL for (int v = 0; v < vecs; v++) sum[i][v] =
            multiply_add(a + i * row, right[v], sum[i][v]);
      }
      if (fetch) ld_fetch_next(fetch);
    }
    end_flushing(mode, rows, vecs, sum);
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int v = 0; v < vecs; v++)
        store(to + i * ld_to + v * LANES, load(start + i * ld_start + v * LANES) + sum[i][v]);
    start = held;
    ld_start = LD_PANEL;
    words -= CHAIN;
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
  const __m512i woven = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                                         22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  int i = 0;
  for (; i + LANES <= n; i += LANES) {
    const vec both = pack(factor * load(even + i), factor * load(odd + i));
    store(words + i, (vec)_mm512_permutexvar_epi16(woven, (__m512i)both));
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
#elif defined(LD_TILE_ROUNDED)
typedef uint32_t bits __attribute__((vector_size(4 * LANES)));

/* To bfloat16 and back, as the instruction rounds: to even, NaN to a quiet one, and what is no normal number to 0. */
INLINE vec take(const float *x, float factor) {
  const bits from = (bits)(factor * load(x)), magnitude = from & 0x7fffffffu;
  const bits rounded = from + 0x7fffu + (from >> 16 & 1u);
  const bits is_nan = (bits)(magnitude > 0x7f800000u), is_small = (bits)(magnitude < 0x00800000u);
  const bits to = (is_nan & (from | 0x00400000u)) | (~is_nan & rounded);
  return (vec)(((is_small & (from & 0x80000000u)) | (~is_small & to)) & 0xffff0000u);
}

INLINE float take_one(const float *x, float factor) {
  const float padded[LANES] = {*x};
  return take(padded, factor)[0];
}

static void copy(int n, const float *x, float factor, float *words) {
  order other;
  int i = 0;
  UNROLL for (int e = 0; e < LANES; e++) other[e] = e ^ 1;
  for (; i + LANES <= n; i += LANES) {
    const vec v = take(x + i, factor);
    store(words + i, pick(v, v, other));
  }
  for (; i < n; i += 2) {
    words[i] = i + 1 < n ? take_one(x + i + 1, factor) : 0;
    words[i + 1] = take_one(x + i, factor);
  }
}

static void lay_line(int n, int padded, const float *x, float factor, float *words) {
  int i = 0;
  for (; i + LANES <= n; i += LANES) store(words + i, take(x + i, factor));
  for (; i < n; i++) words[i] = take_one(x + i, factor);
  for (; i < padded; i++) words[i] = 0;
}

static void lay(int n, int n_columns, int padded, const float *x, ptrdiff_t ld, float factor, float *words,
                ptrdiff_t ld_words) {
  for (int k = 0; k < n; k += 2, x += 2 * ld, words += 2 * ld_words) {
    lay_line(k + 1 < n ? n_columns : 0, padded > n_columns ? padded : n_columns, x + ld, factor, words);
    lay_line(n_columns, padded, x, factor, words + ld_words);
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

#ifndef LD_TILE_ROUNDED
/* The next LANES words of a column. */
INLINE vec take(const float *x, float factor) {
#ifdef LD_TILE_BF16
  return pack(factor * load(x), factor * load(x + LANES));
#else
  return factor * load(x);
#endif
}
#endif

/* LANES columns. Whole squares at once, what is left over number by number. */
static void turn_columns(int n, int n_columns, const float *x, ptrdiff_t ld, float factor, float *panel) {
  enum { NUMBERS = LANES / PAIR_WORDS * PAIR }; /* of a column in a square */
  int k = 0;
  for (; n_columns == LANES && k + NUMBERS <= n; k += NUMBERS, panel += LANES * LD_PANEL) {
    vec row[LANES];
    UNROLL for (int j = 0; j < LANES; j++) row[j] = take(x + j * ld + k, factor);
    turn_square(row);
    UNROLL for (int j = 0; j < LANES; j++) store(panel + j * LD_PANEL, row[PAIR_WORDS == 2 ? j ^ 1 : j]);
  }
  for (; k < n; k += PAIR, panel += PAIR_WORDS * LD_PANEL)
    for (int j = 0; j < LANES; j++) {
      float word[2] = {0};
      if (j < n_columns) copy(n - k < PAIR ? n - k : PAIR, x + j * ld + k, factor, word);
      for (int w = 0; w < PAIR_WORDS; w++) panel[w * LD_PANEL + j] = word[w];
    }
}

static void turn(int n, int n_columns, int padded, const float *x, ptrdiff_t ld, float factor, float *panel) {
  for (int j = 0; j < padded; j += LANES) {
    const int rest = n_columns - j, here = rest < 0 ? 0 : rest < LANES ? rest : LANES;
    turn_columns(n, here, x + j * ld, ld, factor, panel + j);
  }
}

#if PAIR_IS_ONE
enum { FEW_ROWS = 4, GROUPS = LD_FEW_COLUMNS / LANES, CACHE_LINE = 64 };
typedef uint32_t bits __attribute__((vector_size(4 * LANES)));

#if defined(__F16C__) || defined(LD_TILE_NEON)
#define READS_F16
#endif

/* Numbers [at, at + LANES) of w. */
INLINE vec read(enum ld_plain form, const void *w, ptrdiff_t at) {
  typedef uint16_t halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
  const uint16_t *half = (const uint16_t *)w + at;
  if (form == LD_PLAIN_F32) return load((const float *)w + at);
#if defined(__AVX512F__)
  const __m256i words = _mm256_loadu_si256((const void *)half);
  if (form == LD_PLAIN_F16) return (vec)_mm512_cvtph_ps(words);
  return (vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16);
#elif defined(__AVX2__)
  const __m128i words = _mm_loadu_si128((const void *)half);
  if (form == LD_PLAIN_F16) return (vec)_mm256_cvtph_ps(words);
  return (vec)_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16);
#elif defined(LD_TILE_NEON)
  if (form == LD_PLAIN_F16) return (vec)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(half)));
#endif
  return (vec)(__builtin_convertvector(*(const halves *)(const void *)half, bits) << 16);
}

INLINE float read_one(enum ld_plain form, const void *w, ptrdiff_t at) {
  if (form == LD_PLAIN_F32) return ((const float *)w)[at];
  uint16_t one[LANES] = {((const uint16_t *)w)[at]};
  return read(form, one, 0)[0];
}

/* The bytes of a number. */
INLINE int size_of(enum ld_plain form) {
  return form == LD_PLAIN_F32 ? 4 : 2;
}

/* Pairs of 16-bit numbers as words. */
INLINE vec read_pairs(const char *from) {
  typedef float words __attribute__((vector_size(4 * LANES), aligned(2), may_alias));
  return (vec) * (const words *)(const void *)from;
}

/* panel (numbers of a cache line, LD_FEW_COLUMNS) from the line at at[j] + offset of each column j. All of a line is used
 * at once: where columns are a power of two apart, it is soon displaced. Two numbers of bfloat16 are turned as a word. */
INLINE void turn_lines(enum ld_plain form, const char *const *at, ptrdiff_t offset, ptrdiff_t ahead,
                       float *panel) {
  const bool pairs = form == LD_PLAIN_BF16;
  const int numbers = CACHE_LINE / size_of(form);
  UNROLL for (int g = 0; g < LD_FEW_COLUMNS; g += LANES) {
    UNROLL for (int k = 0; k < numbers; k += pairs ? 2 * LANES : LANES) {
      vec row[LANES];
      UNROLL for (int j = 0; j < LANES; j++) {
        const char *from = at[g + j] + offset;
        row[j] = pairs ? read_pairs(from + 2 * k) : read(form, from, k);
        if (k == 0) __builtin_prefetch(from + ahead, 0, 2);
      }
      turn_square(row);
      UNROLL for (int e = 0; e < LANES; e++) {
        float *to = panel + (k + (pairs ? 2 * e : e)) * LD_FEW_COLUMNS + g;
        store(to, pairs ? (vec)((bits)row[e] << 16) : row[e]);
        if (pairs) store(to + LD_FEW_COLUMNS, (vec)((bits)row[e] & 0xffff0000u));
      }
    }
  }
}

/* sums (rows, LD_FEW_COLUMNS) += x (rows, n) panel */
INLINE void add_panel(int rows, int n, const float *x, ptrdiff_t ldx, const float *panel,
                      vec sums[FEW_ROWS][GROUPS]) {
  for (int k = 0; k < n; k++)
    UNROLL for (int g = 0; g < GROUPS; g++) UNROLL for (int i = 0; i < rows; i++) sums[i][g] =
        multiply_add(x + i * ldx + k, load(panel + k * LD_FEW_COLUMNS + g * LANES), sums[i][g]);
}

INLINE void few_turned_rows(enum ld_plain form, int rows, int n, const float *x, ptrdiff_t ldx,
                            const char *const *at, float *sum, ptrdiff_t ld_sum, ptrdiff_t ahead) {
  const int size = size_of(form), numbers = CACHE_LINE / size;
  _Alignas(64) float panel[CACHE_LINE / 2 * LD_FEW_COLUMNS];
  vec sums[FEW_ROWS][GROUPS];
  UNROLL for (int i = 0; i < rows; i++) UNROLL for (int g = 0; g < GROUPS; g++) sums[i][g] =
      load(sum + i * ld_sum + g * LANES);
  int k = 0;
  for (; k + numbers <= n; k += numbers) {
    turn_lines(form, at, k * size, ahead, panel);
    add_panel(rows, numbers, x + k, ldx, panel, sums);
  }
  for (int e = 0; e < n - k; e++)
    for (int j = 0; j < LD_FEW_COLUMNS; j++) panel[e * LD_FEW_COLUMNS + j] = read_one(form, at[j], k + e);
  add_panel(rows, n - k, x + k, ldx, panel, sums);
  UNROLL for (int i = 0; i < rows; i++) UNROLL for (int g = 0; g < GROUPS; g++)
      store(sum + i * ld_sum + g * LANES, sums[i][g]);
}

INLINE void few_turned(enum ld_plain form, int rows, int n, int n_columns, const float *x, ptrdiff_t ldx,
                       const void *w, ptrdiff_t ldw, float *sum, ptrdiff_t ld_sum, ptrdiff_t ahead) {
  const char *at[LD_FEW_COLUMNS]; /* those beyond the last repeat it */
  for (int j = 0; j < LD_FEW_COLUMNS; j++)
    at[j] = (const char *)w + (j < n_columns ? j : n_columns - 1) * ldw * size_of(form);
  for (; rows > 0; rows -= FEW_ROWS, x += FEW_ROWS * ldx, sum += FEW_ROWS * ld_sum) {
    if (rows == 1)
      few_turned_rows(form, 1, n, x, ldx, at, sum, ld_sum, ahead);
    else if (rows == 2)
      few_turned_rows(form, 2, n, x, ldx, at, sum, ld_sum, ahead);
    else if (rows == 3)
      few_turned_rows(form, 3, n, x, ldx, at, sum, ld_sum, ahead);
    else
      few_turned_rows(form, 4, n, x, ldx, at, sum, ld_sum, ahead);
  }
}

/* n rows of w, a constant where this is called; those after them are prefetched. */
INLINE void few_add(enum ld_plain form, int n, int n_columns, const float *x, const void *w, ptrdiff_t at,
                    ptrdiff_t ldw, float *sum) {
  const int size = size_of(form), numbers = CACHE_LINE / size;
  const char *next = (const char *)w + (at + n * ldw) * size;
  int j = 0;
  for (; j + numbers <= n_columns; next += CACHE_LINE) {
    UNROLL for (int k = 0; k < n; k++) __builtin_prefetch(next + k * ldw * size);
    for (int v = 0; v < numbers; v += LANES, j += LANES) {
      vec to = load(sum + j);
      UNROLL for (int k = 0; k < n; k++) to = multiply_add(x + k, read(form, w, at + k * ldw + j), to);
      store(sum + j, to);
    }
  }
  for (; j < n_columns; j++)
    for (int k = 0; k < n; k++)
      sum[j] = multiply_add(x + k, (vec){read_one(form, w, at + k * ldw + j)}, (vec){sum[j]})[0];
}

INLINE void few_lines(enum ld_plain form, int rows, int n, int n_columns, const float *x, ptrdiff_t ldx,
                      const void *w, ptrdiff_t ldw, float *sum, ptrdiff_t ld_sum) {
  enum { LINES = 4 };
  int k = 0;
  for (; k + LINES <= n; k += LINES)
    for (int i = 0; i < rows; i++)
      few_add(form, LINES, n_columns, x + i * ldx + k, w, k * ldw, ldw, sum + i * ld_sum);
  for (; k < n; k++)
    for (int i = 0; i < rows; i++)
      few_add(form, 1, n_columns, x + i * ldx + k, w, k * ldw, ldw, sum + i * ld_sum);
}

/* The two functions for a form of numbers. */
#define FEW_FUNCTIONS(name, form)                                                                            \
  static void name##_turned(int rows, int n, int n_columns, const float *x, ptrdiff_t ldx, const void *w,    \
                            ptrdiff_t ldw, float *sum, ptrdiff_t ld_sum, ptrdiff_t ahead) {                  \
    few_turned(form, rows, n, n_columns, x, ldx, w, ldw, sum, ld_sum, ahead);                                \
  }                                                                                                          \
  static void name##_lines(int rows, int n, int n_columns, const float *x, ptrdiff_t ldx, const void *w,     \
                           ptrdiff_t ldw, float *sum, ptrdiff_t ld_sum, ptrdiff_t ahead) {                   \
    (void)ahead;                                                                                             \
    few_lines(form, rows, n, n_columns, x, ldx, w, ldw, sum, ld_sum);                                        \
  }

FEW_FUNCTIONS(f32, LD_PLAIN_F32)
FEW_FUNCTIONS(bf16, LD_PLAIN_BF16)
#ifdef READS_F16
FEW_FUNCTIONS(f16, LD_PLAIN_F16)
#endif
#endif

const ld_tile LD_TILE_NAME = {
    .name = LD_TILE_TEXT,
    .rows = LD_TILE_ROWS,
#ifdef FUSED
    .fused = true,
#endif
    .pair = PAIR,
    .words = PAIR_WORDS,
    .chain = CHAIN,
    .by_rows = {by_rows, half_by_rows},
    .by_columns = {by_columns, half_by_columns},
    .by_strips = {by_strips, half_by_strips},
    .strip = STRIP,
    .copy = copy,
    .lay = lay,
    .cut = cut,
    .turn = turn,
#if PAIR_IS_ONE
    .few[LD_PLAIN_F32] = {f32_turned, f32_lines},
    .few[LD_PLAIN_BF16] = {bf16_turned, bf16_lines},
#ifdef READS_F16
    .few[LD_PLAIN_F16] = {f16_turned, f16_lines},
#endif
#endif
};
