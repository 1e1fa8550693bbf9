/* Products of few rows (linalg/gemm_few.h). */
#ifndef LD_TILE_FEW_H
#define LD_TILE_FEW_H

#include "linalg/tile/words.h"

enum { FEW_ROWS = LANES == 16 ? 8 : 4, GROUPS = LD_FEW_COLUMNS / LANES, CACHE_LINE = 64 };

#if defined(__F16C__) || defined(LD_TILE_NEON)
#define READS_F16
#endif

/* Numbers [at, at + LANES) of w. */
INLINE vec read(enum ld_plain form, const void *w, ptrdiff_t at) {
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

/* A vector of words from number k on; bfloat16 has its own. */
INLINE vec read_words(enum ld_plain form, const void *w, ptrdiff_t k) {
#if defined(LD_TILE_PAIRS)
  return pack(read(form, w, k), read(form, w, k + LANES));
#elif defined(LD_TILE_ROUNDED)
  return (vec)rounded(read(form, w, k));
#else
  return read(form, w, k);
#endif
}

/* How many numbers of each column are turned at a time: those of a cache line, or what makes a vector of words. */
INLINE int turned_numbers(enum ld_plain form) {
  return PAIR_WORDS < PAIR ? 2 * LANES : CACHE_LINE / size_of(form);
}

/* Where a number's words are in a panel, where a word is a number: of a pair the second one comes first. */
INLINE int line_of(int number) {
  return (number ^ (PAIR_WORDS - 1)) * LD_FEW_COLUMNS;
}

/* panel (words of so many numbers, LD_FEW_COLUMNS) from the line at at[j] + offset of each column j. All of a line is used
 * at once: where columns are a power of two apart, it is soon displaced. Two numbers of bfloat16 are turned as a word. */
INLINE void turn_lines(enum ld_plain form, const char *const *at, ptrdiff_t offset, const ld_few_fetch *fetch,
                       float *panel) {
  const char *next = fetch->next ? fetch->next + offset * LD_FEW_COLUMNS : NULL;
  const bool pairs = form == LD_PLAIN_BF16 || PAIR_WORDS < PAIR; /* an element is two numbers */
  const int numbers = turned_numbers(form), step = pairs ? 2 * LANES : LANES;
  UNROLL for (int g = 0; g < LD_FEW_COLUMNS; g += LANES) {
    UNROLL for (int k = 0; k < numbers; k += step) {
      vec row[LANES];
      UNROLL for (int j = 0; j < LANES; j++) {
        const char *from = at[g + j] + offset;
        row[j] = form == LD_PLAIN_BF16 ? read_pairs(from + 2 * k) : read_words(form, from, k);
        if (k == 0) __builtin_prefetch(next ? next + (g + j) * CACHE_LINE : from + fetch->ahead, 0, 2);
      }
      turn_square(row);
      UNROLL for (int e = 0; e < LANES; e++) {
#ifdef LD_TILE_PAIRS
        store(panel + (k / 2 + e) * LD_FEW_COLUMNS + g, row[e]);
#else
        float *to = panel + g;
        const int number = k + (pairs ? 2 * e : e);
        store(to + line_of(number), pairs ? (vec)((bits)row[e] << 16) : row[e]);
        if (pairs) store(to + line_of(number + 1), (vec)((bits)row[e] & 0xffff0000u));
#endif
      }
    }
  }
}

/* The same of fewer numbers, one by one. Returns their words. */
static int turn_rest(enum ld_plain form, int n, const char *const *at, ptrdiff_t offset, float *panel) {
  float numbers[CACHE_LINE / 2], words[CACHE_LINE / 2];
  const int n_words = (n + PAIR - 1) / PAIR * PAIR_WORDS;
  for (int j = 0; j < LD_FEW_COLUMNS; j++) {
    for (int k = 0; k < n; k++) numbers[k] = read_one(form, at[j] + offset, k);
    copy(n, numbers, 1, words);
    for (int w = 0; w < n_words; w++) panel[w * LD_FEW_COLUMNS + j] = words[w];
  }
  return n_words;
}

/* sums (rows, LD_FEW_COLUMNS) += x (rows, words) panel */
INLINE void add_panel(int rows, int words, const float *x, ptrdiff_t ldx, const float *panel,
                      vec sums[FEW_ROWS][GROUPS]) {
  for (int k = 0; k < words; k++)
    UNROLL for (int g = 0; g < GROUPS; g++) UNROLL for (int i = 0; i < rows; i++) sums[i][g] =
        add_word(x + i * ldx + k, load(panel + k * LD_FEW_COLUMNS + g * LANES), sums[i][g]);
}

INLINE void few_turned_rows(enum ld_plain form, int rows, int n, const float *x, ptrdiff_t ldx,
                            const char *const *at, float *sum, ptrdiff_t ld_sum, const ld_few_fetch *fetch) {
  const int size = size_of(form), numbers = turned_numbers(form), words = numbers / PAIR * PAIR_WORDS;
  _Alignas(64) float panel[CACHE_LINE / 2 * LD_FEW_COLUMNS];
  vec sums[FEW_ROWS][GROUPS];
  UNROLL for (int i = 0; i < rows; i++) UNROLL for (int g = 0; g < GROUPS; g++) sums[i][g] =
      load(sum + i * ld_sum + g * LANES);
  int k = 0;
  for (; k + numbers <= n; k += numbers, x += words) {
    turn_lines(form, at, k * size, fetch, panel);
    add_panel(rows, words, x, ldx, panel, sums);
  }
  if (k < n) add_panel(rows, turn_rest(form, n - k, at, k * size, panel), x, ldx, panel, sums);
  UNROLL for (int i = 0; i < rows; i++) UNROLL for (int g = 0; g < GROUPS; g++)
      store(sum + i * ld_sum + g * LANES, sums[i][g]);
}

#define OF_FEW_ROWS(n_rows)                                                                                  \
  case n_rows:                                                                                               \
    few_turned_rows(form, n_rows, n, x, ldx, at, sum, ld_sum, fetch);                                        \
    break;

INLINE void few_turned(enum ld_plain form, int rows, int n, const float *x, ptrdiff_t ldx,
                       const char *const *at, float *sum, ptrdiff_t ld_sum, const ld_few_fetch *fetch) {
  for (; rows > 0; rows -= FEW_ROWS, x += FEW_ROWS * ldx, sum += FEW_ROWS * ld_sum) switch (rows) {
      OF_FEW_ROWS(1)
      OF_FEW_ROWS(2)
      OF_FEW_ROWS(3)
#if LD_TILE_LANES == 16
      OF_FEW_ROWS(4)
      OF_FEW_ROWS(5)
      OF_FEW_ROWS(6)
      OF_FEW_ROWS(7)
#endif
    default:
      few_turned_rows(form, FEW_ROWS, n, x, ldx, at, sum, ld_sum, fetch);
    }
}

/* The function for a form of numbers. What is not inlined is computed in the mode that is set before. */
#ifdef LD_TILE_ROUNDED
#define TURNED_FUNCTION(name, form)                                                                          \
  static __attribute__((noinline)) void name##_flushed(int rows, int n, const float *x, ptrdiff_t ldx,       \
                                                       const char *const *at, float *sum, ptrdiff_t ld_sum,  \
                                                       const ld_few_fetch *fetch) {                          \
    few_turned(form, rows, n, x, ldx, at, sum, ld_sum, fetch);                                               \
  }                                                                                                          \
  static void name(int rows, int n, const float *x, ptrdiff_t ldx, const char *const *at, float *sum,        \
                   ptrdiff_t ld_sum, const ld_few_fetch *fetch) {                                            \
    const unsigned mode = _mm_getcsr();                                                                      \
    _mm_setcsr(mode | FLUSH);                                                                                \
    name##_flushed(rows, n, x, ldx, at, sum, ld_sum, fetch);                                                 \
    _mm_setcsr(mode);                                                                                        \
  }
#else
#define TURNED_FUNCTION(name, form)                                                                          \
  static void name(int rows, int n, const float *x, ptrdiff_t ldx, const char *const *at, float *sum,        \
                   ptrdiff_t ld_sum, const ld_few_fetch *fetch) {                                            \
    few_turned(form, rows, n, x, ldx, at, sum, ld_sum, fetch);                                               \
  }
#endif

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

#define LINES_OF_FEW_FUNCTION(name, form)                                                                    \
  static void name(int rows, int n, int n_columns, const float *x, ptrdiff_t ldx, const void *w,             \
                   ptrdiff_t ldw, float *sum, ptrdiff_t ld_sum) {                                            \
    few_lines(form, rows, n, n_columns, x, ldx, w, ldw, sum, ld_sum);                                        \
  }

#endif
