/* Products with patches that are not made. Where a row of the output begins within the band, what one position of the kernel
 * reads lies as the output does, with gaps between the rows and between the images. So a product of the band itself, at a
 * distance for each line of the patches, has the right numbers, and some more in the gaps, which are left out. It is faster
 * where there are few rows for which to make the patches, or few gaps. The sums are those of the patches, number by number. */
#include <string.h>

#include "linalg/gemm.h"
#include "linalg/rows.h"
#include "nn/patches.h"

/* To make a number of the patches takes about as long as MAKING rows of a tile take to multiply it. With more than MOST_ROWS
 * there would be too few columns at a time. ROOM is in floats, which stay in a second-level cache. */
enum { MAKING = 5, MOST_ROWS = 128, ROOM = 1 << 17, HALF = LD_PANEL / 2 };

/* The result (M, columns), and the floats beside the patches (rows, columns). */
static _Alignas(64) float sums[ROOM], sides[ROOM];

/* Some lines of the patches' band. Columns are numbers of the band from the first output pixel on. */
typedef struct part {
  const ld_patches *patches;
  int line, n_lines, most; /* of the band; at most so many */
  int n;                   /* columns: a multiple of half a panel, so that all panels can be in place */
} part;

static void wide_lines(const ld_coded *from, int first, int n, const float **lines) {
  const part *p = from->data;
  ld_patches_lines(p->patches, first, n, lines);
  for (int i = 0; i < n; i++) lines[i] += p->line * p->patches->layout.line;
}

static void widen_lines(float *out, ptrdiff_t ld, const ld_coded *from, int64_t first, int64_t stride,
                        int lines, int n) {
  enum { SOME = 32 };
  const float *at[SOME];
  for (int begin = 0, some; begin < lines; begin += some) {
    some = lines - begin < SOME ? lines - begin : SOME;
    wide_lines(from, (int)(first / stride) + begin, some, at);
    for (int i = 0; i < some; i++, out += ld) ld_rows_copy(out, 0, at[i] + first % stride, 0, 1, n);
  }
}

static void widen(float *out, const ld_coded *from, int64_t first, int64_t n) {
  const part *p = from->data;
  ld_coded_widen_cut(out, from, first, n, p->n);
}

static const ld_codec wide = {.name = "band",
                              .elements = 1,
                              .step = 1,
                              .widen = widen,
                              .widen_lines = widen_lines,
                              .lines = wide_lines};

/* Whether a product of so many rows is faster with the band, whatever the rows of the output. */
static bool pays(const ld_patches *p, int rows) {
  const ld_window *w = p->window;
  const int64_t pixels = (int64_t)w->out_height * w->out_width;
  const int64_t all = (w->out_height + p->layout.overhang) * (int64_t)p->layout.line;
  return rows > 0 && rows <= MOST_ROWS && pixels > 0 && (all - pixels) * rows <= MAKING * pixels;
}

/* Before the first part, with so many rows of numbers in each buffer at most. */
static part start(const ld_patches *patches, int rows) {
  return (part){.patches = patches, .most = (int)((ROOM / rows - HALF) / patches->layout.line)};
}

/* Goes on to the next lines; false when there are none. */
static bool next_lines(part *p) {
  p->line += p->n_lines;
  const ld_band *band = &p->patches->layout;
  const int rest = band->lines - band->tail - p->line;
  p->n_lines = rest < p->most ? rest : p->most;
  const int n = (int)((p->n_lines - 1) * band->line) + p->patches->window->out_width;
  p->n = (n + HALF - 1) / HALF * HALF;
  return rest > 0;
}

/* Rows of the output within the part: for each, where it is among its columns. */
typedef struct place {
  int y;
  ptrdiff_t at;
} place;

/* The next row after y; false when there are none. */
static bool next_row(const part *p, place *r) {
  for (r->y++; r->y < p->patches->n_rows; r->y++) {
    const int line = ld_patches_line(p->patches, r->y) - p->line;
    r->at = line * p->patches->layout.line;
    if (line >= 0) return line < p->n_lines;
  }
  return false;
}

/* to (rows, columns of the part) = from (rows, columns of the patches); the gaps are as they were. */
static void to_wide(const part *p, int rows, const float *from, ptrdiff_t ld, float *to) {
  const int W = p->patches->window->out_width;
  for (place r = {.y = -1}; next_row(p, &r);)
    ld_rows_copy(to + r.at, p->n, from + (ptrdiff_t)r.y * W, ld, rows, W);
}

static void from_wide(const part *p, int rows, const float *from, float *to, ptrdiff_t ld) {
  const int W = p->patches->window->out_width;
  for (place r = {.y = -1}; next_row(p, &r);)
    ld_rows_copy(to + (ptrdiff_t)r.y * W, ld, from + r.at, p->n, rows, W);
}

/* What the terms of a product refer to. */
typedef struct factors {
  part parts[LD_MAX_TERMS];
  ld_term terms[LD_MAX_TERMS];
} factors;

/* The terms of a part of the columns. */
static void set_terms(const part *p, const ld_sum *sum, factors *f) {
  float *side = sides;
  for (int i = 0; i < sum->n_terms; i++) {
    const ld_term *term = &sum->terms[i];
    const ld_patches *patches = ld_patches_of(&term->right);
    f->parts[i] = *p;
    f->terms[i] = *term;
    if (patches) {
      f->parts[i].patches = patches;
      f->terms[i].right = (ld_factor){{&wide, &f->parts[i], NULL, 0}, false, p->n};
    } else {
      to_wide(p, term->K, term->right.numbers.data, term->right.ld, side);
      f->terms[i].right = ld_float_factor(side, p->n, false);
      side += (ptrdiff_t)term->K * p->n;
    }
  }
}

/* The patches of a sum, if all its right factors are patches of one shape or floats; NULL if not. */
static const ld_patches *patches_of(const ld_sum *sum, int *beside) {
  const ld_patches *found = NULL;
  *beside = 0;
  for (int i = 0; i < sum->n_terms; i++) {
    const ld_patches *p = ld_patches_of(&sum->terms[i].right);
    if (p)
      found = p;
    else
      *beside += sum->terms[i].K;
  }
  return found;
}

void ld_patches_sum(const ld_sum *sum) {
  int beside;
  const ld_patches *patches = patches_of(sum, &beside);
  part p = {0};
  if (patches && pays(patches, sum->M)) p = start(patches, beside > sum->M ? beside : sum->M);
  if (p.most <= 0) {
    ld_gemm_sum(sum);
    return;
  }
  while (next_lines(&p)) {
    factors f;
    ld_sum some = *sum;
    set_terms(&p, sum, &f);
    some.terms = f.terms;
    some.N = some.ldc = some.ld_start = p.n;
    some.C = sums;
    if (sum->start) {
      to_wide(&p, sum->M, sum->start, sum->ld_start, sums);
      some.start = sums;
    }
    ld_gemm_sum(&some);
    from_wide(&p, sum->M, sums, sum->C, sum->ldc);
  }
}

void ld_patches_outer(ld_factor left, const ld_patches *patches, int M, int N, float scale, float *C) {
  part p = {0};
  if (pays(patches, M)) p = start(patches, M);
  if (p.most <= 0) {
    const ld_factor right = {ld_patches_coded(patches), true, patches->n_rows * patches->window->out_width};
    ld_gemm(M, N, (ld_term){left, right, right.ld, scale}, 1, C, N);
    return;
  }
  while (next_lines(&p)) {
    memset(sides, 0, (size_t)M * (size_t)p.n * sizeof *sides);
    to_wide(&p, M, left.numbers.data, left.ld, sides);
    const ld_factor right = {{&wide, &p, NULL, 0}, true, p.n};
    ld_gemm(M, N, (ld_term){ld_float_factor(sides, p.n, false), right, p.n, scale}, 1, C, N);
  }
}
