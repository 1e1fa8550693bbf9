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
 * [left, right), see pixels; *pixel of the channel's map is the first. */
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

/* Rows of input and output have one length and follow each other in the same way, so a run can be moved as a
 * whole; what it takes over the edges from neighbouring rows is zeroed. */
static bool moves_whole(const ld_window *w, const run *r) {
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

static void take_run(const ld_window *w, const run *r, float *x, float *out) {
  const int W = w->out_width, stride = w->kernel.stride;
  float *first = out + (ptrdiff_t)r->low * W + r->left;
  if (moves_whole(w, r)) {
    memcpy(first, x + r->pixel, whole_length(w, r) * sizeof *out);
  } else {
    for (int row = r->low; row < r->high; row++, first += W) {
      const float *from = x + r->pixel + (ptrdiff_t)(row - r->low) * stride * w->in_width;
      for (int i = 0; i < r->right - r->left; i++) first[i] = from[(ptrdiff_t)i * stride];
    }
  }
  zero_edges(w, r, out);
}

static void add_run(const ld_window *w, const run *r, float *x, float *patches) {
  const int W = w->out_width, stride = w->kernel.stride;
  const float *first = patches + (ptrdiff_t)r->low * W + r->left;
  if (moves_whole(w, r)) {
    zero_edges(w, r, patches);
    ld_row_add(x + r->pixel, first, whole_length(w, r));
    return;
  }
  for (int row = r->low; row < r->high; row++, first += W) {
    float *to = x + r->pixel + (ptrdiff_t)(row - r->low) * stride * w->in_width;
    for (int i = 0; i < r->right - r->left; i++) to[(ptrdiff_t)i * stride] += first[i];
  }
}

/* Moves all patches of the rows between x and the matrix, run by run. */
static void move_runs(const ld_window *w, float *x, int row, int n_rows, float *patches,
                      void (*move)(const ld_window *w, const run *r, float *x, float *patches)) {
  const size_t map = (size_t)w->n * (size_t)w->in_height * (size_t)w->in_width;
  for (int c = 0; c < w->channels; c++, x += map)
    for (int i = 0; i < w->kernel.height; i++)
      for (int j = 0; j < w->kernel.width; j++)
        for (int done = 0; done < n_rows;) {
          const run r = run_at(w, row + done, n_rows - done, i, j);
          move(w, &r, x, patches);
          patches += (size_t)r.n_rows * (size_t)w->out_width;
          done += r.n_rows;
        }
}

void ld_patches_take(const ld_window *w, const float *x, int row, int n_rows, float *out) {
  move_runs(w, (float *)x, row, n_rows, out, take_run); /* take_run only reads x */
}

void ld_patches_add(const ld_window *w, float *patches, int row, int n_rows, float *x) {
  move_runs(w, x, row, n_rows, patches, add_run);
}

/* Output pixels side by side in a row: `n` of them from number `at` on, the first of which is (y, x) of its image. That
 * begins `image` numbers into a channel's maps. */
typedef struct span {
  int at, n, y, x;
  ptrdiff_t image;
} span;

enum { MOST_SPANS = 32 };

/* Fills in the spans of output pixels [column, column + n); returns how many there are. */
static int spans_of(const ld_patches *p, int column, int n, span spans[MOST_SPANS]) {
  const ld_window *w = p->window;
  int n_spans = 0;
  for (int at = 0; at < n; n_spans++) {
    const int row = p->row + (column + at) / w->out_width, x = (column + at) % w->out_width;
    const int rest = w->out_width - x;
    span *s = &spans[n_spans];
    *s = (span){at, rest < n - at ? rest : n - at, row % w->out_height, x,
                (ptrdiff_t)(row / w->out_height) * w->in_height * w->in_width};
    at += s->n;
  }
  return n_spans;
}

/* The number of a channel, and the place in the kernel, of a line of the matrix. */
typedef struct place {
  int channel, i, j;
} place;

static void next_place(const ld_kernel *k, place *p) {
  if (++p->j < k->width) return;
  p->j = 0;
  if (++p->i < k->height) return;
  p->i = 0;
  p->channel++;
}

LD_VECTOR static void make_span(const ld_window *w, const span *s, const float *maps, int i, int j,
                                float *out) {
  const ld_kernel *k = &w->kernel;
  const int stride = k->stride, y = s->y * stride - k->padding + i, x = s->x * stride - k->padding + j;
  const float *row = maps + s->image + (ptrdiff_t)y * w->in_width;
  int low, high;
  inside(s->x, s->n, j, w->in_width, k, &low, &high);
  if (y < 0 || y >= w->in_height) low = high = 0;
  zero(out, low);
  if (stride == 1)
    for (int t = low; t < high; t++) out[t] = row[x + t];
  else
    for (int t = low; t < high; t++) out[t] = row[x + t * stride];
  zero(out + high, s->n - high);
}

static void make_lines(float *out, ptrdiff_t ld, const ld_coded *from, int64_t first, int64_t stride,
                       int lines, int n) {
  const ld_patches *p = from->data;
  const ld_window *w = p->window;
  const ld_kernel *k = &w->kernel;
  const int line = (int)(first / stride), column = (int)(first % stride), area = k->height * k->width;
  const size_t map = (size_t)w->n * (size_t)w->in_height * (size_t)w->in_width;
  for (int at = 0; at < n; at += MOST_SPANS) {
    span spans[MOST_SPANS];
    const int n_spans = spans_of(p, column + at, n - at < MOST_SPANS ? n - at : MOST_SPANS, spans);
    place of = {line / area, line % area / k->width, line % k->width};
    for (int l = 0; l < lines; l++, next_place(k, &of))
      for (int s = 0; s < n_spans; s++)
        make_span(w, &spans[s], p->x + (size_t)of.channel * map, of.i, of.j, out + l * ld + at + spans[s].at);
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
  return (ld_coded){&made, patches, NULL};
}
