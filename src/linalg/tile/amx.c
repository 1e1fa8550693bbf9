/* The tile on AMX, whose registers hold 16 rows of 16 words, pairs of bfloat16. One instruction is c += a b for such
 * registers. For each number of c the products of the first numbers of the 16 pairs are summed by fused multiply-adds from
 * zero, and so are those of the second numbers; the two sums are added, and the result is added to c. What is too small for a
 * normal float32 becomes 0. So a chain is summed in groups of 16 words; a last one of fewer is filled up with zeros.
 *
 * This file is compiled twice: for the instructions, and with LD_TILE_MODEL for a model of them that gives the same bits
 * elsewhere. */
#include <stdbool.h>
#include <string.h>

#include "linalg/tile/few.h"

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

/* What this thread's registers are set up for: rows of a tile, or columns of x. Nothing else in the program uses them, and a
 * child that it forks computes no products: it would have these numbers, but not the registers' set-up. */
static _Thread_local int rows_set, columns_set;

/* A register has 16 rows or those of the tile and 16 words or, for sums and right factors, some columns. Setting them up takes
 * long, and clears them. */
static void configure(int rows, int columns) {
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
  } to = {.palette = 1};
  if (rows == rows_set && columns == columns_set) return;
  const int upper = rows < SIDE ? rows : SIDE, lower = rows > SIDE ? rows - SIDE : 1;
  const int of[] = {upper, upper, lower, lower, upper, lower, SIDE, SIDE};
  for (int t = 0; t < 8; t++) {
    to.bytes[t] = (uint16_t)((t == LEFT_0 || t == LEFT_1 ? GROUP : columns) * FLOAT);
    to.rows[t] = (uint8_t)of[t];
  }
  amx_configure(&to);
  rows_set = rows;
  columns_set = columns;
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
  configure(rows, SIDE);
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

#ifndef LD_TILE_MODEL
/* Products of few rows. The weight is the left factor, since a register can take 16 of its columns as they are stored, and the
 * rows of x are columns of the right one: the sums are the same. The model would compute 16 columns for each row of x. */

/* to (GROUP, SIDE) from n words of rows of x; what is missing becomes 0. */
INLINE void turn_rows(int rows, int n, const float *x, ptrdiff_t ldx, float *to) {
  vec row[LANES];
  UNROLL for (int i = 0; i < SIDE; i++) row[i] = (vec){0};
  for (int i = 0; i < rows; i++)
    for (int k = 0; n < GROUP && k < n; k++) row[i][k] = x[i * ldx + k];
  for (int i = 0; i < rows && n == GROUP; i++) row[i] = load(x + i * ldx);
  turn_square(row);
  UNROLL for (int k = 0; k < GROUP; k++) store(to + k * SIDE, row[k]);
}

/* to (SIDE, GROUP) from n numbers of each column. */
INLINE void take_columns(enum ld_plain form, int n, const char *const *at, ptrdiff_t offset, float *to) {
  for (int j = 0; j < SIDE; j++) {
    float numbers[2 * GROUP] = {0};
    const char *from = at[j] + offset;
    if (n == 2 * GROUP) {
      store(to + j * GROUP, form == LD_PLAIN_BF16 ? read_pairs(from) : read_words(form, from, 0));
      continue;
    }
    for (int k = 0; k < n; k++) numbers[k] = read_one(form, from, k);
    copy(2 * GROUP, numbers, 1, to + j * GROUP);
  }
}

INLINE void few(enum ld_plain form, int rows, int n, const float *x, ptrdiff_t ldx, const char *const *at,
                float *sum, ptrdiff_t ld_sum, const ld_few_fetch *fetch) {
  enum { NUMBERS = 2 * GROUP };
  _Alignas(64) float sums[SIDE * SIDE], left[SIDE * GROUP], right[GROUP * SIDE];
  const ptrdiff_t stride = at[1] - at[0];
  const bool in_place = form == LD_PLAIN_BF16 && at[SIDE - 1] - at[0] == (SIDE - 1) * stride;
  for (int j = 0; j < SIDE; j++)
    for (int i = 0; i < rows; i++) sums[j * SIDE + i] = sum[i * ld_sum + j];
  configure(SIDE, rows);
  amx_load(SUM_00, sums, SIDE * FLOAT);
  for (int k = 0; k < n; k += NUMBERS, x += GROUP) {
    const int here = n - k < NUMBERS ? n - k : NUMBERS;
    const ptrdiff_t offset = (ptrdiff_t)k * size_of(form);
    const char *next = fetch->next ? fetch->next + offset * SIDE : NULL;
    for (int j = 0; j < SIDE; j++)
      __builtin_prefetch(next ? next + j * CACHE_LINE : at[j] + offset + fetch->ahead, 0, 2);
    const bool whole = here == NUMBERS, alone = rows == 1 && whole; /* a single row is a column too */
    if (!alone) turn_rows(rows, (here + 1) / 2, x, ldx, right);
    amx_load(RIGHT_0, alone ? x : right, (alone ? 1 : SIDE) * FLOAT);
    if (in_place && whole) {
      amx_load(LEFT_0, (const float *)(const void *)(at[0] + offset), stride);
    } else {
      take_columns(form, here, at, offset, left);
      amx_load(LEFT_0, left, GROUP * FLOAT);
    }
    amx_multiply(SUM_00, LEFT_0, RIGHT_0);
  }
  amx_store(SUM_00, sums, SIDE * FLOAT);
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < SIDE; j++) sum[i * ld_sum + j] = sums[j * SIDE + i];
}

#define FEW_FUNCTION(name, form)                                                                             \
  static void name(int rows, int n, const float *x, ptrdiff_t ldx, const char *const *at, float *sum,        \
                   ptrdiff_t ld_sum, const ld_few_fetch *fetch) {                                            \
    few(form, rows, n, x, ldx, at, sum, ld_sum, fetch);                                                      \
  }

FEW_FUNCTION(few_f32, LD_PLAIN_F32)
FEW_FUNCTION(few_f16, LD_PLAIN_F16)
FEW_FUNCTION(few_bf16, LD_PLAIN_BF16)
#endif

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
#ifndef LD_TILE_MODEL
    .few_turned = {[LD_PLAIN_F32] = few_f32, [LD_PLAIN_F16] = few_f16, [LD_PLAIN_BF16] = few_bf16},
#endif
};
