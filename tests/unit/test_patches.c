/* Patches that are made as a product reads them are those of the definition, and products with both have the same bits, as
 * have those with the band itself. */
#include "random.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "linalg/codecs.h"
#include "nn/ops.h"
#include "nn/patches.h"

/* out (channels * kernel size, n_rows * out_width) = the patches of output rows [row, row + n_rows), by their definition. */
static void take(const ld_window *w, const float *x, int row, int n_rows, float *out) {
  const ld_kernel *k = &w->kernel;
  for (int c = 0; c < w->channels; c++)
    for (int i = 0; i < k->height; i++)
      for (int j = 0; j < k->width; j++)
        for (int r = row; r < row + n_rows; r++)
          for (int column = 0; column < w->out_width; column++) {
            const int image = c * w->n + r / w->out_height;
            const int at_y = r % w->out_height * k->stride - k->padding + i,
                      at_x = column * k->stride - k->padding + j;
            const bool there = at_y >= 0 && at_y < w->in_height && at_x >= 0 && at_x < w->in_width;
            *out++ = there ? x[((size_t)image * (size_t)w->in_height + (size_t)at_y) * (size_t)w->in_width +
                               (size_t)at_x]
                           : 0;
          }
}

/* A window over random maps, and the patches of some output rows in both forms. */
typedef struct fixture {
  ld_window window;
  float *x, *laid, *band;
  int row, n_rows, lines, columns;
  ld_patches from;
  ld_coded made;
} fixture;

static void make(fixture *f, ld_kernel kernel, int channels, int n, int height, int width) {
  f->window = ld_window_over(&kernel, channels, n, height, width);
  f->x = random_numbers((size_t)channels * (size_t)n * (size_t)height * (size_t)width, 1);
  const int rows = n * f->window.out_height;
  f->row = rows / 5;
  f->n_rows = rows - f->row - rows / 7;
  f->lines = channels * kernel.height * kernel.width;
  f->columns = f->n_rows * f->window.out_width;
  f->laid = ld_alloc((size_t)f->lines * (size_t)f->columns, sizeof(float));
  take(&f->window, f->x, f->row, f->n_rows, f->laid);
  f->band = ld_alloc(ld_patches_band(&f->window, f->n_rows), sizeof(float));
  f->from = ld_patches_fill(&f->window, f->x, f->row, f->n_rows, f->band);
  f->made = ld_patches_coded(&f->from);
}

static void release(fixture *f) {
  free(f->x);
  free(f->laid);
  free(f->band);
}

/* Windows of a few lines and columns, and a strip that runs over ends of lines. */
static void check_reading(const fixture *f) {
  float found[7 * 80];
  for (int line = 0; line < f->lines; line += 5)
    for (int column = 0; column < f->columns; column += 31) {
      const int lines = f->lines - line < 7 ? f->lines - line : 7;
      const int n = f->columns - column < 71 ? f->columns - column : 71;
      ld_coded_widen_lines(found, 80, &f->made, (int64_t)line * f->columns + column, f->columns, lines, n);
      for (int l = 0; l < lines; l++)
        cr_assert_arr_eq(found + (ptrdiff_t)l * 80, f->laid + (ptrdiff_t)(line + l) * f->columns + column,
                         (size_t)n * sizeof *found, "%d numbers of line %d from %d", n, line + l, column);
    }
  float *all = ld_alloc((size_t)f->lines * (size_t)f->columns, sizeof *all);
  const int64_t skip = f->columns / 2;
  ld_coded_widen(all, &f->made, skip, (int64_t)f->lines * f->columns - skip);
  cr_assert_arr_eq(all, f->laid + skip, ((size_t)f->lines * (size_t)f->columns - (size_t)skip) * sizeof *all);
  free(all);
}

/* The same bits; OpenBLAS sums over k in slices of a factor that it cannot read in place. */
static void check_same(const float *found, const float *want, size_t n) {
  for (size_t i = 0; i < n; i++)
    cr_assert(ld_gemm_fused() ? found[i] == want[i]
                              : fabsf(found[i] - want[i]) < 1e-5f * (10 + fabsf(want[i])),
              "%zu: %g, not %g", i, (double)found[i], (double)want[i]);
}

/* As the right factor, upright (K = lines) and transposed (K = columns). */
static void check_products(const fixture *f) {
  enum { M = 20 };
  for (int transposed = 0; transposed < 2; transposed++) {
    const int K = transposed ? f->columns : f->lines, N = transposed ? f->lines : f->columns;
    float *left = random_numbers((size_t)M * (size_t)K, 2), *C[2];
    for (int made = 0; made < 2; made++) {
      const ld_factor right = {made ? f->made : ld_coded_floats(f->laid), transposed, f->columns};
      C[made] = ld_alloc((size_t)M * (size_t)N, sizeof **C);
      ld_gemm(M, N, (ld_term){ld_float_factor(left, K, false), right, K, 1}, 0, C[made], N);
    }
    check_same(C[1], C[0], (size_t)M * (size_t)N);
    free(left);
    free(C[0]);
    free(C[1]);
  }
}

/* A sum of patches and floats, with a bias and a start, which is part of a wider matrix. */
static void check_sum(const fixture *f, int M) {
  enum { K = 3 };
  const int ld = f->columns + 3;
  const size_t n = (size_t)M * (size_t)ld;
  float *left = random_numbers((size_t)M * (size_t)f->lines, 2), *more = random_numbers((size_t)M * K, 3),
        *bias = random_numbers((size_t)M, 4);
  float *side = random_numbers((size_t)K * (size_t)ld, 5), *found = random_numbers(n, 6),
        *want = random_numbers(n, 6);
  for (int starts = 0; starts < 2; starts++) {
    ld_term terms[] = {{ld_float_factor(left, f->lines, false), {f->made, false, f->columns}, f->lines, 1},
                       {ld_float_factor(more, K, false), ld_float_factor(side, ld, false), K, 0.5f}};
    ld_sum sum = {.M = M, .N = f->columns, .terms = terms, .n_terms = 2, .ld_start = ld, .bias = bias};
    sum.bias_by_row = true, sum.ldc = ld;
    sum.C = found, sum.start = starts ? found : NULL;
    ld_patches_sum(&sum);
    terms[0].right.numbers = ld_coded_floats(f->laid);
    sum.C = want, sum.start = starts ? want : NULL;
    ld_gemm_sum(&sum);
    check_same(found, want, n);
  }
  free(left), free(more), free(bias), free(side), free(found), free(want);
}

/* C += scale * left times the transposed patches. */
static void check_outer(const fixture *f, int M) {
  const int ld = f->columns + 3;
  const size_t n = (size_t)M * (size_t)f->lines;
  float *left = random_numbers((size_t)M * (size_t)ld, 3), *C = random_numbers(n, 4),
        *was = random_numbers(n, 4);
  ld_patches_outer(ld_float_factor(left, ld, false), &f->from, M, f->lines, 0.5f, C);
  for (int r = 0; r < M; r++)
    for (int k = 0; k < f->lines; k++) {
      double sum = 0, size = 1;
      for (int column = 0; column < f->columns; column++) {
        const double term =
            (double)left[(ptrdiff_t)r * ld + column] * (double)f->laid[(ptrdiff_t)k * f->columns + column];
        sum += term, size += fabs(term);
      }
      cr_assert_float_eq((double)C[r * f->lines + k], (double)was[r * f->lines + k] + sum / 2, 1e-6 * size);
    }
  free(left), free(C), free(was);
}

static void check(ld_kernel kernel, int channels, int n, int height, int width) {
  fixture f;
  make(&f, kernel, channels, n, height, width);
  check_reading(&f);
  check_products(&f);
  release(&f);
}

Test(patches, made_are_those_laid_out) {
  check((ld_kernel){3, 3, 1, 1, 0}, 3, 2, 9, 64);
  check((ld_kernel){3, 3, 1, 1, 0}, 5, 3, 7, 6);
  check((ld_kernel){3, 3, 2, 1, 0}, 4, 2, 16, 15);
  check((ld_kernel){7, 7, 2, 3, 0}, 3, 2, 20, 33);
  check((ld_kernel){5, 1, 2, 2, 0}, 2, 2, 13, 12);
  check((ld_kernel){3, 3, 2, 0, 1}, 3, 1, 32, 32);
  check((ld_kernel){3, 2, 1, 1, 2}, 2, 3, 8, 5);
  check((ld_kernel){1, 1, 2, 0, 0}, 6, 2, 10, 11);
  check((ld_kernel){2, 2, 2, 0, 0}, 3, 4, 8, 1 + 1);
  check((ld_kernel){2, 2, 3, 0, 0}, 3, 2, 17, 19);
  check((ld_kernel){7, 5, 4, 3, 1}, 2, 3, 21, 30);
  check((ld_kernel){3, 3, 1, 4, 0}, 2, 2, 1, 1);
}

/* With few rows the band itself is multiplied, with many the patches are made. */
Test(patches, sums) {
  static const struct {
    ld_kernel kernel;
    int channels, n, height, width;
  } cases[] = {{{3, 3, 1, 1, 0}, 16, 3, 13, 12},
               {{3, 3, 1, 1, 0}, 9, 12, 40, 37}, /* many lines, which are done in parts */
               {{3, 3, 1, 1, 0}, 5, 2, 48, 300},
               {{3, 3, 1, 0, 0}, 4, 3, 9, 34},
               {{3, 3, 1, 2, 0}, 4, 3, 9, 7},
               {{3, 3, 1, 1, 1}, 4, 3, 9, 7},
               {{5, 5, 1, 2, 0}, 6, 2, 21, 19},
               {{5, 3, 1, 3, 0}, 3, 2, 21, 19},
               {{3, 2, 1, 4, 2}, 7, 2, 9, 8},
               {{1, 1, 1, 1, 0}, 3, 2, 9, 8},
               {{3, 3, 2, 1, 0}, 17, 9, 48, 51},
               {{5, 3, 2, 2, 1}, 6, 9, 80, 86},
               {{2, 2, 2, 0, 0}, 20, 2, 26, 30},
               {{7, 7, 2, 3, 0}, 8, 2, 60, 63},
               {{3, 3, 1, 1, 0}, 3, 4, 1, 1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fixture f;
    make(&f, cases[i].kernel, cases[i].channels, cases[i].n, cases[i].height, cases[i].width);
    for (int M = 1; M < 300; M *= 6) check_sum(&f, M);
    check_outer(&f, 2);
    check_outer(&f, 9);
    release(&f);
  }
}

/* Passes over fewer images find room in what was reserved for many. */
Test(patches, fewer_images_find_room) {
  enum { IN = 64, OUT = 64, SIDE = 14, AREA = SIDE * SIDE, MOST = 16 };
  float *x = random_numbers((size_t)IN * AREA * MOST, 1), *weight = random_numbers((size_t)OUT * IN * 9, 2),
        *scale = random_numbers(OUT, 3);
  const ld_linear layer = {
      .in = IN * 9, .out = OUT, .weight = {ld_coded_floats(weight), OUT, IN * 9}, .kernel = {3, 3, 1, 1, 0}};
  const ld_batch batch = {0};
  for (int trained = 0; trained < 2; trained++) {
    ld_tape *tape = ld_tape_create();
    for (int n = MOST; n > 0; n--) {
      ld_tape_begin(tape, LD_PASS_TRAIN, n == MOST, false);
      ld_tensor *in = ld_tape_input(tape, x, IN, AREA * n);
      in->maps = n;
      in->trained = trained;
      const ld_maps maps = {in, n, SIDE, SIDE};
      ld_op_convolution_affine(tape, maps, &layer, &(ld_affine){scale, scale, maps, true}, &batch);
      if (n == MOST) cr_assert(ld_tape_reserve(tape));
    }
    ld_tape_free(tape);
  }
  free(x), free(weight), free(scale);
}

/* A convolution of many tiles. */
Test(patches, large_convolution_is_the_product) {
  enum { IN = 64, OUT = 70, SIDE = 48, AREA = SIDE * SIDE };
  float *x = random_numbers(IN * AREA, 1), *weight = random_numbers((size_t)OUT * IN * 9, 2),
        *bias = random_numbers(OUT, 3);
  const ld_linear layer = {.in = IN * 9,
                           .out = OUT,
                           .weight = {ld_coded_floats(weight), OUT, IN * 9},
                           .bias = bias,
                           .kernel = {3, 3, 1, 1, 0}};
  const ld_window window = ld_window_over(&layer.kernel, IN, 1, SIDE, SIDE);
  float *laid = ld_alloc((size_t)IN * 9 * AREA, sizeof *laid), *want = ld_alloc(OUT * AREA, sizeof *want);
  take(&window, x, 0, SIDE, laid);
  const ld_term term = {ld_weight_factor(&layer.weight, false), ld_float_factor(laid, AREA, false), layer.in,
                        1};
  ld_gemm_sum(&(ld_sum){.M = OUT,
                        .N = AREA,
                        .terms = &term,
                        .n_terms = 1,
                        .bias = bias,
                        .bias_by_row = true,
                        .C = want,
                        .ldc = AREA});
  const ld_batch batch = {0};
  ld_tape *tape = ld_tape_create();
  ld_maps y = {0};
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_INFER, dry, false);
    ld_tensor *in = ld_tape_input(tape, x, IN, AREA);
    in->maps = 1;
    y = ld_op_convolution(tape, (ld_maps){in, 1, SIDE, SIDE}, &layer, &batch);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  check_same(y.x->data, want, OUT * AREA);
  ld_tape_free(tape);
  free(x), free(weight), free(bias), free(laid), free(want);
}

/* The end of a tape: it gives `y` a gradient. */
typedef struct ending {
  ld_tensor *y;
  const float *dy;
} ending;

static void end_forward(ld_tape *tape, void *self) {
  (void)tape, (void)self;
}

static void end_backward(ld_tape *tape, void *self) {
  const ending *e = self;
  (void)tape;
  memcpy(ld_grad(e->y), e->dy, (size_t)e->y->rows * (size_t)e->y->cols * sizeof(float));
}

enum { IN = 64, OUT = 70, SIDE = 80, AREA = SIDE * SIDE };

/* What a pass gives: y and the gradient of x; the caller frees. */
typedef struct found {
  float *y, *dx, *dresidual;
} found;

static found pass(float *x, float *residual, const float *dy, const ld_linear *layer,
                  const ld_affine *affine) {
  const ld_batch batch = {0};
  const size_t in = (size_t)IN * AREA * sizeof(float), out = (size_t)OUT * AREA * sizeof(float);
  ld_tape *tape = ld_tape_create();
  ld_tensor *t = NULL, *r = NULL;
  ending e = {.dy = dy};
  found f = {ld_alloc(out, 1), ld_alloc(in, 1), ld_alloc(out, 1)};
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_TRAIN, dry, false);
    t = ld_tape_input(tape, x, IN, AREA);
    r = ld_tape_input(tape, residual ? residual : x, OUT, AREA); /* x: never read */
    t->maps = r->maps = 1;
    t->trained = r->trained = true;
    const ld_maps maps = {t, 1, SIDE, SIDE};
    ld_affine whole = affine ? *affine : (ld_affine){0};
    if (residual) whole.residual = (ld_maps){r, 1, SIDE, SIDE};
    e.y = (affine ? ld_op_convolution_affine(tape, maps, layer, &whole, &batch)
                  : ld_op_convolution(tape, maps, layer, &batch))
              .x;
    ld_tape_push(tape, (ld_op){.name = "end",
                               .self = &e,
                               .forward = end_forward,
                               .backward = end_backward,
                               .in = LD_TENSORS(e.y)});
    if (!dry) memcpy(f.y, e.y->data, out);
    ld_tape_backward(tape);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  memcpy(f.dx, ld_grad(t), in);
  if (residual) memcpy(f.dresidual, ld_grad(r), out);
  ld_tape_free(tape);
  return f;
}

static void free_found(found *f) {
  free(f->y), free(f->dx), free(f->dresidual);
}

/* Over several tiles: the bits of a convolution by itself and the function by its formula, forward and backward. */
Test(patches, affine_convolution_is_both) {
  float *x = random_numbers(IN * AREA, 1), *weight = random_numbers((size_t)OUT * IN * 9, 2),
        *scale = random_numbers(OUT, 3);
  float *shift = random_numbers(OUT, 4), *residual = random_numbers(OUT * AREA, 5),
        *dy = random_numbers(OUT * AREA, 6);
  float *inner = ld_alloc((size_t)OUT * AREA, sizeof *inner),
        *cut = ld_alloc((size_t)OUT * AREA, sizeof *cut);
  const ld_linear layer = {
      .in = IN * 9, .out = OUT, .weight = {ld_coded_floats(weight), OUT, IN * 9}, .kernel = {3, 3, 1, 1, 0}};
  for (int kind = 0; kind < 4; kind++) {
    const bool relu = kind & 1, adds = kind & 2;
    found plain = pass(x, NULL, dy, &layer, NULL);
    found both = pass(x, adds ? residual : NULL, dy, &layer, &(ld_affine){scale, shift, {0}, relu});
    for (int i = 0; i < OUT * AREA; i++) {
      const float sum = scale[i / AREA] * plain.y[i] + shift[i / AREA], y = adds ? sum + residual[i] : sum;
      cr_assert(both.y[i] == (relu && y <= 0 ? 0 : y), "%d: y of %d", kind, i);
      cut[i] = relu && y <= 0 ? 0 : dy[i];
      inner[i] = scale[i / AREA] * cut[i];
    }
    free_found(&plain);
    plain = pass(x, NULL, inner, &layer, NULL);
    cr_assert_arr_eq(both.dx, plain.dx, (size_t)IN * AREA * sizeof(float), "%d: dx", kind);
    if (adds)
      cr_assert_arr_eq(both.dresidual, cut, (size_t)OUT * AREA * sizeof(float), "%d: dresidual", kind);
    free_found(&plain);
    free_found(&both);
  }
  free(x), free(weight), free(scale), free(shift), free(residual), free(dy), free(inner), free(cut);
}
