/* The tile in the compiler's own vectors. This file is compiled once per kind of processor (CMakeLists.txt):
 * LD_TILE_NAME is the table's name, LD_TILE_LANES the floats of a vector register, LD_TILE_ROWS what fits: of
 * 32 registers of AVX-512 14 rows of two sums, two of the panel and a spread number; of 16 registers of AVX2 or
 * 32 of NEON, which are half and a quarter as wide, 6 rows over half a panel. */
#include "linalg/tile.h"

#include <string.h>

#include "linalg/tile/few.h"
#include "linalg/tile/words.h"

#if !defined(LD_TILE_PAIRS) && !defined(LD_TILE_ROUNDED)
#define WORDS_ARE_FLOATS
#endif

/* How many words of k are written out: what the loop itself costs shows where a tile has few rows. */
#if LD_TILE_ROWS == 6
#define UNROLL_WORDS _Pragma("GCC unroll 4")
#else
#define UNROLL_WORDS
#endif

enum { HALF = LD_PANEL / 2 };

/* Between begin and end, sums and factors too small for a normal number become 0, as in products of bfloat16. The empty
 * instructions keep the compiler from computing sums outside. */
INLINE unsigned begin_flushing(int rows, int vecs, vec sum[][LD_PANEL / LANES]) {
  unsigned mode = 0;
#ifdef LD_TILE_ROUNDED
  mode = _mm_getcsr();
  _mm_setcsr(mode | FLUSH);
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

/* The right factor: rows `ld` apart from `at` on or, with `lines`, row k at lines[k] + column. */
typedef struct right_rows {
  const float *at;
  ptrdiff_t ld;
  const float *const *lines;
  ptrdiff_t column;
} right_rows;

INLINE const float *next_row(right_rows *b, bool by_lines) {
  const float *row = by_lines ? *b->lines + b->column : b->at;
  if (by_lines)
    b->lines++;
  else
    b->at += b->ld;
  return row;
}

/* Chain by chain. All but `words`, the right factor and the pointers are constants where this is called. */
INLINE void tile(int rows, int vecs, ptrdiff_t row, ptrdiff_t step, bool by_lines, int words, const float *a,
                 right_rows b, const float *start, ptrdiff_t ld_start, float *c, ptrdiff_t ldc,
                 ld_fetch *fetch) {
  _Alignas(64) float held[LD_TILE_ROWS * LD_PANEL]; /* between chains */
  do {
    float *to = words > CHAIN ? held : c;
    const ptrdiff_t ld_to = words > CHAIN ? LD_PANEL : ldc;
    vec sum[LD_TILE_ROWS][LD_PANEL / LANES], right[LD_PANEL / LANES];
    UNROLL for (int i = 0; i < rows; i++) UNROLL for (int v = 0; v < vecs; v++) sum[i][v] = (vec){0};
    const unsigned mode = begin_flushing(rows, vecs, sum);
    for (int left = words < CHAIN ? words : CHAIN; left > 0; left -= LD_FETCH_WORDS) {
      UNROLL_WORDS for (int k = left < LD_FETCH_WORDS ? left : LD_FETCH_WORDS; k > 0; k--, a += step) {
        const float *from = next_row(&b, by_lines);
        UNROLL for (int v = 0; v < vecs; v++) right[v] = load(from + v * LANES);
        UNROLL for (int i = 0; i < rows; i++) UNROLL for (int v = 0; v < vecs; v++) sum[i][v] =
            add_word(a + i * row, right[v], sum[i][v]);
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

#define OF_ROWS(n, ...)                                                                                      \
  case n:                                                                                                    \
    tile(n, __VA_ARGS__, words, a, right, start, ld_start, c, ldc, fetch);                                   \
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

/* Goes to the tile of that many rows. */
#define TO_ROWS(...)                                                                                         \
  switch (rows) {                                                                                            \
    OF_ROWS(1, __VA_ARGS__)                                                                                  \
    OF_ROWS(2, __VA_ARGS__)                                                                                  \
    OF_ROWS(3, __VA_ARGS__)                                                                                  \
    OF_ROWS(4, __VA_ARGS__) OF_ROWS(5, __VA_ARGS__) OF_ROWS(6, __VA_ARGS__) OF_MORE_ROWS(__VA_ARGS__)        \
  }

#define TILE_FUNCTION(name, ...)                                                                             \
  static void name(int rows, int words, const float *a, const float *b, ptrdiff_t ldb, const float *start,   \
                   ptrdiff_t ld_start, float *c, ptrdiff_t ldc, ld_fetch *fetch) {                           \
    const right_rows right = {.at = b, .ld = ldb};                                                           \
    TO_ROWS(__VA_ARGS__, false)                                                                              \
  }

#define LINES_FUNCTION(name, ...)                                                                            \
  static void name(int rows, int words, const float *a, const float *const *lines, ptrdiff_t column,         \
                   const float *start, ptrdiff_t ld_start, float *c, ptrdiff_t ldc, ld_fetch *fetch) {       \
    const right_rows right = {.lines = lines, .column = column};                                             \
    TO_ROWS(__VA_ARGS__, true)                                                                               \
  }

TILE_FUNCTION(half_by_rows, HALF / LANES, LD_BLOCK_STRIDE, 1)
TILE_FUNCTION(half_by_columns, HALF / LANES, 1, LD_BLOCK_STRIDE)
TILE_FUNCTION(half_by_strips, HALF / LANES, 1, STRIP)
#ifdef WORDS_ARE_FLOATS
LINES_FUNCTION(half_lines_by_rows, HALF / LANES, LD_BLOCK_STRIDE, 1)
LINES_FUNCTION(half_lines_by_strips, HALF / LANES, 1, STRIP)
#endif
#if LD_TILE_ROWS == 14
TILE_FUNCTION(by_rows, LD_PANEL / LANES, LD_BLOCK_STRIDE, 1)
TILE_FUNCTION(by_columns, LD_PANEL / LANES, 1, LD_BLOCK_STRIDE)
TILE_FUNCTION(by_strips, LD_PANEL / LANES, 1, STRIP)
#ifdef WORDS_ARE_FLOATS
LINES_FUNCTION(lines_by_rows, LD_PANEL / LANES, LD_BLOCK_STRIDE, 1)
LINES_FUNCTION(lines_by_strips, LD_PANEL / LANES, 1, STRIP)
#endif
#else
/* Too few registers for both halves at once. */
#define BOTH_HALVES(name)                                                                                    \
  static void name(int rows, int words, const float *a, const float *b, ptrdiff_t ldb, const float *start,   \
                   ptrdiff_t ld_start, float *c, ptrdiff_t ldc, ld_fetch *fetch) {                           \
    half_##name(rows, words, a, b, ldb, start, ld_start, c, ldc, fetch);                                     \
    half_##name(rows, words, a, b + HALF, ldb, start + HALF, ld_start, c + HALF, ldc, NULL);                 \
  }
#define BOTH_HALVES_OF_LINES(name)                                                                           \
  static void name(int rows, int words, const float *a, const float *const *lines, ptrdiff_t column,         \
                   const float *start, ptrdiff_t ld_start, float *c, ptrdiff_t ldc, ld_fetch *fetch) {       \
    half_##name(rows, words, a, lines, column, start, ld_start, c, ldc, fetch);                              \
    half_##name(rows, words, a, lines, column + HALF, start + HALF, ld_start, c + HALF, ldc, NULL);          \
  }
BOTH_HALVES(by_rows)
BOTH_HALVES(by_columns)
BOTH_HALVES(by_strips)
#ifdef WORDS_ARE_FLOATS
BOTH_HALVES_OF_LINES(lines_by_rows)
BOTH_HALVES_OF_LINES(lines_by_strips)
#endif
#endif

TURNED_FUNCTION(f32_turned, LD_PLAIN_F32)
TURNED_FUNCTION(bf16_turned, LD_PLAIN_BF16)
#ifdef READS_F16
TURNED_FUNCTION(f16_turned, LD_PLAIN_F16)
#endif
#ifdef WORDS_ARE_FLOATS
LINES_OF_FEW_FUNCTION(f32_lines, LD_PLAIN_F32)
LINES_OF_FEW_FUNCTION(bf16_lines, LD_PLAIN_BF16)
#ifdef READS_F16
LINES_OF_FEW_FUNCTION(f16_lines, LD_PLAIN_F16)
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
    .group = 1,
    .by_rows = {by_rows, half_by_rows},
    .by_columns = {by_columns, half_by_columns},
    .by_strips = {by_strips, half_by_strips},
    .strip = STRIP,
    .copy = copy,
    .lay = lay,
    .cut = cut,
    .turn = turn,
#ifdef LD_TILE_PAIRS
    .lay_bf16 = lay_bf16,
    .turn_bf16 = turn_bf16,
#endif
    .few_turned =
        {
            [LD_PLAIN_F32] = f32_turned,
            [LD_PLAIN_BF16] = bf16_turned,
#ifdef READS_F16
            [LD_PLAIN_F16] = f16_turned,
#endif
        },
#ifdef WORDS_ARE_FLOATS
    .lines_by_rows = {lines_by_rows, half_lines_by_rows},
    .lines_by_strips = {lines_by_strips, half_lines_by_strips},
    .few_lines =
        {
            [LD_PLAIN_F32] = f32_lines,
            [LD_PLAIN_BF16] = bf16_lines,
#ifdef READS_F16
            [LD_PLAIN_F16] = f16_lines,
#endif
        },
#endif
};
