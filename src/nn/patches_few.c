/* To make patches takes longer than a product with few rows. So the product is made with the band instead, of a matrix that has
 * the given rows for each position of the kernel, of all channels; what that gives is shifted by the distance of its position,
 * and added. For the gradient it is the other way round.
 *
 * So a number of h is a sum over the channels for each position of the kernel. These are added from zero, first those of the
 * first phase of rows, in their order. A number of dA is a sum over some lines of the band, which are added in order. */
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

static _Alignas(64) float wide[ROOM];           /* (rows, n) h as it lies in the band, with gaps */
static _Alignas(64) float of_positions[ROOM];   /* (positions of a phase, rows, n_seen) */
static _Alignas(64) float matrix[MOST_NUMBERS]; /* (positions, rows, channels) */

/* A position of the kernel: its number, and its distance in the band from the first one of its phase. */
typedef struct position {
  int number, shift;
} position;

/* A product, some lines of each phase at a time. The kernel sees lines beyond those too. */
typedef struct product {
  const ld_patches *patches;
  ld_band band;
  int rows, channels; /* of the matrix */
  int n_positions;
  position positions[MOST_POSITIONS]; /* phase after phase */
  int begin[MOST_POSITIONS + 1];      /* of a phase's positions */
  int most_lines, line, n_lines;
  int n,
      n_seen; /* floats up to the last output pixel of the lines; up to the last one that the kernel sees */
} product;

/* The first phase has the most positions. */
static int lines_that_fit(const ld_kernel *k, const ld_band *band, int rows) {
  const int positions = (k->height + k->stride - 1) / k->stride * k->width;
  return (int)(ROOM / ((ptrdiff_t)positions * rows * band->line)) - band->overhang;
}

/* Whether few numbers of an image's band are of no output pixel: the product has results for all. */
static bool is_dense(const ld_window *w, const ld_band *band) {
  const int64_t all = (w->out_height + band->overhang) * (int64_t)band->line;
  return 2 * all <= 5 * (int64_t)w->out_height * w->out_width;
}

bool ld_patches_are_few(const ld_patches *p, int rows) {
  const ld_window *w = p->window;
  const ld_band band = ld_patches_layout(p);
  const int positions = w->kernel.height * w->kernel.width;
  return rows <= MOST_ROWS && w->channels >= LEAST_CHANNELS && positions >= LEAST_POSITIONS &&
         positions <= MOST_POSITIONS && (int64_t)rows * positions * w->channels <= MOST_NUMBERS &&
         w->out_width > 0 && is_dense(w, &band) && lines_that_fit(&w->kernel, &band, rows) > band.overhang;
}

static void start(product *p, const ld_patches *patches, int rows) {
  const ld_kernel *k = &patches->window->kernel;
  *p = (product){.patches = patches,
                 .band = ld_patches_layout(patches),
                 .rows = rows,
                 .channels = patches->window->channels};
  p->most_lines = lines_that_fit(k, &p->band, rows);
  for (int phase = 0; phase < p->band.phases; phase++) {
    for (int i = phase; i < k->height; i += k->stride)
      for (int j = 0; j < k->width; j++)
        p->positions[p->n_positions++] =
            (position){i * k->width + j, (int)(ld_patches_distance(patches, i, j) - phase * p->band.phase)};
    p->begin[phase + 1] = p->n_positions;
  }
}

/* Goes on to the next lines; false when there are none. */
static bool next_lines(product *p) {
  const ld_band *b = &p->band;
  p->line += p->n_lines;
  const int rest = b->lines - b->overhang - p->line;
  p->n_lines = rest < p->most_lines ? rest : p->most_lines;
  p->n = (int)((p->n_lines - 1) * b->line) + p->patches->window->out_width;
  p->n_seen = (int)((p->n_lines + b->overhang) * b->line);
  return rest > 0;
}

/* What the kernel sees of a phase: (channels, n_seen), or its transpose. */
static ld_factor seen(const product *p, int phase, bool transposed) {
  const ld_band *b = &p->band;
  return ld_float_factor(p->patches->band + phase * b->phase + p->line * b->line, (int)b->channel,
                         transposed);
}

/* The part of `matrix` for a phase, and its rows. */
static float *matrix_of(const product *p, int phase) {
  return matrix + (ptrdiff_t)p->begin[phase] * p->rows * p->channels;
}

static int matrix_rows(const product *p, int phase) {
  return (p->begin[phase + 1] - p->begin[phase]) * p->rows;
}

/* matrix = A (rows, channels, positions) */
static void take_matrix(const product *p, const float *A) {
  float *to = matrix;
  for (int at = 0; at < p->n_positions; at++)
    for (int i = 0; i < p->rows * p->channels; i++)
      *to++ = A[(ptrdiff_t)i * p->n_positions + p->positions[at].number];
}

/* A += scale * matrix */
static void add_matrix(const product *p, float scale, float *A) {
  const float *from = matrix;
  for (int at = 0; at < p->n_positions; at++)
    for (int i = 0; i < p->rows * p->channels; i++)
      A[(ptrdiff_t)i * p->n_positions + p->positions[at].number] += scale * *from++;
}

/* Where output row y is in the first row of `wide`; NULL where it is not among the lines. */
static float *in_wide(const product *p, int y) {
  const int line = ld_patches_line(p->patches, y) - p->line;
  return line < 0 || line >= p->n_lines ? NULL : wide + line * p->band.line;
}

static void wide_to_rows(const product *p, float *h, int ld) {
  const int W = p->patches->window->out_width;
  for (int y = 0; y < p->patches->n_rows; y++, h += W) {
    const float *from = in_wide(p, y);
    for (int r = 0; from && r < p->rows; r++)
      memcpy(h + (ptrdiff_t)r * ld, from + (ptrdiff_t)r * p->n, (size_t)W * sizeof *h);
  }
}

/* With zeros in the gaps. */
static void rows_to_wide(const product *p, const float *h, int ld) {
  const int W = p->patches->window->out_width;
  memset(wide, 0, (size_t)p->rows * (size_t)p->n * sizeof *wide);
  for (int y = 0; y < p->patches->n_rows; y++, h += W) {
    float *to = in_wide(p, y);
    for (int r = 0; to && r < p->rows; r++)
      memcpy(to + (ptrdiff_t)r * p->n, h + (ptrdiff_t)r * ld, (size_t)W * sizeof *h);
  }
}

/* wide += what a phase of rows gives. */
static void multiply_phase(const product *p, int phase) {
  const ld_factor left = ld_float_factor(matrix_of(p, phase), p->channels, false);
  ld_gemm(matrix_rows(p, phase), p->n_seen, (ld_term){left, seen(p, phase, false), p->channels, 1}, 0,
          of_positions, p->n_seen);
  const float *from = of_positions;
  for (int at = p->begin[phase]; at < p->begin[phase + 1]; at++)
    for (int r = 0; r < p->rows; r++, from += p->n_seen)
      ld_row_add(wide + (ptrdiff_t)r * p->n, from + p->positions[at].shift, (size_t)p->n);
}

void ld_patches_multiply(const ld_patches *patches, int rows, const float *A, float *h, int ld) {
  product p;
  start(&p, patches, rows);
  take_matrix(&p, A);
  while (next_lines(&p)) {
    memset(wide, 0, (size_t)rows * (size_t)p.n * sizeof *wide);
    for (int phase = 0; phase < p.band.phases; phase++) multiply_phase(&p, phase);
    wide_to_rows(&p, h, ld);
  }
}

/* matrix += the lines of `wide`, where each position sees them, times what is seen. */
static void outer_phase(const product *p, int phase) {
  float *to = of_positions;
  for (int at = p->begin[phase]; at < p->begin[phase + 1]; at++)
    for (int r = 0; r < p->rows; r++, to += p->n_seen) {
      const int shift = p->positions[at].shift, end = shift + p->n;
      memset(to, 0, (size_t)shift * sizeof *to);
      memcpy(to + shift, wide + (ptrdiff_t)r * p->n, (size_t)p->n * sizeof *to);
      memset(to + end, 0, (size_t)(p->n_seen - end) * sizeof *to);
    }
  const ld_factor left = ld_float_factor(of_positions, p->n_seen, false);
  ld_gemm(matrix_rows(p, phase), p->channels, (ld_term){left, seen(p, phase, true), p->n_seen, 1}, 1,
          matrix_of(p, phase), p->channels);
}

void ld_patches_outer(const ld_patches *patches, int rows, const float *dh, int ld, float scale, float *dA) {
  product p;
  start(&p, patches, rows);
  memset(matrix, 0, (size_t)p.n_positions * (size_t)rows * (size_t)p.channels * sizeof *matrix);
  while (next_lines(&p)) {
    rows_to_wide(&p, dh, ld);
    for (int phase = 0; phase < p.band.phases; phase++) outer_phase(&p, phase);
  }
  add_matrix(&p, scale, dA);
}
