/* A product as the loops of gemm.c and gemm_few.c see it: strides instead of a transposed result, and the words of
 * all its terms as one long row. */
#ifndef LD_GEMM_JOB_H
#define LD_GEMM_JOB_H

#include <stdbool.h>
#include <stddef.h>

#include "linalg/factor.h"
#include "linalg/tile.h"

typedef struct ld_job {
  const ld_tile *tile;
  int M, N, n_terms, words; /* words of all terms, one after the other */
  const ld_term *terms;
  const float *start, *bias; /* either may be NULL */
  ptrdiff_t start_row, start_column, bias_row, bias_column;
  float *C;
  ptrdiff_t row, column; /* of C */
} ld_job;

/* A term's part in some of the words: its numbers [k, k + n) are words [at, ...) of them. */
typedef struct ld_term_part {
  const ld_term *term;
  int k, n, at;
} ld_term_part;

/* Fills parts[] with the terms' parts in words [word, word + words); returns their number. */
int ld_job_parts(const ld_job *job, int word, int words, ld_term_part parts[LD_MAX_TERMS]);

/* Rows of floats, `ld` apart. */
typedef struct ld_lines {
  const float *at;
  ptrdiff_t ld;
} ld_lines;

/* Stored rows [row, row + rows) of a factor, numbers [column, column + n) of each; in place if they are floats,
 * otherwise through `widened`, which must have room for them. */
ld_lines ld_factor_lines(const ld_factor *factor, int row, int rows, int column, int n, float *widened);

/* out (rows, n), LD_PANEL apart, n at most that = what columns [column, column + n) of rows [row, row + rows) of C
 * start from: start + bias or, if not `fresh`, C itself. */
void ld_job_start(const ld_job *job, bool fresh, int row, int rows, int column, int n, float *out);

#endif
