/* Products against their definition: chains of fused multiply-adds, added in order. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "linalg/codecs.h"
#include "linalg/gemm.h"
#include "linalg/tile.h"

static uint64_t drawn;

static uint32_t draw(void) {
  const ld_stream stream = ld_rng_stream(1, LD_RNG_DROPOUT, 0, 0);
  uint32_t words[4];
  ld_rng_words(&stream, drawn++, words);
  return words[0];
}

static int below(int n) {
  return (int)(draw() % (uint32_t)n);
}

static float *numbers(int n) {
  float *x = ld_alloc((size_t)n, sizeof *x);
  for (int i = 0; i < n; i++)
    x[i] = below(50) ? (float)below(2001) / 1000 - 1 : (float)(below(9) - 4) * 1e-39f;
  return x;
}

/* A factor (rows, cols) with its own stride, and its numbers as floats. */
typedef struct matrix {
  ld_factor factor;
  float *values;
  void *stored;
} matrix;

static matrix make(int rows, int cols, bool transposed, ld_dtype dtype) {
  const int outer = transposed ? cols : rows, inner = transposed ? rows : cols, ld = inner + below(3);
  matrix m = {.values = numbers(outer * ld)};
  m.stored = ld_alloc((size_t)(outer * ld), sizeof(float));
  ld_dtype_from_f32(m.stored, m.values, dtype, outer * ld);
  ld_dtype_to_f32(m.values, m.stored, dtype, 0, outer * ld);
  m.factor = (ld_factor){{ld_codec_of(dtype), m.stored, NULL, 0}, transposed, ld};
  return m;
}

static float at(const matrix *m, int i, int j) {
  return m->factor.transposed ? m->values[j * m->factor.ld + i] : m->values[i * m->factor.ld + j];
}

static void drop(matrix *m) {
  free(m->values);
  free(m->stored);
}

/* The precision of the products. */
static enum ld_precision precision;

static float flushed(float x) {
  return fabsf(x) < FLT_MIN ? copysignf(0, x) : x;
}

/* A number as a factor. */
static float factor(float x) {
  uint16_t rounded;
  if (precision == LD_PRECISION_F32) return x;
  x = flushed(x);
  ld_dtype_from_f32(&rounded, &x, LD_BF16, 1);
  ld_dtype_to_f32(&x, &rounded, LD_BF16, 0, 1);
  return x;
}

static float multiply_add(float a, float b, float sum) {
  const float exact = fmaf(factor(a), factor(b), sum);
  return precision == LD_PRECISION_F32 ? exact : flushed(exact);
}

/* A number of a result as it is summed: the chains so far, the present one and, of AMX, the sums of even and of odd k in the
 * present group, which are added to the chain when it ends. */
typedef struct sum_so_far {
  float done, chain, half[2];
  int words; /* of the chain */
} sum_so_far;

static void end_group(sum_so_far *s) {
  s->chain = flushed(s->chain + flushed(s->half[0] + s->half[1]));
  s->half[0] = s->half[1] = 0;
}

static void end_chain(sum_so_far *s) {
  if (precision == LD_PRECISION_BF16_AMX) end_group(s);
  s->done += s->chain;
  s->chain = 0;
  s->words = 0;
}

/* Adds a word of n numbers. */
static void add_word(sum_so_far *s, int n, const float *a, const float *b) {
  enum { AMX_GROUP = 16 };
  for (int k = n - 1; k >= 0; k--) { /* of a pair the second number first */
    float *to = precision == LD_PRECISION_BF16_AMX ? &s->half[k] : &s->chain;
    *to = multiply_add(a[k], b[k], *to);
  }
  s->words++;
  if (precision == LD_PRECISION_BF16_AMX && s->words % AMX_GROUP == 0) end_group(s);
  if (s->words == LD_CHAIN_WORDS) end_chain(s);
}

/* The error of the sum's C: 0, or a fraction of the sum of absolute values. */
static double worst(const ld_sum *of, const matrix *left, const matrix *right, bool exact) {
  const ld_term *terms = of->terms;
  const int M = of->M, N = of->N, ldc = of->ldc, n_terms = of->n_terms;
  const float *start = of->start, *bias = of->bias, *C = of->C;
  const int pair = precision == LD_PRECISION_F32 ? 1 : 2;
  double most = 0;
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) {
      sum_so_far want = {.done =
                             (start ? start[i * ldc + j] : 0) + (bias ? bias[of->bias_by_row ? i : j] : 0)};
      double sum = (double)want.done, size = fabs(sum) + 1e-3;
      for (int t = 0; t < n_terms; t++)
        for (int first = 0; first < terms[t].K; first += pair) {
          const int n_pair = terms[t].K - first < pair ? terms[t].K - first : pair;
          float a[2] = {0}, b[2] = {0};
          for (int k = 0; k < n_pair; k++) {
            a[k] = terms[t].scale * at(&left[t], i, first + k), b[k] = at(&right[t], first + k, j);
            sum += (double)a[k] * (double)b[k];
            size += fabs((double)a[k] * (double)b[k]);
          }
          add_word(&want, n_pair, a, b);
        }
      if (want.words) end_chain(&want);
      const float found = C[i * ldc + j];
      const double off =
          exact ? memcmp(&want.done, &found, sizeof found) != 0 : fabs((double)found - sum) / size;
      most = off > most ? off : most;
    }
  return most;
}

/* One product of random types and strides, with a second term of K_more numbers of k, which may be 0; -1: with one term
 * only. Returns its largest error. */
static double try_shape(int M, int N, int K, int K_more, bool by_columns, bool exact) {
  static const ld_dtype types[] = {LD_F32, LD_F32, LD_BF16, LD_F16};
  const int n_terms = K_more < 0 ? 1 : 2;
  matrix left[2], right[2];
  ld_term terms[2];
  for (int t = 0; t < n_terms; t++) {
    const int words = t ? K_more : K;
    left[t] = make(M, words, by_columns, types[below(4)]);
    right[t] = make(words, N, below(2), types[below(4)]);
    terms[t] = (ld_term){left[t].factor, right[t].factor, words, t ? 0.5f : 1};
  }
  const int ldc = N + below(4);
  const bool accumulate = below(2), with_bias = below(2), by_row = with_bias && below(2);
  float *C = numbers(M * ldc), *before = numbers(M * ldc), *bias = numbers(by_row ? M : N);
  memcpy(before, C, (size_t)(M * ldc) * sizeof *C);
  const float *start = accumulate ? C : NULL;
  ld_gemm_sum(&(ld_sum){M, N, terms, n_terms, start, ldc, with_bias ? bias : NULL, C, ldc, by_row});
  const ld_sum want = {M, N,   terms, n_terms, accumulate ? before : NULL, ldc, with_bias ? bias : NULL,
                       C, ldc, by_row};
  const double off = worst(&want, left, right, exact);
  for (int i = 0; i < M; i++)
    cr_assert_arr_eq(C + i * ldc + N, before + i * ldc + N, (size_t)(ldc - N) * sizeof *C, "writes beside C");
  for (int t = 0; t < n_terms; t++) {
    drop(&left[t]);
    drop(&right[t]);
  }
  free(C);
  free(before);
  free(bias);
  return off;
}

/* One of a random shape, or one of few rows and a large right factor. */
static double try_one(int round, bool few, bool exact) {
  const int most = round % 5 ? 60 : 700, M = 1 + below(few ? 8 : most);
  const int N = few ? 200 + below(600) : 1 + below(round % 3 ? 70 : 200);
  const int K = few ? 400 + below(400) : 1 + below(round % 4 ? 90 : 2000);
  return try_shape(M, N, K, below(2) ? below(10) : -1, !few && below(2), exact);
}

/* A right factor of many panels, and one whose last block of k has numbers of the second term only. */
static double try_large(int round, bool exact) {
  return round % 2 ? try_shape(9 + below(60), 1100 + below(300), 1 + below(90), below(10), below(2), exact)
                   : try_shape(9 + below(20), 33 + below(100), 2304, 1 + below(10), false, exact);
}

static void try_many(const char *kernel, int threads, bool exact, double bound) {
  setenv("LORA_DIST_KERNEL", kernel, 1);
  if (ld_gemm_setup(threads, precision, NULL)) cr_skip_test("this processor lacks %s", kernel);
  for (int round = 0; round < 120; round++) {
    const double off = try_one(round, round % 3 == 0, exact);
    cr_assert_leq(off, bound, "%s, round %d: off by %g", kernel, round, off);
  }
  for (int round = 0; round < 24; round++) {
    const double off = try_large(round, exact);
    cr_assert_leq(off, bound, "%s, large, round %d: off by %g", kernel, round, off);
  }
}

Test(gemm, avx512_is_chains) {
  try_many("avx512", 1, true, 0);
}

Test(gemm, avx2_is_chains) {
  try_many("avx2", 1, true, 0);
}

Test(gemm, neon_is_chains) {
  try_many("neon", 1, true, 0);
}

Test(gemm, threads_change_no_bit) {
  unsetenv("LORA_DIST_KERNEL");
  cr_assert_eq(ld_gemm_setup(1, LD_PRECISION_F32, NULL), 0);
  if (!ld_gemm_fused()) cr_skip_test("this processor has no fused multiply-adds");
  try_many("", 3, true, 0);
  try_many("", 2, true, 0);
}

Test(gemm, openblas) {
  try_many("openblas", 1, false, 1e-5);
}

/* Both factors are rounded to 8 bits; a chain adds pairs. */
Test(gemm, bf16_avx2) {
  precision = LD_PRECISION_BF16;
  try_many("avx2", 1, true, 0);
}

Test(gemm, bf16_avx512) {
  precision = LD_PRECISION_BF16;
  try_many("avx512", 1, true, 0);
}

Test(gemm, bf16_instruction) {
  precision = LD_PRECISION_BF16;
  try_many("avx512_bf16", 2, true, 0);
}

/* AMX's order of the sums: its instructions, and the model of them. */
Test(gemm, amx_model) {
  precision = LD_PRECISION_BF16_AMX;
  try_many("avx2", 1, true, 0);
  try_many("avx2", 3, true, 0);
}

Test(gemm, amx_instructions) {
  precision = LD_PRECISION_BF16_AMX;
  try_many("amx", 1, true, 0);
  try_many("amx", 3, true, 0);
}

/* Numbers at the edges of the format: ties, the largest, those that become 0 as factors and as sums. */
static void try_edges(enum ld_precision of) {
  static const float edges[] = {1.00390625f, 1.01171875f, 3.3961775e38f, 1.1754944e-38f,   1.1754942e-38f,
                                1e-30f,      -1e-30f,     1e-9f,         -1.17549435e-38f, 0};
  enum { N = sizeof edges / sizeof *edges };
  precision = of;
  unsetenv("LORA_DIST_KERNEL");
  if (ld_gemm_setup(1, precision, NULL)) cr_skip_test("this processor has no products of bfloat16");
  for (int i = 0; i < N; i++)
    for (int k = 0; k < N; k++) {
      const float a[3] = {edges[i], 1e-20f, edges[k]}, b[3] = {1, edges[k], 0.75f};
      float C = 0;
      sum_so_far want = {.done = 0};
      ld_gemm(1, 1, (ld_term){ld_float_factor(a, 3, false), ld_float_factor(b, 1, false), 3, 1}, 0, &C, 1);
      add_word(&want, 2, a, b);
      add_word(&want, 1, a + 2, b + 2);
      end_chain(&want);
      cr_assert_arr_eq(&C, &want.done, sizeof C, "%g and %g: %a, expected %a", edges[i], edges[k], C,
                       want.done);
    }
}

Test(gemm, bf16_edges) {
  try_edges(LD_PRECISION_BF16);
}

Test(gemm, amx_edges) {
  try_edges(LD_PRECISION_BF16_AMX);
}

Test(gemm, kernels_have_names) {
  ld_error err = {0};
  setenv("LORA_DIST_KERNEL", "sse", 1);
  cr_assert_eq(ld_gemm_setup(1, LD_PRECISION_F32, &err), LD_EUSAGE);
  cr_assert(strstr(err.text, "LORA_DIST_KERNEL=sse: there is no such kernel"));
  cr_assert(strstr(err.text, "plain, openblas, or unset it"));
  cr_assert(ld_gemm_kernel(), "products go on all the same");
  setenv("LORA_DIST_KERNEL", "", 1);
  cr_assert_eq(ld_gemm_setup(1, LD_PRECISION_F32, &err), 0);
}

/* A row has the same bits in every batch. */
Test(gemm, rows_do_not_see_each_other) {
  enum { M = 77, N = 50, K = 130 };
  unsetenv("LORA_DIST_KERNEL");
  float *A = numbers(M * K), *B = numbers(N * K), whole[M * N], one[N];
  ld_gemm(M, N, (ld_term){ld_float_factor(A, K, false), ld_float_factor(B, K, true), K, 1}, 0, whole, N);
  for (int i = 0; i < M; i++) {
    ld_gemm(1, N, (ld_term){ld_float_factor(A + i * K, K, false), ld_float_factor(B, K, true), K, 1}, 0, one,
            N);
    if (ld_gemm_tile()->fused) cr_assert_arr_eq(one, whole + i * N, sizeof one);
  }
  free(A);
  free(B);
}

Test(gemm, nothing_to_multiply) {
  float C[6] = {1, 2, 3, 4, 5, 6}, bias[3] = {7, 8, 9};
  const ld_term none = {ld_float_factor(bias, 1, false), ld_float_factor(bias, 3, false), 0, 1};
  ld_gemm_sum(&(ld_sum){2, 3, &none, 1, C, 3, NULL, C, 3, false});
  cr_assert_eq(C[5], 6);
  ld_gemm_sum(&(ld_sum){2, 3, &none, 1, NULL, 0, bias, C, 3, false});
  cr_assert_eq(C[3], 7);
  ld_gemm_sum(&(ld_sum){2, 3, &none, 1, NULL, 0, NULL, C, 3, false});
  cr_assert_eq(C[4], 0);
}
