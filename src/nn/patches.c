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

static void add_run(const ld_window *w, const run *r, float *x, const float *patches) {
  const int W = w->out_width, stride = w->kernel.stride;
  const float *first = patches + (ptrdiff_t)r->low * W + r->left;
  for (int row = r->low; row < r->high; row++, first += W) {
    float *to = x + r->pixel + (ptrdiff_t)(row - r->low) * stride * w->in_width;
    for (int i = 0; i < r->right - r->left; i++) to[(ptrdiff_t)i * stride] += first[i];
  }
}

void ld_patches_add(const ld_window *w, const float *patches, int row, int n_rows, float *x) {
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
 * So a step of 1 in the output is a step of 1 in the band, and another position of the kernel is a fixed distance away. With
 * stride 1 the zeros after a row are those before the next one, and so with the rows of zeros after an image. */
static int smaller(int a, int b) {
  return a < b ? a : b;
}

/* Zeros at one end of a phase, `beyond` numbers of which are after the last output pixel, that can begin its neighbour. */
static int shared_zeros(const ld_kernel *k, int beyond, int out, int in) {
  const int after = out + beyond - k->padding - in, zeros = smaller(k->padding, after);
  return k->stride > 1 || zeros < 0 ? 0 : smaller(beyond, zeros);
}

/* The images that output rows [row, row + n_rows) are in. */
static int images_of(const ld_window *w, int row, int n_rows) {
  return (row + n_rows - 1) / w->out_height - row / w->out_height + 1;
}

ld_band ld_patches_layout(const ld_window *w, int row, int n_rows) {
  const ld_kernel *k = &w->kernel;
  const int beyond = (k->width - 1) / k->stride;
  ld_band b = {.row_phases = smaller(k->height, k->stride), .column_phases = smaller(k->width, k->stride)};
  b.tail = (k->height - 1) / k->stride;
  b.overhang = b.tail - shared_zeros(k, b.tail, w->out_height, w->in_height);
  b.shared = shared_zeros(k, beyond, w->out_width, w->in_width);
  b.lines = n_rows + b.overhang * (images_of(w, row, n_rows) - 1) + b.tail;
  b.columns = w->out_width + beyond - b.shared;
  b.line = b.column_phases * b.columns;
  b.phase = b.lines * b.line;
  b.channel = b.row_phases * b.phase;
  return b;
}

int ld_patches_line(const ld_patches *p, int y) {
  return y + p->layout.overhang * (images_of(p->window, p->row, y + 1) - 1);
}

/* VECTOR floats are copied at once, and tiles read LD_PANEL; the last ones may be beyond the numbers of the band. */
enum { VECTOR = 8 };

/* Zeros at the end of a band. */
static int end_of_band(const ld_band *b) {
  return b->shared + LD_PANEL;
}

size_t ld_patches_band(const ld_window *w, int n_rows) {
  if (n_rows <= 0) return 0;
  /* Rows that begin at the last one of an image are in the most images. */
  const ld_band most = ld_patches_layout(w, w->out_height - 1, n_rows);
  return (size_t)w->channels * (size_t)most.channel + (size_t)end_of_band(&most);
}

/* Of a line of the band the columns of a phase: column x is number x * stride + phase - padding of an input row, which there is
 * for [low, high), or 0. */
typedef struct phase_columns {
  int phase, n, low, high;
} phase_columns;

/* These columns of `lines` lines from rows of the input. */
static void fill_columns(const ld_window *w, const phase_columns *c, const float *from, int lines, float *to,
                         ptrdiff_t line) {
  const int stride = w->kernel.stride, first = c->phase - w->kernel.padding;
  const ptrdiff_t row = (ptrdiff_t)stride * w->in_width;
  if (stride == 1) ld_rows_copy(to + c->low, line, from + first + c->low, row, lines, c->high - c->low);
  for (int l = 0; l < lines; l++, to += line, from += row) {
    for (int x = 0; x < c->low; x++) to[x] = 0;
    for (int x = c->low; x < c->high && stride > 1; x++) to[x] = from[(ptrdiff_t)x * stride + first];
    for (int x = c->high; x < c->n; x++) to[x] = 0;
  }
}

static void zero_columns(const phase_columns *c, int lines, float *to, ptrdiff_t line) {
  for (int l = 0; l < lines; l++, to += line)
    for (int x = 0; x < c->n; x++) to[x] = 0;
}

/* These columns of all lines of one phase of rows in a channel's maps. */
static void fill_phase(const ld_patches *p, const float *maps, int phase, const phase_columns *c, float *to) {
  const ld_window *w = p->window;
  const ld_kernel *k = &w->kernel;
  const ptrdiff_t line = p->layout.line;
  for (int done = 0, here; done < p->n_rows; done += here) {
    const int image = (p->row + done) / w->out_height, y = (p->row + done) % w->out_height;
    here = smaller(w->out_height - y, p->n_rows - done);
    const int lines = here + (done + here < p->n_rows ? p->layout.overhang : p->layout.tail);
    int low, high;
    inside(y, lines, phase, w->in_height, k, &low, &high);
    const int at = (y + low) * k->stride + phase - k->padding; /* of the first line that has pixels */
    zero_columns(c, low, to, line);
    fill_columns(w, c, maps + ((ptrdiff_t)image * w->in_height + at) * w->in_width, high - low,
                 to + low * line, line);
    zero_columns(c, lines - high, to + high * line, line);
    to += lines * line;
  }
}

ld_patches ld_patches_fill(const ld_window *w, const float *x, int row, int n_rows, float *band) {
  const ld_patches patches = {w, row, n_rows, ld_patches_layout(w, row, n_rows), band};
  const ld_band *b = &patches.layout;
  const size_t map = (size_t)w->n * (size_t)w->in_height * (size_t)w->in_width;
  for (int p = 0; p < b->column_phases; p++) {
    phase_columns c = {p, (int)b->columns, 0, 0};
    inside(0, c.n, p, w->in_width, &w->kernel, &c.low, &c.high);
    for (int channel = 0; channel < w->channels; channel++)
      for (int i = 0; i < b->row_phases; i++)
        fill_phase(&patches, x + (size_t)channel * map, i, &c,
                   band + channel * b->channel + i * b->phase + p * b->columns);
  }
  float *end = band + w->channels * b->channel;
  for (int i = 0; i < end_of_band(b); i++) end[i] = 0;
  return patches;
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
  const int W = p->window->out_width;
  moves m = {.n_wide = 0};
  ptrdiff_t begin = 0;
  int first = 0;
  for (int at = 0, here; at < n; at += here) {
    const int y = (column + at) / W, x = (column + at) % W;
    const ptrdiff_t from = ld_patches_line(p, y) * p->layout.line + x;
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
static inline ptrdiff_t place_along(int position, int stride, ptrdiff_t phase, ptrdiff_t pixel) {
  return stride == 1 ? position * pixel : position % stride * phase + position / stride * pixel;
}

static inline void find_place(const ld_patches *p, place *at) {
  const int stride = p->window->kernel.stride;
  at->row = place_along(at->i, stride, p->layout.phase, p->layout.line);
  at->column = place_along(at->j, stride, p->layout.columns, 1);
}

/* The place of line number `line`. */
static place place_of(const ld_patches *p, int line) {
  const ld_kernel *k = &p->window->kernel;
  const int area = k->height * k->width;
  place at = {line / area, line % area / k->width, line % k->width, 0, 0};
  find_place(p, &at);
  return at;
}

static inline void next_place(const ld_patches *p, place *at) {
  const ld_kernel *k = &p->window->kernel;
  if (++at->j == k->width) at->j = 0, at->i++;
  if (at->i == k->height) at->i = 0, at->channel++;
  find_place(p, at);
}

static inline const float *line_at(const ld_patches *p, const place *at) {
  return p->band + at->channel * p->layout.channel + at->row + at->column;
}

void ld_patches_lines(const ld_patches *p, int first, int n, const float **lines) {
  place at = place_of(p, first);
  for (int l = 0; l < n; l++, next_place(p, &at)) lines[l] = line_at(p, &at);
}

/* Pieces of some lines, the first of which is at `of`. */
LD_VECTOR static void make_pieces(const ld_patches *p, const moves *m, place of, int lines, float *out,
                                  ptrdiff_t ld) {
  for (int l = 0; l < lines; l++, next_place(p, &of)) {
    const float *from = line_at(p, &of);
    float *to = out + l * ld;
    for (int i = 0; i < m->n_wide; i++)
      memcpy(to + m->wide[i].to, from + m->wide[i].from, VECTOR * sizeof *to);
    for (int i = 0; i < m->n_single; i++) to[m->single[i].to] = from[m->single[i].from];
  }
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
  ld_coded_widen_cut(out, from, first, n, columns);
}

static const ld_codec made = {
    .name = "patches", .elements = 1, .step = 1, .widen = make_strip, .widen_lines = make_lines};

ld_coded ld_patches_coded(const ld_patches *patches) {
  return (ld_coded){&made, patches, NULL, 0};
}

const ld_patches *ld_patches_of(const ld_factor *factor) {
  return factor->numbers.codec == &made ? factor->numbers.data : NULL;
}
