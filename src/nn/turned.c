#include "nn/turned.h"

#include "base/vmath.h"

enum {
  MOST_AREA = 64, /* of a kernel */
  ROOM = 8192,    /* of the weight's numbers, widened at a time */
};

bool ld_turned_over(const ld_window *w, ld_window *turned) {
  const ld_kernel *k = &w->kernel;
  if (k->stride != 1 || k->extra != 0 || k->height != k->width || k->padding >= k->height ||
      k->height * k->width > MOST_AREA)
    return false;
  const ld_kernel other = {k->height, k->width, 1, k->height - 1 - k->padding, 0};
  *turned = ld_window_over(&other, 0, w->n, w->out_height, w->out_width);
  return turned->out_height == w->in_height && turned->out_width == w->in_width;
}

size_t ld_turned_band(const ld_window *turned, int rows, int channels) {
  ld_window of_all = *turned, of_none = *turned;
  of_all.channels = channels, of_none.channels = 0;
  return ld_patches_band(&of_all, rows) + (LD_MAX_TERMS - 1) * ld_patches_band(&of_none, rows);
}

/* A weight (K, channels, kernel), read as the lines of a matrix (K, turned kernel; channels). */
typedef struct kernels {
  const ld_coded *weight;
  int channels, area;
} kernels;

LD_VECTOR static void take_every(float *to, const float *from, int step, int n) {
  for (int i = 0; i < n; i++) to[i] = from[(ptrdiff_t)i * step];
}

static void turn_lines(float *out, ptrdiff_t ld, const ld_coded *from, int64_t first, int64_t stride,
                       int lines, int n) {
  static _Thread_local float widened[ROOM];
  const kernels *k = from->data;
  const int most = ROOM / k->area, line = (int)(first / stride), column = (int)(first % stride);
  for (int at = 0, here; at < n; at += here) {
    here = n - at < most ? n - at : most;
    for (int l = 0; l < lines; l++) {
      const int64_t channel = (int64_t)((line + l) / k->area) * k->channels + column + at;
      const int position = k->area - 1 - (line + l) % k->area;
      if (l == 0 || position == k->area - 1)
        ld_coded_widen(widened, k->weight, channel * k->area, (int64_t)here * k->area);
      take_every(out + l * ld + at, widened + position, k->area, here);
    }
  }
}

static void turn_strip(float *out, const ld_coded *from, int64_t first, int64_t n) {
  const kernels *k = from->data;
  ld_coded_widen_cut(out, from, first, n, k->channels);
}

static const ld_codec turned = {
    .name = "turned kernels", .elements = 1, .step = 1, .widen = turn_strip, .widen_lines = turn_lines};

/* What the terms of a sum refer to. */
typedef struct sources {
  ld_window window[LD_MAX_TERMS];
  ld_patches patches[LD_MAX_TERMS];
  kernels kernels[LD_MAX_TERMS];
  ld_term terms[LD_MAX_TERMS];
} sources;

static int area_of(const ld_turned *t) {
  return t->window.kernel.height * t->window.kernel.width;
}

/* The terms for rows [row, row + n_rows) of the input's gradient. */
static void set_terms(const ld_turned *t, const ld_sum *sum, int row, int n_rows, sources *s) {
  const int area = area_of(t), channels = sum->M / area;
  float *band = t->band;
  for (int i = 0; i < sum->n_terms; i++) {
    const ld_term *term = &sum->terms[i];
    s->window[i] = t->window;
    s->window[i].channels = term->K;
    s->patches[i] = ld_patches_fill(&s->window[i], term->right.numbers.data, row, n_rows, band);
    s->kernels[i] = (kernels){&term->left.numbers, channels, area};
    s->terms[i] = (ld_term){.left = {{&turned, &s->kernels[i], NULL, 0}, true, channels},
                            .right = {ld_patches_coded(&s->patches[i]), false, n_rows * t->window.out_width},
                            .K = term->K * area,
                            .scale = term->scale};
    band += ld_patches_band(&s->window[i], n_rows);
  }
}

void ld_turned_sum(const ld_turned *t, const ld_sum *patches) {
  const int width = t->window.out_width, all = t->window.n * t->window.out_height;
  sources s;
  for (int row = 0; row < all; row += t->rows) {
    const int n_rows = all - row < t->rows ? all - row : t->rows;
    set_terms(t, patches, row, n_rows, &s);
    ld_sum sum = *patches;
    sum.M = patches->M / area_of(t);
    sum.N = n_rows * width;
    sum.terms = s.terms;
    sum.start = patches->start ? patches->start + (ptrdiff_t)row * width : NULL;
    sum.C = patches->C + (ptrdiff_t)row * width;
    ld_patches_sum(&sum);
  }
}
