/* The gradient of a convolution's input as a convolution is that of its patches, added to their sources. */
#include "random.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "base/dtype.h"
#include "base/memory.h"
#include "linalg/codecs.h"
#include "linalg/gemm.h"
#include "nn/turned.h"

/* Two terms: weights (K, channels, kernel) with gradients (K, output pixels). */
typedef struct fixture {
  ld_window window;
  int K[2], area;
  float scale[2], *weight[2], *dy[2];
} fixture;

static fixture make(ld_kernel kernel, int channels, int n, int height, int width) {
  fixture f = {.window = ld_window_over(&kernel, channels, n, height, width),
               .K = {5, 3},
               .area = kernel.height * kernel.width,
               .scale = {1, 0.5f}};
  const size_t pixels = (size_t)n * (size_t)f.window.out_height * (size_t)f.window.out_width;
  for (int t = 0; t < 2; t++) {
    f.weight[t] = random_numbers((size_t)f.K[t] * (size_t)channels * (size_t)f.area, 1 + (uint64_t)t);
    f.dy[t] = random_numbers((size_t)f.K[t] * pixels, 3 + (uint64_t)t);
  }
  return f;
}

static void release(fixture *f) {
  for (int t = 0; t < 2; t++) free(f->weight[t]), free(f->dy[t]);
}

/* dx, by the definition: what all outputs that see an input pass on to it. `size`: the sum of the magnitudes. */
static void define(const fixture *f, double *dx, double *size) {
  const ld_window *w = &f->window;
  const ld_kernel *k = &w->kernel;
  for (int t = 0; t < 2; t++)
    for (int o = 0; o < f->K[t]; o++)
      for (int image = 0; image < w->n; image++)
        for (int y = 0; y < w->out_height; y++)
          for (int x = 0; x < w->out_width; x++) {
            const float d =
                f->dy[t][((o * w->n + image) * w->out_height + y) * w->out_width + x] * f->scale[t];
            for (int c = 0; c < w->channels; c++)
              for (int i = 0; i < f->area; i++) {
                const int row = y - k->padding + i / k->width, column = x - k->padding + i % k->width;
                if (row < 0 || row >= w->in_height || column < 0 || column >= w->in_width) continue;
                const int at = ((c * w->n + image) * w->in_height + row) * w->in_width + column;
                const double term = (double)d * (double)f->weight[t][(o * w->channels + c) * f->area + i];
                dx[at] += term, size[at] += fabs(term);
              }
          }
}

/* dx (channels, pixels), some rows at a time; with `starts` it is added to. */
static void turn(const fixture *f, const ld_coded weights[2], int rows, bool starts, float *dx) {
  const ld_window *w = &f->window;
  const int in = w->channels * f->area, out = w->n * w->out_height * w->out_width;
  ld_turned turned = {.rows = rows};
  cr_assert(ld_turned_over(w, &turned.window));
  turned.band = ld_alloc(ld_turned_band(&turned.window, rows, f->K[0] + f->K[1]), sizeof(float));
  ld_term terms[2];
  for (int t = 0; t < 2; t++)
    terms[t] = (ld_term){{weights[t], true, in}, ld_float_factor(f->dy[t], out, false), f->K[t], f->scale[t]};
  const int ld = w->n * w->in_height * w->in_width;
  ld_turned_sum(&turned, &(ld_sum){.M = in,
                                   .N = out,
                                   .terms = terms,
                                   .n_terms = 2,
                                   .start = starts ? dx : NULL,
                                   .ld_start = ld,
                                   .C = dx,
                                   .ldc = ld});
  free(turned.band);
}

static void check(ld_kernel kernel, int channels, int n, int height, int width) {
  fixture f = make(kernel, channels, n, height, width);
  const ld_coded weights[] = {ld_coded_floats(f.weight[0]), ld_coded_floats(f.weight[1])};
  const size_t all = (size_t)channels * (size_t)n * (size_t)height * (size_t)width;
  float *dx = random_numbers(all, 9), *again = ld_alloc(all, sizeof *again);
  double *want = ld_alloc(all, sizeof *want), *size = ld_alloc(all, sizeof *size);
  define(&f, want, size);
  turn(&f, weights, n * height, false, dx);
  for (size_t i = 0; i < all; i++)
    cr_assert(fabs((double)dx[i] - want[i]) <= 1e-6 * (1 + size[i]), "%zu: %g, not %g", i, (double)dx[i],
              want[i]);
  turn(&f, weights, 2, false, again);
  for (size_t i = 0; i < all && ld_gemm_fused(); i++)
    cr_assert(dx[i] == again[i], "two rows at a time: %zu", i);
  turn(&f, weights, 5, true, dx);
  for (size_t i = 0; i < all; i++)
    cr_assert(fabs((double)dx[i] - 2 * want[i]) <= 2e-6 * (1 + size[i]), "added: %zu", i);
  free(dx), free(again), free(want), free(size);
  release(&f);
}

Test(turned, is_the_gradient_of_the_patches) {
  check((ld_kernel){3, 3, 1, 1, 0}, 4, 3, 7, 6);
  check((ld_kernel){3, 3, 1, 1, 0}, 70, 2, 9, 33);
  check((ld_kernel){3, 3, 1, 0, 0}, 4, 3, 7, 6);
  check((ld_kernel){3, 3, 1, 2, 0}, 4, 3, 7, 6);
  check((ld_kernel){2, 2, 1, 0, 0}, 3, 2, 5, 40);
  check((ld_kernel){2, 2, 1, 1, 0}, 3, 2, 5, 40);
  check((ld_kernel){5, 5, 1, 2, 0}, 6, 2, 20, 21);
  check((ld_kernel){7, 7, 1, 1, 0}, 2, 2, 12, 9);
}

Test(turned, is_for_some_convolutions) {
  static const ld_kernel others[] = {
      {3, 3, 2, 1, 0}, {3, 3, 1, 1, 1}, {3, 3, 1, 3, 0}, {3, 1, 1, 0, 0}, {9, 9, 1, 4, 0}};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    const ld_window w = ld_window_over(&others[i], 2, 1, 12, 12);
    cr_assert_not(ld_turned_over(&w, &(ld_window){0}), "%zu", i);
  }
}

/* Weights stored as 16 bits, the number of which is no multiple of what is widened at a time. */
Test(turned, of_a_stored_weight) {
  const ld_kernel kernel = {3, 3, 1, 1, 0};
  enum { CHANNELS = 1000, AREA = 9, N = 5 * CHANNELS * AREA };
  fixture f = make(kernel, CHANNELS, 1, 3, 4);
  uint16_t *half = ld_alloc(N, sizeof *half);
  ld_dtype_from_f32(half, f.weight[0], LD_BF16, N);
  ld_dtype_to_f32(f.weight[0], half, LD_BF16, 0, N);
  const ld_coded more = ld_coded_floats(f.weight[1]), stored = {&ld_codec_bf16, half, NULL, 0};
  float *found = ld_alloc(CHANNELS * 12, sizeof *found), *want = ld_alloc(CHANNELS * 12, sizeof *want);
  turn(&f, (ld_coded[]){stored, more}, 3, false, found);
  turn(&f, (ld_coded[]){ld_coded_floats(f.weight[0]), more}, 3, false, want);
  cr_assert_arr_eq(found, want, CHANNELS * 12 * sizeof *want);
  free(half), free(found), free(want);
  release(&f);
}
