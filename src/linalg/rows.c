#include "linalg/rows.h"

#include <string.h>

#include <math.h>

#include "base/vmath.h"

LD_VECTOR static float row_max(const float *x, int n) {
  float lanes[LD_LANES], max = -INFINITY;
  for (int l = 0; l < LD_LANES; l++) lanes[l] = -INFINITY;
  int i = 0;
  /* gcc 12 makes vectors of the inner loop only as long as it is one. */
  for (; i + LD_LANES <= n; i += LD_LANES) {
#pragma GCC unroll 1
    for (int l = 0; l < LD_LANES; l++) lanes[l] = x[i + l] > lanes[l] ? x[i + l] : lanes[l];
  }
  for (int l = 0; l < LD_LANES; l++) max = lanes[l] > max ? lanes[l] : max;
  for (; i < n; i++) max = x[i] > max ? x[i] : max;
  return max;
}

float ld_row_max(const float *x, int n) {
  return row_max(x, n);
}

int ld_row_argmax(const float *x, int n) {
  int best = 0;
  for (int i = 1; i < n; i++)
    if (x[i] > x[best]) best = i;
  return best;
}

LD_VECTOR static float row_sum(const float *x, int n) {
  LD_SUM(sum, n, x[i]);
  return sum;
}

float ld_row_sum(const float *x, int n) {
  return row_sum(x, n);
}

LD_VECTOR static float row_dot(const float *a, const float *b, int n) {
  LD_SUM(sum, n, a[i] * b[i]);
  return sum;
}

float ld_row_dot(const float *a, const float *b, int n) {
  return row_dot(a, b, n);
}

LD_VECTOR static float row_dot3(const float *a, const float *b, const float *c, int n) {
  LD_SUM(sum, n, a[i] * b[i] * c[i]);
  return sum;
}

float ld_row_dot3(const float *a, const float *b, const float *c, int n) {
  return row_dot3(a, b, c, n);
}

LD_VECTOR static void row_scale(float *x, float factor, int n) {
  for (int i = 0; i < n; i++) x[i] *= factor;
}

void ld_row_scale(float *x, float factor, int n) {
  row_scale(x, factor, n);
}

LD_VECTOR static double row_exp(float *x, float shift, int n) {
  double total = 0;
  for (int start = 0; start < n; start += 1024) {
    const int length = n - start < 1024 ? n - start : 1024;
    float *part = x + start;
    for (int i = 0; i < length; i++) part[i] = ld_expf(part[i] - shift);
    LD_SUM(sum, length, part[i]);
    total += (double)sum;
  }
  return total;
}

double ld_row_exp(float *x, float shift, int n) {
  return row_exp(x, shift, n);
}

LD_VECTOR static void row_add(float *y, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) y[i] += x[i];
}

void ld_row_add(float *y, const float *x, size_t n) {
  row_add(y, x, n);
}

/* The last numbers of a row are copied together, some of them for the second time. */
LD_VECTOR static void rows_copy(float *to, ptrdiff_t ld_to, const float *from, ptrdiff_t ld_from, int n_rows,
                                int n) {
  enum { VECTOR = 8 };
  for (int r = 0; r < n_rows; r++, to += ld_to, from += ld_from) {
    if (n < VECTOR) {
      for (int i = 0; i < n; i++) to[i] = from[i];
      continue;
    }
    for (int i = 0; i + VECTOR <= n; i += VECTOR) memcpy(to + i, from + i, VECTOR * sizeof *to);
    memcpy(to + n - VECTOR, from + n - VECTOR, VECTOR * sizeof *to);
  }
}

void ld_rows_copy(float *to, ptrdiff_t ld_to, const float *from, ptrdiff_t ld_from, int n_rows, int n) {
  rows_copy(to, ld_to, from, ld_from, n_rows, n);
}

/* y (n) += up to LD_LANES columns of some rows. */
LD_VECTOR static void add_columns(float *y, const float *x, size_t ld, int n_rows, int n) {
  float sum[LD_LANES] = {0};
  for (int r = 0; r < n_rows; r++)
    for (int i = 0; i < n; i++) sum[i] += x[(size_t)r * ld + (size_t)i];
  for (int i = 0; i < n; i++) y[i] += sum[i];
}

void ld_rows_add(float *y, const float *x, size_t ld, int n_rows, int n) {
  enum { ROWS = 64 };
  for (int row = 0; row < n_rows; row += ROWS)
    for (int i = 0; i < n; i += LD_LANES)
      add_columns(y + i, x + (size_t)row * ld + (size_t)i, ld, n_rows - row < ROWS ? n_rows - row : ROWS,
                  n - i < LD_LANES ? n - i : LD_LANES);
}
