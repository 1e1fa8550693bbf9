/* The tile on AMX, whose registers hold 16 rows of 16 words, pairs of bfloat16. One instruction is c += a b for such
 * registers. For each number of c the products of the first numbers of the 16 pairs are summed by fused multiply-adds from
 * zero, and so are those of the second numbers; the two sums are added, and the result is added to c. What is too small for a
 * normal float32 becomes 0. So a chain is summed in groups of 16 words; a last one of fewer is filled up with zeros.
 *
 * This file is compiled twice: for the instructions, and with LD_TILE_MODEL for a model of them that gives the same bits
 * elsewhere. */
#include <stdbool.h>
#include <string.h>

#include "linalg/tile.h"
#include "linalg/tile/words.h"

#ifdef LD_TILE_MODEL
#include "linalg/tile/amx_model.h"
#else
/* gcc's own functions for these do not say what memory they read and write. */
#define TEXT_OF(t) #t
#define REGISTER(t) "%%tmm" TEXT_OF(t)
#define amx_configure(from) __asm__ volatile("ldtilecfg %0" ::"m"(*(from)) : "memory")
#define amx_zero(t) __asm__ volatile("tilezero " REGISTER(t)::)
#define amx_load(t, from, stride)                                                                            \
  __asm__ volatile("tileloadd (%0,%1,1), " REGISTER(t)::"r"(from), "r"((ptrdiff_t)(stride)) : "memory")
#define amx_store(t, to, stride)                                                                             \
  __asm__ volatile("tilestored " REGISTER(t) ", (%0,%1,1)" ::"r"(to), "r"((ptrdiff_t)(stride)) : "memory")
#define amx_multiply(sum, left, right)                                                                       \
  __asm__ volatile("tdpbf16ps " REGISTER(right) ", " REGISTER(left) ", " REGISTER(sum)::)
#endif

enum { SIDE = 16, GROUP = 16, HALF = LD_PANEL / 2, FLOAT = sizeof(float) };

/* The registers, whose names are parts of the instructions: sums of the first and of the last rows over the first and over the
 * last columns, and factors. */
#define SUM_00 0
#define SUM_01 1
#define SUM_10 2
#define SUM_11 3
#define LEFT_0 4
#define LEFT_1 5
#define RIGHT_0 6
#define RIGHT_1 7

/* The rows for which this thread's registers are set up. Nothing else in the program uses them, and a child that it forks
 * computes no products: it would have this number, but not the registers' set-up. */
static _Thread_local int configured;

/* A register has 16 rows or those of the tile. Setting them up takes long, and clears them. */
static void configure(int rows) {
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
  } to = {.palette = 1};
  if (rows == configured) return;
  const int upper = rows < SIDE ? rows : SIDE, lower = rows > SIDE ? rows - SIDE : 1;
  const int of[] = {upper, upper, lower, lower, upper, lower, SIDE, SIDE};
  for (int t = 0; t < 8; t++) {
    to.bytes[t] = GROUP * FLOAT;
    to.rows[t] = (uint8_t)of[t];
  }
  amx_configure(&to);
  configured = rows;
}

/* Adds a group: left (rows, GROUP), right (GROUP, 16 or, `wide`, 32). */
INLINE void add_group(int rows, bool wide, const float *left, ptrdiff_t ld_left, const float *right,
                      ptrdiff_t ld_right) {
  amx_load(LEFT_0, left, ld_left * FLOAT);
  amx_load(RIGHT_0, right, ld_right * FLOAT);
  amx_multiply(SUM_00, LEFT_0, RIGHT_0);
  if (wide) {
    amx_load(RIGHT_1, right + SIDE, ld_right * FLOAT);
    amx_multiply(SUM_01, LEFT_0, RIGHT_1);
  }
  if (rows <= SIDE) return;
  amx_load(LEFT_1, left + SIDE * ld_left, ld_left * FLOAT);
  amx_multiply(SUM_10, LEFT_1, RIGHT_0);
  if (wide) amx_multiply(SUM_11, LEFT_1, RIGHT_1);
}

/* to (rows, GROUP) from n words of rows that are columns: word k of row i is at a[k * step + i]. */
INLINE void turn_group(int rows, int n, const float *a, ptrdiff_t step, float *to) {
  for (int i = 0; i < (rows > SIDE ? 2 * SIDE : SIDE); i += LANES)
    for (int k = 0; k < GROUP; k += LANES) {
      vec row[LANES];
      UNROLL for (int e = 0; e < LANES; e++) row[e] = k + e < n ? load(a + (k + e) * step + i) : (vec){0};
      turn_square(row);
      UNROLL for (int e = 0; e < LANES; e++) store(to + (i + e) * GROUP + k, row[e]);
    }
}

/* to (padded, width) from n rows of up to `width` words each; what is missing becomes 0. */
static void copy_group(int n, int padded, int words, int width, const float *from, ptrdiff_t ld, float *to) {
  for (int i = 0; i < padded; i++)
    for (int k = 0; k < width; k++) to[i * width + k] = i < n && k < words ? from[i * ld + k] : 0;
}

/* c = start + the sums. */
static void add_sums(int rows, bool wide, const float *start, ptrdiff_t ld_start, float *c, ptrdiff_t ldc) {
  _Alignas(64) float sums[2 * SIDE * LD_PANEL];
  const ptrdiff_t stride = LD_PANEL * FLOAT;
  amx_store(SUM_00, sums, stride);
  if (wide) amx_store(SUM_01, sums + SIDE, stride);
  if (rows > SIDE) amx_store(SUM_10, sums + SIDE * LD_PANEL, stride);
  if (rows > SIDE && wide) amx_store(SUM_11, sums + SIDE * LD_PANEL + SIDE, stride);
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < (wide ? LD_PANEL : HALF); j += LANES)
      store(c + i * ldc + j, load(start + i * ld_start + j) + load(sums + i * LD_PANEL + j));
}

/* Chain by chain. `step` is 0 for word k of row i at a[i * LD_BLOCK_STRIDE + k], else it is at a[k * step + i]. */
INLINE void tile(bool wide, ptrdiff_t step, int rows, int words, const float *a, const float *b,
                 ptrdiff_t ldb, const float *start, ptrdiff_t ld_start, float *c, ptrdiff_t ldc) {
  _Alignas(64) float left[2 * SIDE * GROUP], right[GROUP * LD_PANEL];
  const int width = wide ? LD_PANEL : HALF;
  configure(rows);
  do {
    const int here = words < CHAIN ? words : CHAIN;
    amx_zero(SUM_00);
    amx_zero(SUM_01);
    amx_zero(SUM_10);
    amx_zero(SUM_11);
    for (int k = 0; k < here; k += GROUP, a += step ? GROUP * step : GROUP, b += GROUP * ldb) {
      const int n = here - k < GROUP ? here - k : GROUP;
      if (step)
        turn_group(rows, n, a, step, left);
      else if (n < GROUP)
        copy_group(rows, rows, n, GROUP, a, LD_BLOCK_STRIDE, left);
      if (n < GROUP) copy_group(n, GROUP, width, width, b, ldb, right);
      const bool in_place = !step && n == GROUP;
      add_group(rows, wide, in_place ? a : left, in_place ? LD_BLOCK_STRIDE : GROUP, n < GROUP ? right : b,
                n < GROUP ? width : ldb);
    }
    add_sums(rows, wide, start, ld_start, c, ldc);
    start = c;
    ld_start = ldc;
    words -= CHAIN;
  } while (words > 0);
}

#define TILE_FUNCTION(name, wide, step)                                                                      \
  static void name(int rows, int words, const float *a, const float *b, ptrdiff_t ldb, const float *start,   \
                   ptrdiff_t ld_start, float *c, ptrdiff_t ldc, ld_fetch *fetch) {                           \
    (void)fetch; /* the registers' own loads need what memory can serve at a time */                         \
    tile(wide, step, rows, words, a, b, ldb, start, ld_start, c, ldc);                                       \
  }

TILE_FUNCTION(by_rows, true, 0)
TILE_FUNCTION(half_by_rows, false, 0)
TILE_FUNCTION(by_columns, true, LD_BLOCK_STRIDE)
TILE_FUNCTION(half_by_columns, false, LD_BLOCK_STRIDE)
TILE_FUNCTION(by_strips, true, STRIP)
TILE_FUNCTION(half_by_strips, false, STRIP)

const ld_tile LD_TILE_NAME = {
    .name = LD_TILE_TEXT,
    .rows = LD_TILE_ROWS,
    .fused = true,
    .pair = PAIR,
    .words = PAIR_WORDS,
    .chain = CHAIN,
    .group = GROUP,
    .at_once = CHAIN,
    .by_rows = {by_rows, half_by_rows},
    .by_columns = {by_columns, half_by_columns},
    .by_strips = {by_strips, half_by_strips},
    .strip = STRIP,
    .copy = copy,
    .lay = lay,
    .cut = cut,
    .turn = turn,
    .lay_bf16 = lay_bf16,
    .turn_bf16 = turn_bf16,
};
