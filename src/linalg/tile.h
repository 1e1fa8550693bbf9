/* The register tile: the innermost loop of every matrix product, once per kind of processor.
 *
 * A tile is a few rows of the result by a panel of columns. Its left factor lies in a block whose rows are
 * LD_BLOCK_STRIDE words apart, its right factor in a panel, one row of words for each k. A word is a float32
 * or, for the kernel of bfloat16, a pair of bfloat16 that belong to k and k + 1.
 *
 * Each number of the result is its start plus chains, added one after the other in the order of k. A chain is
 * the sum of LD_CHAIN_WORDS words of k, by fused multiply-adds from zero: the rounding errors of one chain
 * over all of k would grow with its length. So the bits depend on the row, the column and the start alone:
 * not on the tile's height, the cut of the matrices (between chains), the number of rows or threads, nor,
 * where there is a fused multiply-add at all, on the width of the machine's vectors.
 */
#ifndef LD_TILE_H
#define LD_TILE_H

#include <stdbool.h>
#include <stddef.h>

enum {
  LD_MOST_TILE_ROWS = 14,
  LD_PANEL = 32,         /* columns of a panel; half a panel is the narrowest right factor */
  LD_CHAIN_WORDS = 192,  /* what is summed from zero; longer products may be cut at multiples of it */
  LD_BLOCK_WORDS = 800,  /* the most words of a row that a block holds */
  LD_BLOCK_STRIDE = 816, /* an odd number of cache lines: rows of a tile do not compete for the same places */
};

/* c (rows, 32 or 16) = start + a b, over `words` words of a and b from the beginning of a chain, or over some
 * words within one. `ldb` is the stride of b's rows, `ld_start` that of start, which may be 0 (one row for
 * all); start may be c. */
typedef void ld_tile_function(int rows, int words, const float *a, const float *b, ptrdiff_t ldb,
                              const float *start, ptrdiff_t ld_start, float *c, ptrdiff_t ldc);

typedef struct ld_tile {
  const char *name;
  int rows;   /* the most that a tile takes */
  int pair;   /* numbers in a word: 1, or 2 of bfloat16 */
  bool fused; /* multiply-adds are fused: results are the same on every such processor */

  /* [0]: over 32 columns, [1]: over 16. */
  ld_tile_function *by_rows[2];    /* word k of row i at a[i * LD_BLOCK_STRIDE + k] */
  ld_tile_function *by_columns[2]; /* word k of row i at a[k * LD_BLOCK_STRIDE + i] */

  /* words[] = factor * x[0 .. n); a last odd number is paired with 0. */
  void (*copy)(int n, const float *x, float factor, float *words);

  /* Lines of words from n rows of x, `ld` apart, of n_columns numbers each: a line for a row, or for a pair
   * of rows (a last odd one is paired with 0). Lines are `ld_words` apart; words from n_columns to `padded`
   * become 0. */
  void (*lay)(int n, int n_columns, int padded, const float *x, ptrdiff_t ld, float factor, float *words,
              ptrdiff_t ld_words);

  /* Columns of a panel from rows of a matrix: word k of column j at panel[k * LD_PANEL + j] from x[j * ld +
   * k...], of n numbers each; columns from n_columns to `padded` become 0. */
  void (*turn)(int n, int n_columns, int padded, const float *x, ptrdiff_t ld, float factor, float *panel);
} ld_tile;

#endif
