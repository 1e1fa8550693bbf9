/* To make patches takes longer than a product with few rows. So the product is made with the band instead: of a matrix that has
 * rows for each position of the kernel, of all channels. What that gives is shifted by the distance of its position, and added.
 *
 * A number of the result is a sum over the channels for each position of the kernel; these are added from zero, first those of
 * the first phase of rows, in their order. */
#include <string.h>

#include "linalg/gemm.h"
#include "linalg/rows.h"
#include "nn/patches.h"

enum {
  MOST_ROWS = 16,
  LEAST_POSITIONS = 4,
  MOST_POSITIONS = 64,
  LEAST_CHANNELS = 16,
  ROOM = 1 << 17, /* floats that stay in a second-level cache */
  MOST_NUMBERS = 1 << 18,
};

static _Alignas(64) float moved[ROOM];          /* (positions of a phase, rows, n_seen) */
static _Alignas(64) float wide[ROOM];           /* (rows, n) */
static _Alignas(64) float matrix[MOST_NUMBERS]; /* (positions, rows, channels) */

/* A position of the kernel: its number, and its distance in the band from the first one of its phase. */
typedef struct position {
  int number, shift;
} position;

/* A product, some lines of the band's phases at a time. The kernel sees lines behind those too. */
typedef struct work {
  const ld_patches *patches;
  ld_band band;
  int rows; /* of the matrix */
  int n_positions;
  position positions[MOST_POSITIONS]; /* phase after phase */
  int begin[MOST_POSITIONS + 1];      /* of a phase's positions */
  int line, n_lines;
  int n, n_seen; /* floats of the lines, and with those behind them */
} work;

/* The first phase has the most positions. */
static int most_lines(const ld_patches *p, const ld_band *band, int rows) {
  const ld_kernel *k = &p->window->kernel;
  const int positions = (k->height + k->stride - 1) / k->stride * k->width;
  return (int)(ROOM / ((ptrdiff_t)positions * rows * band->line)) - band->overhang;
}

bool ld_patches_few(const ld_patches *p, int rows) {
  const ld_window *w = p->window;
  const int positions = w->kernel.height * w->kernel.width;
  if (rows > MOST_ROWS || w->channels < LEAST_CHANNELS) return false;
  if (positions < LEAST_POSITIONS || positions > MOST_POSITIONS) return false;
  const ld_band band = ld_patches_layout(p);
  return (int64_t)rows * positions * w->channels <= MOST_NUMBERS &&
         most_lines(p, &band, rows) > band.overhang;
}

static void start(work *w, const ld_patches *p, int rows) {
  const ld_kernel *k = &p->window->kernel;
  *w = (work){.patches = p, .band = ld_patches_layout(p), .rows = rows};
  for (int phase = 0; phase < w->band.phases; phase++) {
    for (int i = phase; i < k->height; i += k->stride)
      for (int j = 0; j < k->width; j++)
        w->positions[w->n_positions++] = (position){
            i * k->width + j, (int)(ld_patches_distance(p, i, j) - ld_patches_distance(p, phase, 0))};
    w->begin[phase + 1] = w->n_positions;
  }
}

/* Goes on to the next lines; false when there are none. */
static bool next_lines(work *w) {
  const ld_band *b = &w->band;
  w->line += w->n_lines;
  const int rest = b->lines - b->overhang - w->line, most = most_lines(w->patches, b, w->rows);
  w->n_lines = rest < most ? rest : most;
  w->n = (int)(w->n_lines * b->line);
  w->n_seen = (int)((w->n_lines + b->overhang) * b->line);
  return rest > 0;
}

/* What the kernel sees of a phase: (channels, n_seen), or its transpose. */
static ld_factor seen(const work *w, int phase, bool transposed) {
  const ld_band *b = &w->band;
  return ld_float_factor(w->patches->band + phase * b->phase + w->line * b->line, (int)b->channel,
                         transposed);
}

/* The part of `matrix` for a phase, and its rows. */
static float *matrix_of(const work *w, int phase) {
  return matrix + (ptrdiff_t)w->begin[phase] * w->rows * w->patches->window->channels;
}

static int matrix_rows(const work *w, int phase) {
  return (w->begin[phase + 1] - w->begin[phase]) * w->rows;
}

/* How many of a row's n numbers a position sees; the last ones, which it does not see, are of no output pixel. */
static int seen_by(const work *w, const position *of) {
  return w->n_seen - of->shift < w->n ? w->n_seen - of->shift : w->n;
}

/* matrix = A (rows, channels, positions) */
static void take_matrix(const work *w, const float *A) {
  const int n = w->rows * w->patches->window->channels;
  float *to = matrix;
  for (int p = 0; p < w->n_positions; p++)
    for (int i = 0; i < n; i++) *to++ = A[(ptrdiff_t)i * w->n_positions + w->positions[p].number];
}

/* A += scale * matrix */
static void add_matrix(const work *w, float scale, float *A) {
  const int n = w->rows * w->patches->window->channels;
  const float *from = matrix;
  for (int p = 0; p < w->n_positions; p++)
    for (int i = 0; i < n; i++) A[(ptrdiff_t)i * w->n_positions + w->positions[p].number] += scale * *from++;
}

/* Where output row y is in the first row of `wide`; NULL where it is not among the lines. */
static float *in_wide(const work *w, int y) {
  const int line = ld_patches_line(w->patches, y) - w->line;
  return line < 0 || line >= w->n_lines ? NULL : wide + line * w->band.line;
}

static void wide_to_rows(const work *w, float *h, int ld) {
  const int W = w->patches->window->out_width;
  for (int y = 0; y < w->patches->n_rows; y++, h += W) {
    const float *from = in_wide(w, y);
    for (int r = 0; from && r < w->rows; r++)
      memcpy(h + (ptrdiff_t)r * ld, from + (ptrdiff_t)r * w->n, (size_t)W * sizeof *h);
  }
}

/* With zeros between. */
static void rows_to_wide(const work *w, const float *h, int ld) {
  const int W = w->patches->window->out_width;
  memset(wide, 0, (size_t)w->rows * (size_t)w->n * sizeof *wide);
  for (int y = 0; y < w->patches->n_rows; y++, h += W) {
    float *to = in_wide(w, y);
    for (int r = 0; to && r < w->rows; r++)
      memcpy(to + (ptrdiff_t)r * w->n, h + (ptrdiff_t)r * ld, (size_t)W * sizeof *h);
  }
}

/* wide += what a phase of rows gives. */
static void multiply_phase(const work *w, int phase) {
  const int channels = w->patches->window->channels;
  const ld_factor left = ld_float_factor(matrix_of(w, phase), channels, false);
  ld_gemm(matrix_rows(w, phase), w->n_seen, (ld_term){left, seen(w, phase, false), channels, 1}, 0, moved,
          w->n_seen);
  const float *from = moved;
  for (int p = w->begin[phase]; p < w->begin[phase + 1]; p++) {
    const position *of = &w->positions[p];
    for (int r = 0; r < w->rows; r++, from += w->n_seen)
      ld_row_add(wide + (ptrdiff_t)r * w->n, from + of->shift, (size_t)seen_by(w, of));
  }
}

void ld_patches_multiply(const ld_patches *p, int rows, const float *A, float *h, int ld) {
  work w;
  start(&w, p, rows);
  take_matrix(&w, A);
  while (next_lines(&w)) {
    memset(wide, 0, (size_t)rows * (size_t)w.n * sizeof *wide);
    for (int phase = 0; phase < w.band.phases; phase++) multiply_phase(&w, phase);
    wide_to_rows(&w, h, ld);
  }
}

/* matrix += wide, moved to where a phase is seen, times what is seen. */
static void outer_phase(const work *w, int phase) {
  const int channels = w->patches->window->channels;
  float *to = moved;
  for (int p = w->begin[phase]; p < w->begin[phase + 1]; p++) {
    const position *of = &w->positions[p];
    const int n = seen_by(w, of), end = of->shift + n;
    for (int r = 0; r < w->rows; r++, to += w->n_seen) {
      memset(to, 0, (size_t)of->shift * sizeof *to);
      memcpy(to + of->shift, wide + (ptrdiff_t)r * w->n, (size_t)n * sizeof *to);
      memset(to + end, 0, (size_t)(w->n_seen - end) * sizeof *to);
    }
  }
  const ld_factor left = ld_float_factor(moved, w->n_seen, false);
  ld_gemm(matrix_rows(w, phase), channels, (ld_term){left, seen(w, phase, true), w->n_seen, 1}, 1,
          matrix_of(w, phase), channels);
}

void ld_patches_outer(const ld_patches *p, int rows, const float *dh, int ld, float scale, float *dA) {
  work w;
  start(&w, p, rows);
  memset(matrix, 0, (size_t)w.n_positions * (size_t)rows * (size_t)p->window->channels * sizeof *matrix);
  while (next_lines(&w)) {
    rows_to_wide(&w, dh, ld);
    for (int phase = 0; phase < w.band.phases; phase++) outer_phase(&w, phase);
  }
  add_matrix(&w, scale, dA);
}
