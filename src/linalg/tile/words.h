/* How the factors of products become words (linalg/tile.h), for the tables of this folder. A word is a float; with
 * LD_TILE_PAIRS a pair of bfloat16; with LD_TILE_ROUNDED a float that was rounded to bfloat16, and the two numbers of a pair
 * are two words, the second one first. */
#ifndef LD_TILE_WORDS_H
#define LD_TILE_WORDS_H

#include <stdbool.h>
#include <string.h>

#include "linalg/tile/lanes.h"

enum {
#if defined(LD_TILE_PAIRS) || defined(LD_TILE_ROUNDED)
  PAIR = 2,
#else
  PAIR = 1,
#endif
#ifdef LD_TILE_ROUNDED
  PAIR_WORDS = 2,
#else
  PAIR_WORDS = 1,
#endif
#ifdef LD_TILE_ROUNDED
  FLUSH = _MM_FLUSH_ZERO_ON | 0x40, /* of a processor's mode: sums, and factors */
#endif
  CHAIN = LD_CHAIN_WORDS * PAIR_WORDS,
  STRIP = (LD_TILE_ROWS + 7) / 8 * 8,
};

/* sum + a word of the left factor, spread over all columns, times words of the right one. */
INLINE vec add_word(const float *left, vec right, vec sum) {
#if defined(LD_TILE_PAIRS) && defined(__AVX512BF16__)
  int32_t pair;
  memcpy(&pair, left, sizeof pair);
  return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_epi32(pair), (__m512bh)right);
#else
  return multiply_add(left, right, sum);
#endif
}

#if defined(LD_TILE_PAIRS) || defined(LD_TILE_ROUNDED)
/* To bfloat16, the upper half of each element: to even, NaN to a quiet one, and what is no normal number to 0. So does
 * AVX512-BF16's instruction. */
INLINE bits rounded(vec x) {
  const bits from = (bits)x, magnitude = from & 0x7fffffffu;
  const bits nearest = from + 0x7fffu + (from >> 16 & 1u);
  const bits is_nan = (bits)(magnitude > 0x7f800000u), is_small = (bits)(magnitude < 0x00800000u);
  const bits to = (is_nan & (from | 0x00400000u)) | (~is_nan & nearest);
  return ((is_small & (from & 0x80000000u)) | (~is_small & to)) & 0xffff0000u;
}
#endif

#ifdef LD_TILE_PAIRS
/* Words of numbers times a factor: element i of `even` and of `odd` become word i. */
INLINE vec pair_up(vec even, vec odd) {
#ifdef __AVX512BF16__
  const __m512i woven = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7,
                                         22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return (vec)_mm512_permutexvar_epi16(woven, (__m512i)_mm512_cvtne2ps_pbh((__m512)odd, (__m512)even));
#else
  return (vec)(rounded(even) >> 16 | rounded(odd));
#endif
}

/* Numbers that follow each other, `high` after `low`, as words. */
INLINE vec pack(vec low, vec high) {
#ifdef __AVX512BF16__
  return (vec)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
#else
  order even;
  UNROLL for (int e = 0; e < LANES; e++) even[e] = 2 * e;
  return pair_up(pick(low, high, even), pick(low, high, even + 1));
#endif
}

static float pair_of(float even, float odd) {
  return pair_up((vec){even}, (vec){odd})[0];
}

static void copy(int n, const float *x, float factor, float *words) {
  int i = 0;
  for (; i + 2 * LANES <= n; i += 2 * LANES)
    store(words + i / 2, pack(factor * load(x + i), factor * load(x + i + LANES)));
  for (; i < n; i += 2) words[i / 2] = pair_of(factor * x[i], i + 1 < n ? factor * x[i + 1] : 0);
}

/* words[i] = factor * (even[i], odd[i]) */
INLINE void weave(int n, const float *even, const float *odd, float factor, float *words) {
  int i = 0;
  for (; i + LANES <= n; i += LANES)
    store(words + i, pair_up(factor * load(even + i), factor * load(odd + i)));
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
INLINE vec take(const float *x, float factor) {
  return (vec)rounded(factor * load(x));
}

INLINE float take_one(float x, float factor) {
  return ((vec)rounded((vec){factor * x}))[0];
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
    words[i] = i + 1 < n ? take_one(x[i + 1], factor) : 0;
    words[i + 1] = take_one(x[i], factor);
  }
}

static void lay_line(int n, int padded, const float *x, float factor, float *words) {
  int i = 0;
  for (; i + LANES <= n; i += LANES) store(words + i, take(x + i, factor));
  for (; i < n; i++) words[i] = take_one(x[i], factor);
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

#ifndef LD_TILE_ROUNDED
/* The next LANES words of a column. */
INLINE vec take(const float *x, float factor) {
#ifdef LD_TILE_PAIRS
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

#ifdef LD_TILE_PAIRS
/* A word of stored numbers. */
INLINE float stored_pair(uint16_t even, uint16_t odd) {
  const uint32_t word = even | (uint32_t)odd << 16;
  float out;
  memcpy(&out, &word, sizeof out);
  return out;
}

static void lay_bf16(int n, int n_columns, int padded, const uint16_t *x, ptrdiff_t ld, float *words,
                     ptrdiff_t ld_words) {
  for (int k = 0; k < n; k += 2, x += 2 * ld, words += ld_words) {
    const bool alone = k + 1 == n;
    int i = 0;
    for (; !alone && i + LANES <= n_columns; i += LANES) {
      const bits even = __builtin_convertvector(*(const halves *)(x + i), bits),
                 odd = __builtin_convertvector(*(const halves *)(x + ld + i), bits);
      store(words + i, (vec)(even | odd << 16));
    }
    for (; i < n_columns; i++) words[i] = stored_pair(x[i], alone ? 0 : x[ld + i]);
    for (; i < padded; i++) words[i] = 0;
  }
}

/* LANES columns, as turn_columns. Neighbours are a word already. */
static void turn_stored(int n, int n_columns, const uint16_t *x, ptrdiff_t ld, float *panel) {
  int k = 0;
  for (; n_columns == LANES && k + 2 * LANES <= n; k += 2 * LANES, panel += LANES * LD_PANEL) {
    vec row[LANES];
    UNROLL for (int j = 0; j < LANES; j++) memcpy(&row[j], x + j * ld + k, sizeof row[j]);
    turn_square(row);
    UNROLL for (int j = 0; j < LANES; j++) store(panel + j * LD_PANEL, row[j]);
  }
  for (; k < n; k += 2, panel += LD_PANEL)
    for (int j = 0; j < LANES; j++) {
      const uint16_t *from = x + j * ld + k;
      panel[j] = j < n_columns ? stored_pair(from[0], k + 1 < n ? from[1] : 0) : 0;
    }
}

static void turn_bf16(int n, int n_columns, int padded, const uint16_t *x, ptrdiff_t ld, float *panel) {
  for (int j = 0; j < padded; j += LANES) {
    const int rest = n_columns - j, here = rest < 0 ? 0 : rest < LANES ? rest : LANES;
    turn_stored(n, here, x + j * ld, ld, panel + j);
  }
}
#endif

#endif
