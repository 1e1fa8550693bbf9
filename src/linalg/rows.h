/* Vectorised passes over one row, shared by the operations. Sums run over 16 lanes whatever the machine's
 * vectors, so the source fixes their order and thus their bits. They run over blocks of LD_SUM_BLOCK numbers,
 * each from zero, so that their error does not grow with the row. Lanes are added in double. */
#ifndef LD_ROWS_H
#define LD_ROWS_H

#include <stddef.h>

enum { LD_LANES = 16, LD_SUM_BLOCK = 512 };

/* Declares `result`, the sum of `term` for i = 0 .. n-1, where `term` is an expression of i. */
#define LD_SUM(result, n, term)                                                                              \
  float result;                                                                                              \
  do {                                                                                                       \
    float lanes[LD_LANES] = {0};                                                                             \
    double all = 0;                                                                                          \
    const int whole = (n) / LD_LANES * LD_LANES;                                                             \
    for (int begin = 0, end; begin < whole; begin = end) {                                                   \
      float block[LD_LANES] = {0};                                                                           \
      end = whole - begin < LD_SUM_BLOCK ? whole : begin + LD_SUM_BLOCK;                                     \
      for (int first = begin; first < end; first += LD_LANES)                                                \
        for (int l = 0; l < LD_LANES; l++) {                                                                 \
          const int i = first + l;                                                                           \
          block[l] += (term);                                                                                \
        }                                                                                                    \
      for (int l = 0; l < LD_LANES; l++) lanes[l] += block[l];                                               \
    }                                                                                                        \
    for (int l = 0; l < LD_LANES; l++) all += (double)lanes[l];                                              \
    for (int i = whole; i < (n); i++) all += (double)(term);                                                 \
    result = (float)all;                                                                                     \
  } while (0)

float ld_row_max(const float *x, int n);  /* -infinity when n is 0 */
int ld_row_argmax(const float *x, int n); /* the first of the largest; n above 0 */
float ld_row_sum(const float *x, int n);
float ld_row_dot(const float *a, const float *b, int n);
float ld_row_dot3(const float *a, const float *b, const float *c, int n); /* sum of a b c */
void ld_row_scale(float *x, float factor, int n);

/* x = exp(x - shift); returns the sum: in float over each 1,024 numbers, in double across. */
double ld_row_exp(float *x, float shift, int n);

/* y += x */
void ld_row_add(float *y, const float *x, size_t n);

/* Copies n_rows short rows of n numbers, `ld` apart. */
void ld_rows_copy(float *to, ptrdiff_t ld_to, const float *from, ptrdiff_t ld_from, int n_rows, int n);

/* y (n) += the sum of n_rows rows of x, `ld` apart: a few rows at a time are summed from zero. */
void ld_rows_add(float *y, const float *x, size_t ld, int n_rows, int n);

#endif
