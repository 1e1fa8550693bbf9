/* A weight is stored in one of two ways, and each has its loop:
 *
 *   a row for each column of C         ld_tile.few_turned: squares of the weight are turned in registers, so that
 *                                      a vector has one k of several columns
 *   a row for each k                   ld_tile.few_lines: a few rows at a time are added to the sums of many
 *                                      columns
 *
 * Both add up a chain (tile.h) in the order of k, over strips of columns. */
#include "linalg/gemm_few.h"

#include <string.h>

#include "linalg/codecs.h"
#include "linalg/rows.h"

enum {
  MOST_ROWS = 8,
  LEAST_RIGHT = 1 << 16, /* numbers of the right factors: fewer are not worth the care */
  LEFT = 1 << 20,        /* numbers of the left factor */
  WIDE = 3072,           /* the most columns of a strip over rows of k */
  LEAST_WIDE = 512,
  STRIDE = WIDE + 16, /* of sums: so that rows use different cache sets */
  LINES = 12,         /* rows of k that are widened at a time */
  SHORT_ROW = 4096,   /* the most bytes of a short row of a weight */
};

static _Alignas(64) float left[LEFT]; /* (M, words), each times its term's scale */

/* Of each thread. */
static _Thread_local _Alignas(64) float widened[LINES * WIDE];
static _Thread_local _Alignas(64) float sums[MOST_ROWS * STRIDE], chain[MOST_ROWS * STRIDE];

static int smaller(int a, int b) {
  return a < b ? a : b;
}

/* Whether the tile has a function for a factor's form, or for what that is widened to. */
static bool has_function(const ld_tile *tile, const ld_factor *right) {
  return right->transposed ? tile->few_turned[LD_PLAIN_F32] != NULL : tile->few_lines[LD_PLAIN_F32] != NULL;
}

bool ld_gemm_is_few(const ld_job *job) {
  const ld_factor *first = &job->terms[0].right;
  const ld_codec *codec = first->numbers.codec;
  if (job->M > MOST_ROWS || job->column != 1 || !(codec->plain || (first->transposed && codec->lines)))
    return false;
  for (int i = 0; i < job->n_terms; i++) {
    const ld_term *term = &job->terms[i];
    const bool ends_a_group = ld_tile_words(job->tile, term->K) % job->tile->group == 0;
    if (term->left.transposed || !has_function(job->tile, &term->right)) return false;
    if (i + 1 < job->n_terms && !ends_a_group) return false;
  }
  return (int64_t)job->words * job->N >= LEAST_RIGHT && (int64_t)job->M * job->words <= LEFT;
}

/* A row of a term's left factor as words. */
static void fill_row(const ld_tile *tile, const ld_term *term, int row, float *words) {
  enum { SOME = LINES * WIDE };
  for (int k = 0; k < term->K; k += SOME) {
    const int n = smaller(term->K - k, SOME);
    tile->copy(n, ld_factor_lines(&term->left, row, 1, k, n, widened).at, term->scale,
               words + ld_tile_words(tile, k));
  }
}

static void fill_left(const ld_job *job) {
  ld_term_part parts[LD_MAX_TERMS];
  const int n = ld_job_parts(job, 0, job->words, parts);
  for (int p = 0; p < n; p++)
    for (int i = 0; i < job->M; i++)
      fill_row(job->tile, parts[p].term, i, left + i * job->words + parts[p].at);
}

/* Columns [column, column + n) of C. */
typedef struct strip {
  int column, n;
} strip;

/* Where n columns begin that are `stride` bytes apart; those beyond the last repeat it. */
static void place_columns(const char *first, ptrdiff_t stride, int n, const char *at[LD_FEW_COLUMNS]) {
  for (int j = 0; j < LD_FEW_COLUMNS; j++) at[j] = first + (j < n ? j : n - 1) * stride;
}

/* Where columns [column, column + n) of a part with a row for each column begin, in place or widened. Returns the form of
 * their numbers. */
static enum ld_plain find_columns(const ld_tile *tile, const ld_term_part *of, int column, int n,
                                  const char *at[LD_FEW_COLUMNS]) {
  const ld_factor *right = &of->term->right;
  const ld_codec *codec = right->numbers.codec;
  if (tile->few_turned[codec->plain]) {
    const char *first = ld_coded_block(&right->numbers, (int64_t)column * right->ld + of->k);
    place_columns(first, (ptrdiff_t)right->ld * codec->bytes, n, at);
    return codec->plain;
  }
  if (codec->lines) {
    const float *lines[LD_FEW_COLUMNS];
    codec->lines(&right->numbers, column, n, lines);
    for (int j = 0; j < LD_FEW_COLUMNS; j++) at[j] = (const char *)(lines[j < n ? j : n - 1] + of->k);
  } else {
    const ld_lines from = ld_factor_lines(right, column, n, of->k, of->n, widened);
    place_columns((const char *)from.at, from.ld * (ptrdiff_t)sizeof(float), n, at);
  }
  return LD_PLAIN_F32;
}

/* Add the words of a part to the chain: word 0 of the part is word `word` of the left factor. */
static void add_turned(const ld_job *job, const ld_term_part *of, strip s, int word,
                       const ld_few_fetch *fetch) {
  for (int first = 0; first < s.n; first += LD_FEW_COLUMNS) {
    const int n = s.n - first < LD_FEW_COLUMNS ? s.n - first : LD_FEW_COLUMNS;
    const char *at[LD_FEW_COLUMNS];
    const enum ld_plain form = find_columns(job->tile, of, s.column + first, n, at);
    job->tile->few_turned[form](job->M, of->n, left + word, job->words, at, chain + first, STRIDE, fetch);
  }
}

static void add_lines(const ld_job *job, const ld_term_part *of, strip s, int word) {
  const ld_factor *right = &of->term->right;
  ld_few_lines_function *plain = job->tile->few_lines[right->numbers.codec->plain];
  for (int k = 0; k < of->n; k += LINES) {
    const int n = of->n - k < LINES ? of->n - k : LINES;
    const float *x = left + word + k;
    const int64_t first = (int64_t)(of->k + k) * right->ld + s.column;
    if (plain) {
      plain(job->M, n, s.n, x, job->words, ld_coded_block(&right->numbers, first), right->ld, chain, STRIDE);
      continue;
    }
    const ld_lines from = ld_factor_lines(right, of->k + k, n, s.column, s.n, widened);
    job->tile->few_lines[LD_PLAIN_F32](job->M, n, s.n, x, job->words, from.at, from.ld, chain, STRIDE);
  }
}

/* What is needed soon, while the chain from `word` on of a strip is read from the first term's rows. Long rows: the next chain of
 * each, since memory has several long streams faster than one. Shorter ones end too soon for that: the next strip, in the
 * order in which it lies. */
static ld_few_fetch fetch_of(const ld_job *job, strip s, int word) {
  const ld_factor *right = &job->terms[0].right;
  const ptrdiff_t K = job->terms[0].K, bytes = right->numbers.codec->bytes, row = right->ld * bytes;
  const ptrdiff_t k = ld_tile_numbers(job->tile, word),
                  chain_k = ld_tile_numbers(job->tile, job->tile->chain);
  if (!right->transposed || right->numbers.codec->elements != 1 || right->numbers.codec->lines)
    return (ld_few_fetch){NULL, 0};
  if (row <= SHORT_ROW) {
    const ptrdiff_t next = s.column + LD_FEW_COLUMNS;
    return (ld_few_fetch){
        (const char *)ld_coded_block(&right->numbers, next * right->ld) + k * bytes * LD_FEW_COLUMNS, 0};
  }
  return (ld_few_fetch){NULL, k + chain_k < K ? chain_k * bytes : LD_FEW_COLUMNS * row - k * bytes};
}

/* Adds a chain, words [word, ...), to the sums of a strip. */
static void add_chain(const ld_job *job, strip s, int word) {
  ld_term_part parts[LD_MAX_TERMS];
  const int n = ld_job_parts(job, word, job->tile->chain, parts);
  const ld_few_fetch soon = fetch_of(job, s, word);
  for (int i = 0; i < job->M; i++) memset(chain + i * STRIDE, 0, (size_t)s.n * sizeof *chain);
  for (int p = 0; p < n; p++) {
    const ld_few_fetch *fetch = parts[p].term == job->terms ? &soon : &(ld_few_fetch){NULL, 0};
    if (parts[p].term->right.transposed)
      add_turned(job, &parts[p], s, word + parts[p].at, fetch);
    else
      add_lines(job, &parts[p], s, word + parts[p].at);
  }
  for (int i = 0; i < job->M; i++) ld_row_add(sums + i * STRIDE, chain + i * STRIDE, (size_t)s.n);
}

static void run_strip(const ld_job *job, strip s) {
  for (int column = 0; column < s.n; column += LD_PANEL)
    for (int i = 0; i < job->M; i++)
      ld_job_start(job, true, i, 1, s.column + column, s.n - column < LD_PANEL ? s.n - column : LD_PANEL,
                   sums + i * STRIDE + column);
  for (int word = 0; word < job->words; word += job->tile->chain) add_chain(job, s, word);
  for (int i = 0; i < job->M; i++)
    memcpy(job->C + i * job->row + s.column, sums + i * STRIDE, (size_t)s.n * sizeof *sums);
}

/* Columns of a strip. Over rows of k long ones: memory is read best in the order in which it lies; but sums of all rows
 * should stay in the first-level cache, and each thread needs a strip. */
static int strip_width(const ld_job *job, int n_threads) {
  if (job->terms[0].right.transposed) return LD_FEW_COLUMNS;
  const int wide = WIDE / job->M / LD_PANEL * LD_PANEL, share = (job->N + n_threads - 1) / n_threads;
  const int width = smaller(wide, (share + LD_PANEL - 1) / LD_PANEL * LD_PANEL);
  return width < LEAST_WIDE ? LEAST_WIDE : width;
}

void ld_gemm_few(const ld_job *job, int thread, int n_threads) {
  const int width = strip_width(job, n_threads);
  if (thread == 0) fill_left(job);
#pragma omp barrier
  const int n_strips = (job->N + width - 1) / width;
  const int first = (int)((int64_t)n_strips * thread / n_threads),
            last = (int)((int64_t)n_strips * (thread + 1) / n_threads);
  for (int i = first; i < last; i++) {
    const int column = i * width;
    run_strip(job, (strip){column, job->N - column < width ? job->N - column : width});
  }
#pragma omp barrier
}
