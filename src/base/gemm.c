#include "base/gemm.h"

#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "base/gemm_blas.h"
#include "base/tile.h"
#include "base/vmath.h"

/* The left factor is taken in blocks of so many rows, which stay in the second-level cache while the panels
 * of the right factor pass by. */
enum { BLOCK_ROWS = 512 };
_Static_assert((int)BLOCK_ROWS <= (int)LD_BLOCK_STRIDE, "a transposed block's line holds all rows");

/* Below so many multiply-adds a second thread costs more than it gives. */
#define LEAST_SHARED 2e5

/* How products are done in this process; see ld_gemm_setup. */
static struct {
  const ld_tile *tile;
  bool blas; /* products by OpenBLAS */
  const char *name;
  int threads;
} setup;

/* Rows of words, or words of rows when the left factor is transposed. */
enum { BLOCK_LINES = (int)BLOCK_ROWS > (int)LD_BLOCK_WORDS ? (int)BLOCK_ROWS : (int)LD_BLOCK_WORDS };
static _Alignas(64) float left_block[BLOCK_LINES * LD_BLOCK_STRIDE];

/* Of each thread. */
static _Thread_local _Alignas(64) float right_panel[LD_BLOCK_WORDS * LD_PANEL];
static _Thread_local _Alignas(64) float widened[2 * LD_BLOCK_WORDS * LD_PANEL];
static _Thread_local _Alignas(64) float edge[BLOCK_ROWS * LD_PANEL];

static const float zeros[BLOCK_ROWS];

/* A product as the loops see it: strides instead of a transposed result. */
typedef struct job {
  int M, N, n_terms, words; /* words of all terms one behind the other */
  const ld_term *terms;
  const float *start, *bias;
  ptrdiff_t start_row, start_column, bias_row, bias_column;
  float *C;
  ptrdiff_t row, column; /* of C */
} job;

/* Rows [row, row + rows) of C and words [word, word + words) of the terms. */
typedef struct block {
  int row, rows, word, words;
} block;

/* The part of a term in a block: numbers [k, k + n) of it are at words [at, ...) of the block. */
typedef struct part {
  const ld_term *term;
  int k, n, at;
} part;

bool ld_gemm_setup(int threads, enum ld_precision precision) {
  const char *wish = getenv("LORA_DIST_KERNEL");
  const ld_tile *tile = precision == LD_PRECISION_BF16 ? ld_tile_pick_bf16() : ld_tile_pick();
  const bool blas = tile && (!tile->fused || (wish && !strcmp(wish, "openblas")));
  if (!tile || (blas && precision != LD_PRECISION_F32)) return false;
  setup.tile = tile;
  setup.blas = blas;
  setup.name = setup.blas ? ld_gemm_blas_kernel() : tile->name;
  setup.threads = threads;
  ld_gemm_blas_set_threads(threads);
  return true;
}

static void set_up(void) {
  if (!setup.tile) ld_gemm_setup(1, LD_PRECISION_F32);
}

const ld_tile *ld_gemm_tile(void) {
  set_up();
  return setup.tile;
}

const char *ld_gemm_kernel(void) {
  set_up();
  return setup.name;
}

ld_factor ld_weight_factor(const ld_weight *W, bool transposed) {
  return (ld_factor){W->data, W->dtype, transposed, W->cols};
}

ld_factor ld_float_factor(const float *data, int ld, bool transposed) {
  return (ld_factor){data, LD_F32, transposed, ld};
}

static int term_words(const ld_term *term) {
  return (term->K + setup.tile->pair - 1) / setup.tile->pair;
}

/* Writes into parts[] what the block holds of each term; returns how many. */
static int parts_of(const job *j, const block *b, part parts[LD_MAX_TERMS]) {
  const int pair = setup.tile->pair;
  int n = 0, first = 0; /* the term's first word */
  for (int i = 0; i < j->n_terms; i++) {
    const int last = first + term_words(&j->terms[i]);
    const int from = first > b->word ? first : b->word;
    const int to = last < b->word + b->words ? last : b->word + b->words;
    if (from < to) {
      const int k = (from - first) * pair, end = (to - first) * pair;
      const int K = j->terms[i].K;
      parts[n++] = (part){&j->terms[i], k, (end < K ? end : K) - k, from - b->word};
    }
    first = last;
  }
  return n;
}

/* n numbers of stored row `row` from column `column` on, as floats. */
static const float *floats(const ld_factor *factor, int row, int column, int n, float *memory) {
  const size_t at = (size_t)row * (size_t)factor->ld + (size_t)column;
  if (factor->dtype == LD_F32) return (const float *)factor->data + at;
  ld_dtype_to_f32(memory, factor->data, factor->dtype, (int64_t)at, n);
  return memory;
}

/* Stored rows k and, for pairs, k + 1, `n` numbers from `column` on, as one row of words. */
static void put_row(const ld_factor *factor, int k, int K, int column, int n, float scale, float *words) {
  const float *even = floats(factor, k, column, n, widened);
  if (setup.tile->pair == 1) {
    setup.tile->copy(n, even, scale, words);
    return;
  }
  const float *odd = k + 1 < K ? floats(factor, k + 1, column, n, widened + BLOCK_ROWS) : zeros;
  setup.tile->weave(n, even, odd, scale, words);
}

/* A share of the left factor's block: rows of it, or words of all rows when it is transposed. */
static void fill_block(const job *j, const block *b, int thread, int n_threads) {
  part parts[LD_MAX_TERMS];
  const int n = parts_of(j, b, parts), pair = setup.tile->pair;
  for (int p = 0; p < n; p++) {
    const part *of = &parts[p];
    const ld_factor *left = &of->term->left;
    const float scale = of->term->scale;
    if (left->transposed)
      for (int k = thread * pair; k < of->n; k += n_threads * pair)
        put_row(left, of->k + k, of->k + of->n, b->row, b->rows, scale,
                left_block + (of->at + k / pair) * LD_BLOCK_STRIDE);
    else
      for (int i = thread; i < b->rows; i += n_threads)
        setup.tile->copy(of->n, floats(left, b->row + i, of->k, of->n, widened), scale,
                         left_block + i * LD_BLOCK_STRIDE + of->at);
  }
}

/* Columns [column, column + n) of the right factor as a panel. */
static const float *fill_panel(const job *j, const block *b, int column, int n) {
  part parts[LD_MAX_TERMS];
  const int n_parts = parts_of(j, b, parts), pair = setup.tile->pair;
  const int padded = n <= LD_PANEL / 2 ? LD_PANEL / 2 : LD_PANEL;
  for (int p = 0; p < n_parts; p++) {
    const part *of = &parts[p];
    const ld_factor *right = &of->term->right;
    float *panel = right_panel + of->at * LD_PANEL;
    if (right->transposed && right->dtype == LD_F32) {
      const float *x = (const float *)right->data + (size_t)column * (size_t)right->ld + (size_t)of->k;
      setup.tile->turn(of->n, n, padded, x, right->ld, 1, panel);
    } else if (right->transposed) {
      const int ld = pair * LD_BLOCK_WORDS;
      for (int i = 0; i < n; i++) floats(right, column + i, of->k, of->n, widened + i * ld);
      setup.tile->turn(of->n, n, padded, widened, ld, 1, panel);
    } else {
      for (int k = 0; k < of->n; k += pair, panel += LD_PANEL) {
        put_row(right, of->k + k, of->k + of->n, column, n, 1, panel);
        for (int i = n; i < padded; i++) panel[i] = 0;
      }
    }
  }
  return right_panel;
}

/* The right factor as it lies can serve as a panel when it is used too seldom to be worth a copy. */
static const float *panel_in_place(const job *j, const block *b, int column, int n, int n_tiles,
                                   ptrdiff_t *ld) {
  part parts[LD_MAX_TERMS];
  if (n_tiles > 2 || setup.tile->pair != 1 || (n != LD_PANEL && n != LD_PANEL / 2)) return NULL;
  const int n_parts = parts_of(j, b, parts);
  const ld_factor *right = &parts[0].term->right;
  if (n_parts != 1 || right->transposed || right->dtype != LD_F32) return NULL;
  *ld = right->ld;
  return (const float *)right->data + (size_t)parts[0].k * (size_t)right->ld + (size_t)column;
}

/* Where a piece of C begins, and from what: rows of the piece `ld` apart. */
typedef struct piece {
  const float *start;
  ptrdiff_t ld_start;
  float *c;
  ptrdiff_t ldc;
} piece;

LD_VECTOR static void add_lines(float *sum, const float *a, const float *b, int n) {
  for (int i = 0; i < n; i++) sum[i] = a[i] + b[i];
}

/* What the tiles of rows from `row` and columns from `column` start from, gathered at `edge`. */
static void gather_start(const job *j, bool fresh, int row, int rows, int column, int n) {
  const float *start = fresh ? j->start : j->C, *bias = fresh ? j->bias : NULL;
  const ptrdiff_t start_row = fresh ? j->start_row : j->row,
                  start_column = fresh ? j->start_column : j->column;
  for (int i = 0; i < rows; i++) {
    const float *s = start ? start + (row + i) * start_row + column * start_column : zeros;
    const float *b = bias ? bias + (row + i) * j->bias_row + column * j->bias_column : zeros;
    if ((!start || start_column == 1) && (!bias || j->bias_column == 1))
      add_lines(edge + i * LD_PANEL, s, b, n);
    else
      for (int k = 0; k < n; k++)
        edge[i * LD_PANEL + k] = s[start ? k * start_column : 0] + b[bias ? k * j->bias_column : 0];
  }
}

/* C or its start in place where tiles can use them, else at `edge`. */
static piece piece_at(const job *j, bool fresh, int row, int rows, int column, int n) {
  const bool whole = j->column == 1 && (n == LD_PANEL || n == LD_PANEL / 2);
  float *c = j->C + row * j->row + column * j->column;
  piece p = {edge, LD_PANEL, whole ? c : edge, whole ? j->row : LD_PANEL};
  if (whole && !fresh)
    p.start = c, p.ld_start = j->row;
  else if (whole && j->start && !j->bias && j->start_column == 1)
    p.start = j->start + row * j->start_row + column, p.ld_start = j->start_row;
  else if (whole && !j->start && j->bias && j->bias_column == 1)
    p.start = j->bias + column, p.ld_start = 0;
  else if (whole && !j->start && !j->bias)
    p.start = zeros, p.ld_start = 0;
  else
    gather_start(j, fresh, row, rows, column, n);
  return p;
}

/* Rows [first, first + rows) of the block, columns [column, column + n) of C. */
static void run_panel(const job *j, const block *b, int first, int rows, int column, int n) {
  const ld_tile *t = setup.tile;
  const int n_tiles = (rows + t->rows - 1) / t->rows, height = (rows + n_tiles - 1) / n_tiles;
  const bool by_columns = j->terms[0].left.transposed;
  ld_tile_function *tile = (by_columns ? t->by_columns : t->by_rows)[n <= LD_PANEL / 2];
  ptrdiff_t ld_panel = LD_PANEL;
  const float *panel = panel_in_place(j, b, column, n, n_tiles, &ld_panel);
  if (!panel) panel = fill_panel(j, b, column, n);
  const piece p = piece_at(j, b->word == 0, b->row + first, rows, column, n);
  for (int i = 0; i < rows; i += height) {
    const float *a = left_block + (ptrdiff_t)(first + i) * (by_columns ? 1 : LD_BLOCK_STRIDE);
    tile(rows - i < height ? rows - i : height, b->words, a, panel, ld_panel, p.start + i * p.ld_start,
         p.ld_start, p.c + i * p.ldc, p.ldc);
  }
  if (p.c != edge) return;
  float *c = j->C + (b->row + first) * j->row + column * j->column;
  for (int i = 0; i < rows; i++)
    for (int k = 0; k < n; k++) c[i * j->row + k * j->column] = edge[i * LD_PANEL + k];
}

/* A thread's share of a block: panels, or rows of them where there are fewer panels than threads. */
static void run_block(const job *j, const block *b, int thread, int n_threads) {
  const int n_panels = (j->N + LD_PANEL - 1) / LD_PANEL, n_groups = n_panels < n_threads ? n_threads : 1;
  for (int unit = thread; unit < n_panels * n_groups; unit += n_threads) {
    const int column = unit / n_groups * LD_PANEL, group = unit % n_groups;
    const int n = j->N - column < LD_PANEL ? j->N - column : LD_PANEL;
    const int first = b->rows * group / n_groups, last = b->rows * (group + 1) / n_groups;
    if (first < last) run_panel(j, b, first, last - first, column, n);
  }
}

/* `whole` cut into the fewest parts of at most `most`, all about equal: the size of one, a multiple of
 * `step`. */
static int even_cut(int whole, int most, int step) {
  const int n = (whole + most - 1) / most, size = n ? (whole + n - 1) / n : 1;
  return (size + step - 1) / step * step;
}

static void run(const job *j, int thread, int n_threads) {
  const int rows = even_cut(j->M, BLOCK_ROWS, 1), words = even_cut(j->words, LD_BLOCK_WORDS, 16);
  for (int row = 0; row < j->M; row += rows)
    for (int word = 0; word < j->words; word += words) {
      const block b = {row, j->M - row < rows ? j->M - row : rows, word,
                       j->words - word < words ? j->words - word : words};
      fill_block(j, &b, thread, n_threads);
#pragma omp barrier
      run_block(j, &b, thread, n_threads);
#pragma omp barrier
    }
}

static void run_threads(const job *j) {
#ifdef _OPENMP
  if (setup.threads > 1 && (double)j->M * j->N * j->words > LEAST_SHARED) {
#pragma omp parallel num_threads(setup.threads)
    run(j, omp_get_thread_num(), omp_get_num_threads());
    return;
  }
#endif
  run(j, 0, 1);
}

/* Nothing to multiply: C = start + bias. */
static void put_start(const job *j) {
  for (int i = 0; i < j->M; i++)
    for (int k = 0; k < j->N; k++)
      j->C[i * j->row + k * j->column] = (j->start ? j->start[i * j->start_row + k * j->start_column] : 0) +
                                         (j->bias ? j->bias[i * j->bias_row + k * j->bias_column] : 0);
}

/* The same product with C lying across: C^T = right^T left^T. */
static void turn_job(job *j, ld_term *term) {
  const ld_factor left = term->left;
  term->left = term->right;
  term->left.transposed = !term->right.transposed;
  term->right = left;
  term->right.transposed = !left.transposed;
  const job from = *j;
  j->M = from.N;
  j->N = from.M;
  j->row = from.column;
  j->column = from.row;
  j->start_row = from.start_column;
  j->start_column = from.start_row;
  j->bias_row = from.bias_column;
  j->bias_column = from.bias_row;
}

void ld_gemm_terms(int M, int N, const ld_term *terms, int n_terms, const float *start, int ld_start,
                   const float *bias, float *C, int ldc) {
  if (!M || !N) return;
  set_up();
  if (setup.blas) {
    ld_gemm_blas(M, N, terms, n_terms, start, ld_start, bias, C, ldc);
    return;
  }
  job j = {.M = M, .N = N, .n_terms = n_terms, .terms = terms};
  j.start = start, j.start_row = ld_start, j.start_column = 1;
  j.bias = bias, j.bias_row = 0, j.bias_column = 1;
  j.C = C, j.row = ldc, j.column = 1;
  for (int i = 0; i < n_terms; i++) j.words += term_words(&terms[i]);
  /* A narrow result of a tall product over rows (the gradient of B): as rows, its right factor can stay in
   * place. */
  ld_term turned = terms[0];
  if (n_terms == 1 && N <= 64 && M > 2 * N && turned.left.transposed && !turned.right.transposed) {
    turn_job(&j, &turned);
    j.terms = &turned;
  }
  if (j.words)
    run_threads(&j);
  else
    put_start(&j);
}

void ld_gemm(bool transpose_a, bool transpose_b, int M, int N, int K, float alpha, const float *A, int lda,
             const float *B, int ldb, float beta, float *C, int ldc) {
  const ld_term term = {ld_float_factor(A, lda, transpose_a), ld_float_factor(B, ldb, transpose_b), K, alpha};
  ld_gemm_terms(M, N, &term, 1, beta != 0 ? C : NULL, ldc, NULL, C, ldc);
}
