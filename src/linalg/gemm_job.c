#include "linalg/gemm_job.h"

#include "base/vmath.h"
#include "linalg/codecs.h"

static const float zeros[LD_PANEL];

int ld_job_parts(const ld_job *job, int word, int words, ld_term_part parts[LD_MAX_TERMS]) {
  const ld_tile *tile = job->tile;
  int n = 0, first = 0; /* the term's first word */
  for (int i = 0; i < job->n_terms; i++) {
    const int last = first + ld_tile_words(tile, job->terms[i].K);
    const int from = first > word ? first : word;
    const int to = last < word + words ? last : word + words;
    if (from < to) {
      const int k = ld_tile_numbers(tile, from - first), end = ld_tile_numbers(tile, to - first);
      const int K = job->terms[i].K;
      parts[n++] = (ld_term_part){&job->terms[i], k, (end < K ? end : K) - k, from - word};
    }
    first = last;
  }
  return n;
}

ld_lines ld_factor_lines(const ld_factor *factor, int row, int rows, int column, int n, float *widened) {
  const float *floats = ld_coded_in_place(&factor->numbers);
  if (floats) return (ld_lines){floats + (size_t)row * (size_t)factor->ld + (size_t)column, factor->ld};
  ld_coded_widen_lines(widened, n, &factor->numbers, (int64_t)row * factor->ld + column, factor->ld, rows, n);
  return (ld_lines){widened, n};
}

LD_VECTOR static void add_lines(float *sum, const float *a, const float *b, int n) {
  for (int i = 0; i < n; i++) sum[i] = a[i] + b[i];
}

LD_VECTOR static void add_number(float *sum, const float *a, float b, int n) {
  for (int i = 0; i < n; i++) sum[i] = a[i] + b;
}

void ld_job_start(const ld_job *j, bool fresh, int row, int rows, int column, int n, float *out) {
  const float *start = fresh ? j->start : j->C, *bias = fresh ? j->bias : NULL;
  const ptrdiff_t start_row = fresh ? j->start_row : j->row,
                  start_column = fresh ? j->start_column : j->column;
  for (int i = 0; i < rows; i++) {
    const float *s = start ? start + (row + i) * start_row + column * start_column : zeros;
    const float *b = bias ? bias + (row + i) * j->bias_row + column * j->bias_column : zeros;
    if ((!start || start_column == 1) && (!bias || j->bias_column == 1))
      add_lines(out + i * LD_PANEL, s, b, n);
    else if ((!start || start_column == 1) && j->bias_column == 0)
      add_number(out + i * LD_PANEL, s, *b, n);
    else
      for (int k = 0; k < n; k++)
        out[i * LD_PANEL + k] = s[start ? k * start_column : 0] + b[bias ? k * j->bias_column : 0];
  }
}
