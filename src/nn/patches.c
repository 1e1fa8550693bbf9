#include "nn/patches.h"

#include <string.h>

#include "base/vmath.h"
#include "linalg/rows.h"

static int output_size(int size, int kernel, const ld_kernel *k) {
  const int room = size + 2 * k->padding + k->extra - kernel;
  return room < 0 ? 0 : room / k->stride + 1;
}

ld_window ld_window_over(const ld_kernel *kernel, int channels, int n, int height, int width) {
  return (ld_window){*kernel,
                     channels,
                     n,
                     height,
                     width,
                     output_size(height, kernel->height, kernel),
                     output_size(width, kernel->width, kernel)};
}

/* Of `n` output positions from `first` on, [*low, *high) see a pixel within `size` under `offset` of the
 * kernel. */
static void inside(int first, int n, int offset, int size, const ld_kernel *k, int *low, int *high) {
  const int before = k->padding - offset - first * k->stride, last = size - 1 + before;
  *low = before > 0 ? (before + k->stride - 1) / k->stride : 0;
  *high = last < 0 ? 0 : last / k->stride + 1;
  if (*high > n) *high = n;
  if (*low > *high) *low = *high;
}

static void zero(float *x, int n) {
  for (int i = 0; i < n; i++) x[i] = 0;
}

/* Some output rows of one image under position (i, j) of the kernel: rows [low, high), and in them columns
 * [left, right), see pixels; number `pixel` of the channel's map is the first. */
typedef struct run {
  int n_rows, low, high, left, right;
  ptrdiff_t pixel;
} run;

static run run_at(const ld_window *w, int row, int rest, int i, int j) {
  const ld_kernel *k = &w->kernel;
  const int y = row % w->out_height;
  run r = {.n_rows = w->out_height - y < rest ? w->out_height - y : rest};
  inside(y, r.n_rows, i, w->in_height, k, &r.low, &r.high);
  inside(0, w->out_width, j, w->in_width, k, &r.left, &r.right);
  const ptrdiff_t top =
      (ptrdiff_t)(row / w->out_height) * w->in_height + (y + r.low) * k->stride - k->padding + i;
  r.pixel = top * w->in_width + r.left * k->stride - k->padding + j;
  return r;
}

/* Rows of input and output have one length and follow each other in the same way, so a run can be added as a
 * whole; what would go over the edges to neighbouring rows is zeroed. */
static bool adds_whole(const ld_window *w, const run *r) {
  return w->kernel.stride == 1 && w->in_width == w->out_width && r->high > r->low && r->right > r->left;
}

/* The number of floats from the first to the last pixel that a whole run sees. */
static size_t whole_length(const ld_window *w, const run *r) {
  return (size_t)(r->high - r->low - 1) * (size_t)w->out_width + (size_t)(r->right - r->left);
}

static void zero_edges(const ld_window *w, const run *r, float *out) {
  const int W = w->out_width;
  zero(out, r->low * W);
  zero(out + (ptrdiff_t)r->high * W, (r->n_rows - r->high) * W);
  if (r->left == 0 && r->right == W) return;
  for (int row = r->low; row < r->high; row++) {
    zero(out + (ptrdiff_t)row * W, r->left);
    zero(out + (ptrdiff_t)row * W + r->right, W - r->right);
  }
}

static void add_run(const ld_window *w, const run *r, float *x, float *patches) {
  const int W = w->out_width, stride = w->kernel.stride;
  const float *first = patches + (ptrdiff_t)r->low * W + r->left;
  if (adds_whole(w, r)) {
    zero_edges(w, r, patches);
    ld_row_add(x + r->pixel, first, whole_length(w, r));
    return;
  }
  for (int row = r->low; row < r->high; row++, first += W) {
    float *to = x + r->pixel + (ptrdiff_t)(row - r->low) * stride * w->in_width;
    for (int i = 0; i < r->right - r->left; i++) to[(ptrdiff_t)i * stride] += first[i];
  }
}

void ld_patches_add(const ld_window *w, float *patches, int row, int n_rows, float *x) {
  const size_t map = (size_t)w->n * (size_t)w->in_height * (size_t)w->in_width;
  for (int c = 0; c < w->channels; c++, x += map)
    for (int i = 0; i < w->kernel.height; i++)
      for (int j = 0; j < w->kernel.width; j++)
        for (int done = 0; done < n_rows;) {
          const run r = run_at(w, row + done, n_rows - done, i, j);
          add_run(w, &r, x, patches);
          patches += (size_t)r.n_rows * (size_t)w->out_width;
          done += r.n_rows;
        }
}

/* With stride s the rows of the input have s phases, by their number modulo s, and so have its columns: with stride 2 the even
 * and the odd ones. A band has, each within the one before,
 *
 *   the channels
 *     the phases of rows that the kernel reaches
 *       the images, of each the rows that some output rows see
 *         the phases of columns
 *           the columns
 *
 * So a step of 1 in the output is a step of 1 in the band, and another position of the kernel is a fixed distance away. */
typedef struct band_shape {
  int row_phases, column_phases;
  int overhang;                      /* rows of a phase beyond the output rows of an image */
  ptrdiff_t phase_width, row_floats; /* columns of a phase; of all phases */
} band_shape;

static int smaller(int a, int b) {
  return a < b ? a : b;
}

static band_shape shape_of(const ld_window *w) {
  const ld_kernel *k = &w->kernel;
  band_shape s = {.row_phases = smaller(k->height, k->stride), .column_phases = smaller(k->width, k->stride)};
  s.overhang = (k->height - 1) / k->stride;
  s.phase_width = w->out_width + (k->width - 1) / k->stride;
  s.row_floats = s.column_phases * s.phase_width;
  return s;
}

/* The images that output rows [row, row + n_rows) are in. */
static int images_of(const ld_window *w, int row, int n_rows) {
  return (row + n_rows - 1) / w->out_height - row / w->out_height + 1;
}

/* Rows of one phase, of all images. */
static ptrdiff_t rows_of_phase(const ld_window *w, int row, int n_rows) {
  return n_rows + (ptrdiff_t)shape_of(w).overhang * images_of(w, row, n_rows);
}

int ld_patches_line(const ld_patches *p, int y) {
  return y + shape_of(p->window).overhang * (images_of(p->window, p->row, y + 1) - 1);
}

/* Floats of a channel. */
static ptrdiff_t channel_size(const ld_window *w, int row, int n_rows) {
  const band_shape s = shape_of(w);
  return s.row_phases * rows_of_phase(w, row, n_rows) * s.row_floats;
}

/* Floats that are copied at once; the last copy may read beyond the numbers of the band. */
enum { VECTOR = 8 };

size_t ld_patches_band(const ld_window *w, int n_rows) {
  /* Rows that begin at the last one of an image are in the most images. */
  const ptrdiff_t most = n_rows > 0 ? channel_size(w, w->out_height - 1, n_rows) : 0;
  return (size_t)w->channels * (size_t)most + VECTOR;
}

/* Of a line of the band the columns of a phase: column x is number x * stride + phase - padding of an input row, which there is
 * for [low, high), or 0. */
typedef struct phase_columns {
  int phase, n, low, high;
} phase_columns;

static inline void fill_columns(const ld_kernel *k, const phase_columns *c, const float *from, float *to) {
  const int stride = k->stride, first = c->phase - k->padding;
  zero(to, c->low);
  if (c->low < c->high && stride == 1)
    memcpy(to + c->low, from + c->low + first, (size_t)(c->high - c->low) * sizeof *to);
  else
    for (int x = c->low; x < c->high; x++) to[x] = from[(ptrdiff_t)x * stride + first];
  zero(to + c->high, c->n - c->high);
}

/* These columns of all lines of one phase of rows in a channel's maps. */
static void fill_phase(const ld_window *w, const float *maps, int row, int n_rows, int phase,
                       const phase_columns *c, float *to) {
  const band_shape s = shape_of(w);
  const ld_kernel *k = &w->kernel;
  for (int done = 0, here; done < n_rows; done += here) {
    const int image = (row + done) / w->out_height, y = (row + done) % w->out_height;
    here = smaller(w->out_height - y, n_rows - done);
    for (int i = y; i < y + here + s.overhang; i++, to += s.row_floats) {
      const int at = i * k->stride + phase - k->padding;
      if (at >= 0 && at < w->in_height)
        fill_columns(k, c, maps + ((ptrdiff_t)image * w->in_height + at) * w->in_width, to);
      else
        zero(to, c->n);
    }
  }
}

ld_patches ld_patches_fill(const ld_window *w, const float *x, int row, int n_rows, float *band) {
  const band_shape s = shape_of(w);
  const size_t map = (size_t)w->n * (size_t)w->in_height * (size_t)w->in_width;
  const ptrdiff_t phase = rows_of_phase(w, row, n_rows) * s.row_floats;
  for (int p = 0; p < s.column_phases; p++) {
    phase_columns c = {p, (int)s.phase_width, 0, 0};
    inside(0, c.n, p, w->in_width, &w->kernel, &c.low, &c.high);
    for (int channel = 0; channel < w->channels; channel++)
      for (int i = 0; i < s.row_phases; i++)
        fill_phase(w, x + (size_t)channel * map, row, n_rows, i, &c,
                   band + (channel * s.row_phases + i) * phase + p * s.phase_width);
  }
  float *end = band + w->channels * s.row_phases * phase;
  for (int i = 0; i < VECTOR; i++) end[i] = 0;
  return (ld_patches){w, row, n_rows, band};
}

/* How a piece of a line is copied from the band. Copies of VECTOR numbers, in order, may run past their end: the next one
 * overwrites that. Near the end of the piece, where nothing follows, numbers are copied one by one, after all others. `from`
 * counts from where the kernel's first position is in a channel. */
typedef struct move {
  int to;
  ptrdiff_t from;
} move;

enum { PIECE = 32 };

typedef struct moves {
  move wide[PIECE], single[VECTOR];
  int n_wide, n_single;
} moves;

/* Numbers [at, at + n) of a piece that has `whole`; they are neighbours in the band. */
static void add_moves(moves *m, int at, int n, int whole, ptrdiff_t from) {
  int i = 0;
  for (; i < n && at + i + VECTOR <= whole; i += VECTOR) m->wide[m->n_wide++] = (move){at + i, from + i};
  for (; i < n; i++) m->single[m->n_single++] = (move){at + i, from + i};
}

/* Those of output pixels [column, column + n), n at most PIECE. */
static moves moves_of(const ld_patches *p, int column, int n) {
  const ld_window *w = p->window;
  const band_shape s = shape_of(w);
  const int W = w->out_width;
  moves m = {.n_wide = 0};
  ptrdiff_t begin = 0;
  int first = 0;
  for (int at = 0, here; at < n; at += here) {
    const int y = (column + at) / W, x = (column + at) % W;
    const ptrdiff_t from = ld_patches_line(p, y) * s.row_floats + x;
    here = smaller(W - x, n - at);
    if (at && from != begin + at - first) {
      add_moves(&m, first, at - first, n, begin);
      first = at;
    }
    if (first == at) begin = from;
  }
  add_moves(&m, first, n - first, n, begin);
  return m;
}

/* The channel and the position of the kernel of a line of the matrix, and where its numbers are in the band. */
typedef struct place {
  int channel, i, j;
  ptrdiff_t row, column;
} place;

/* Where a position along one side of the kernel is in the band: phases are `phase` apart, pixels of one `pixel`. */
static ptrdiff_t place_along(int position, int stride, ptrdiff_t phase, ptrdiff_t pixel) {
  return position % stride * phase + position / stride * pixel;
}

ld_band ld_patches_layout(const ld_patches *p) {
  const band_shape s = shape_of(p->window);
  const ptrdiff_t lines = rows_of_phase(p->window, p->row, p->n_rows), phase = lines * s.row_floats;
  return (ld_band){s.row_phases, (int)lines, s.overhang, s.row_floats, phase, s.row_phases * phase};
}

ptrdiff_t ld_patches_distance(const ld_patches *p, int i, int j) {
  const band_shape s = shape_of(p->window);
  const int stride = p->window->kernel.stride;
  return place_along(i, stride, ld_patches_layout(p).phase, s.row_floats) +
         place_along(j, stride, s.phase_width, 1);
}

static inline void next_place(const ld_window *w, const band_shape *s, ptrdiff_t phase, place *p) {
  const ld_kernel *k = &w->kernel;
  if (++p->j == k->width) {
    p->j = 0;
    if (++p->i == k->height) p->i = 0, p->channel++;
    p->row = k->stride == 1 ? p->i * s->row_floats : place_along(p->i, k->stride, phase, s->row_floats);
  }
  p->column = k->stride == 1 ? p->j : place_along(p->j, k->stride, s->phase_width, 1);
}

/* Pieces of some lines, the first of which is at `of`. */
LD_VECTOR static void make_pieces(const ld_patches *p, const moves *m, place of, int lines, float *out,
                                  ptrdiff_t ld) {
  const band_shape s = shape_of(p->window);
  const ld_band band = ld_patches_layout(p);
  for (int l = 0; l < lines; l++, next_place(p->window, &s, band.phase, &of)) {
    const float *from = p->band + of.channel * band.channel + of.row + of.column;
    float *to = out + l * ld;
    for (int i = 0; i < m->n_wide; i++)
      memcpy(to + m->wide[i].to, from + m->wide[i].from, VECTOR * sizeof *to);
    for (int i = 0; i < m->n_single; i++) to[m->single[i].to] = from[m->single[i].from];
  }
}

/* The place of line number `line`. */
static place place_of(const ld_patches *p, int line) {
  const ld_kernel *k = &p->window->kernel;
  const band_shape s = shape_of(p->window);
  const int area = k->height * k->width;
  const ptrdiff_t phase = ld_patches_layout(p).phase;
  place at = {line / area, line % area / k->width, line % k->width, 0, 0};
  at.row = place_along(at.i, k->stride, phase, s.row_floats);
  at.column = place_along(at.j, k->stride, s.phase_width, 1);
  return at;
}

static void make_lines(float *out, ptrdiff_t ld, const ld_coded *from, int64_t first, int64_t stride,
                       int lines, int n) {
  const ld_patches *p = from->data;
  const place of = place_of(p, (int)(first / stride));
  for (int at = 0; at < n; at += PIECE) {
    const moves m = moves_of(p, (int)(first % stride) + at, smaller(n - at, PIECE));
    make_pieces(p, &m, of, lines, out + at, ld);
  }
}

static void make_strip(float *out, const ld_coded *from, int64_t first, int64_t n) {
  const ld_patches *p = from->data;
  const int64_t columns = (int64_t)p->n_rows * p->window->out_width;
  while (n > 0) {
    const int64_t rest = columns - first % columns, here = rest < n ? rest : n;
    make_lines(out, here, from, first, columns, 1, (int)here);
    out += here, first += here, n -= here;
  }
}

static const ld_codec made = {
    .name = "patches", .elements = 1, .step = 1, .widen = make_strip, .widen_lines = make_lines};

ld_coded ld_patches_coded(const ld_patches *patches) {
  return (ld_coded){&made, patches, NULL, 0};
}
