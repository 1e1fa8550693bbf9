/* The register tile: the innermost loop of every matrix product, once per kind of processor.
 *
 * A tile is a few rows of the result by a panel of columns. Its left factor is in a block whose rows are
 * LD_BLOCK_STRIDE words apart, its right factor in a panel, one row of words for each k. A word is a float32, or, where
 * factors are rounded to bfloat16, a pair of bfloat16 that belong to k and k + 1. A processor without an instruction for
 * such pairs has a word for each of both, the one of k + 1 first, as the instruction adds them; then a chain has twice as
 * many words, and numbers too small for a normal float32 become 0, as they do there.
 *
 * Each number of the result is its start plus chains, added one after the other in the order of k. A chain is
 * the sum of LD_CHAIN_WORDS words of k, by fused multiply-adds from zero; in one chain over all of k, the
 * rounding errors would grow with its length. So the bits depend only on the row, the column and the start.
 * They do not depend on the tile's height, on how the matrices are cut (between chains), on the number of
 * rows or threads, nor, given a fused multiply-add, on the width of the machine's vectors. */
#ifndef LD_TILE_H
#define LD_TILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "linalg/codec.h"

enum {
  LD_MOST_TILE_ROWS = 32,
  LD_PANEL = 32,       /* columns of a panel; half a panel is the narrowest right factor */
  LD_FEW_COLUMNS = 16, /* of a product of few rows at a time: more streams than that from memory are slower */
  LD_CHAIN_WORDS = 192,  /* summed from zero; longer products may be cut at multiples of it */
  LD_BLOCK_WORDS = 800,  /* the most words of a row in a block */
  LD_BLOCK_STRIDE = 816, /* an odd number of cache lines, so that rows of a tile use different cache sets */
  LD_FETCH_WORDS = 32,   /* how often a tile prefetches; divides LD_CHAIN_WORDS */
};

/* Memory that will be read soon: `lines` cache lines of each of `rows` rows, `stride` bytes apart. Tiles
 * prefetch `each` of them every LD_FETCH_WORDS words: more at once would keep the processor waiting. AMX's tile does not. */
typedef struct ld_fetch {
  const char *at;
  ptrdiff_t stride;
  int rows, lines, each;
  int row, line; /* the next one */
} ld_fetch;

static inline void ld_fetch_next(ld_fetch *f) {
  for (int n = f->each; n > 0 && f->row < f->rows; n--) {
    __builtin_prefetch(f->at + f->row * f->stride + f->line * 64, 0, 2);
    if (++f->line < f->lines) continue;
    f->line = 0;
    f->row++;
  }
}

/* c (rows, 32 or 16) = start + a b, over `words` words of a and b from the beginning of a chain, or over a
 * piece of one that begins at a group. `ldb` is the stride of b's rows, `ld_start` that of start, which may be 0 (one row for
 * all); start may be c. Meanwhile it may prefetch; NULL for nothing. */
typedef void ld_tile_function(int rows, int words, const float *a, const float *b, ptrdiff_t ldb,
                              const float *start, ptrdiff_t ld_start, float *c, ptrdiff_t ldc,
                              ld_fetch *fetch);

/* The same where the rows of b are anywhere: row k begins at lines[k] + column. */
typedef void ld_tile_lines_function(int rows, int words, const float *a, const float *const *lines,
                                    ptrdiff_t column, const float *start, ptrdiff_t ld_start, float *c,
                                    ptrdiff_t ldc, ld_fetch *fetch);

/* What is prefetched while rows of LD_FEW_COLUMNS columns are read: memory from `next` on, as much as is read; NULL: what
 * lies `ahead` bytes beyond that. */
typedef struct ld_few_fetch {
  const char *next;
  ptrdiff_t ahead;
} ld_few_fetch;

/* sum (rows, LD_FEW_COLUMNS), `ld_sum` apart, += x w, over n numbers of k within a chain; only the last ones of all may be an
 * odd number, or in AMX's order less than a group. Words of row i of x are at x[i * ldx]; column j of w is at at[j]. */
typedef void ld_few_turned_function(int rows, int n, const float *x, ptrdiff_t ldx, const char *const *at,
                                    float *sum, ptrdiff_t ld_sum, const ld_few_fetch *fetch);

/* The same for n_columns columns of w, the rows of which are `ldw` numbers apart. */
typedef void ld_few_lines_function(int rows, int n, int n_columns, const float *x, ptrdiff_t ldx,
                                   const void *w, ptrdiff_t ldw, float *sum, ptrdiff_t ld_sum);

/* What the factors of a product are rounded to; sums are float32. BF16_AMX sums a chain in groups, as AMX does it
 * (tile/amx.c), and so has other bits than BF16. */
enum ld_precision { LD_PRECISION_F32, LD_PRECISION_BF16, LD_PRECISION_BF16_AMX, LD_N_PRECISIONS };

/* As --precision has them. */
extern const char *const ld_precision_names[LD_N_PRECISIONS];

typedef struct ld_tile {
  const char *name;
  int rows;  /* the most rows of a tile */
  int strip; /* words between the words of a strip; at least `rows` */
  int pair;  /* numbers that are laid together: 1, or 2 for bfloat16 */
  int words; /* of such a pair: 1 or 2 */
  int chain; /* words of a chain */
  int group; /* words that are summed by themselves before they are added to the chain, or 1; a piece of a chain begins
                 at a multiple of it */
  int at_once; /* how many words of k are multiplied with all panels before the next ones are: so few that those of the left
                  factor stay in the first-level cache. A multiple of `chain`; 0: all of a block */
  bool fused; /* multiply-adds are fused: results are the same on every processor that has them */

  /* [0]: over 32 columns, [1]: over 16. */
  ld_tile_function *by_rows[2];    /* word k of row i at a[i * LD_BLOCK_STRIDE + k] */
  ld_tile_function *by_columns[2]; /* word k of row i at a[k * LD_BLOCK_STRIDE + i] */
  ld_tile_function *by_strips[2];  /* word k of row i at a[k * strip + i] */

  /* As by_rows and by_strips; NULL where a word is not a float. */
  ld_tile_lines_function *lines_by_rows[2], *lines_by_strips[2];

  /* words[] = factor * x[0 .. n); here and below a last odd number is paired with 0. */
  void (*copy)(int n, const float *x, float factor, float *words);

  /* Lines of words from n rows of x, `ld` apart, of n_columns numbers each: ld_tile_words(n) lines. They are `ld_words`
   * apart; words from n_columns to `padded` become 0. */
  void (*lay)(int n, int n_columns, int padded, const float *x, ptrdiff_t ld, float factor, float *words,
              ptrdiff_t ld_words);

  /* Strips from n lines of words, `ld` apart: columns [i, i + height) of the lines become strip i / height, its
   * words at `to`, those of the next strip `ld_strip` further. Reads up to `strip` words from the last column that
   * begins a strip. */
  void (*cut)(int n, int n_columns, int height, const float *lines, ptrdiff_t ld, float *to,
              ptrdiff_t ld_strip);

  /* Columns of a panel from rows of a matrix: word k of column j at panel[k * LD_PANEL + j] from x[j * ld +
   * k...], of n numbers each; columns from n_columns to `padded` become 0. */
  void (*turn)(int n, int n_columns, int padded, const float *x, ptrdiff_t ld, float factor, float *panel);

  /* lay and turn from numbers that are stored as bfloat16, with a factor of 1; NULL where a word is not a pair of those. */
  void (*lay_bf16)(int n, int n_columns, int padded, const uint16_t *x, ptrdiff_t ld, float *words,
                   ptrdiff_t ld_words);
  void (*turn_bf16)(int n, int n_columns, int padded, const uint16_t *x, ptrdiff_t ld, float *panel);

  /* For products of few rows (gemm_few.h): of a weight with a row for each column of the result, and of one with a row for
   * each k; by the form in which its numbers are stored. NULL: no such. */
  ld_few_turned_function *few_turned[LD_N_PLAIN];
  ld_few_lines_function *few_lines[LD_N_PLAIN];
} ld_tile;

/* The words of n numbers of k, and the numbers that so many words hold. */
static inline int ld_tile_words(const ld_tile *tile, int n) {
  return (n + tile->pair - 1) / tile->pair * tile->words;
}

static inline int ld_tile_numbers(const ld_tile *tile, int words) {
  return words / tile->words * tile->pair;
}

/* The first word of the group that has number n of k. */
static inline int ld_tile_group(const ld_tile *tile, int n) {
  return n / tile->pair * tile->words / tile->group * tile->group;
}

#endif
