#include "linalg/gemm_choice.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/dtype.h"
#include "base/log.h"
#include "base/memory.h"
#include "linalg/codecs.h"
#include "linalg/gemm.h"

/* The product that is timed, of about a layer's shape: both its bfloat16 and its float32 form take several blocks. */
enum { ROWS = 192, WIDTH = 768, ROUNDS = 5 };

/* M, N and K of small products, whose edges are parts of tiles. */
static const int edges[][3] = {{13, 20, 37}, {23, 40, 421}, {3, 50, 70}};
enum { N_EDGES = sizeof edges / sizeof *edges, EDGE_RESULTS = 13 * 20 + 23 * 40 + 3 * 50 };

/* The right factor upright and transposed, each as floats and as it is stored in bfloat16. */
enum { FORMS = 4, RESULTS = ROWS * WIDTH + FORMS * EDGE_RESULTS };

/* The factors, and room for the results of two kernels. */
typedef struct trial {
  float *A, *B, *C, *reference;
  uint16_t *stored; /* B in bfloat16 */
} trial;

static trial begin_trial(void) {
  const size_t n = (size_t)WIDTH * WIDTH;
  trial t = {ld_alloc((size_t)ROWS * WIDTH, sizeof(float)), ld_alloc(n, sizeof(float)),
             ld_alloc(RESULTS, sizeof(float)), ld_alloc(RESULTS, sizeof(float)),
             ld_alloc(n, sizeof(uint16_t))};
  for (size_t i = 0; i < (size_t)ROWS * WIDTH; i++) t.A[i] = (float)(i * 37 % 1009) / 504 - 1;
  for (size_t i = 0; i < n; i++) t.B[i] = (float)(i * 41 % 1013) / 506 - 1;
  ld_dtype_from_f32(t.stored, t.B, LD_BF16, (int64_t)n);
  return t;
}

static void end_trial(trial *t) {
  free(t->A);
  free(t->B);
  free(t->C);
  free(t->reference);
  free(t->stored);
}

static void multiply_large(const trial *t, float *C) {
  ld_gemm(ROWS, WIDTH,
          (ld_term){ld_float_factor(t->A, WIDTH, false), ld_float_factor(t->B, WIDTH, true), WIDTH, 1}, 0, C,
          WIDTH);
}

/* The small products, in each form, one after the other in C. */
static void multiply_edges(const trial *t, float *C) {
  for (int i = 0; i < N_EDGES; i++)
    for (int form = 0; form < FORMS; form++) {
      const int M = edges[i][0], N = edges[i][1], K = edges[i][2];
      const bool turned = form & 1;
      const ld_coded B = form & 2 ? (ld_coded){&ld_codec_bf16, t->stored, NULL, 0} : ld_coded_floats(t->B);
      const ld_term term = {
          ld_float_factor(t->A, turned ? M : K, turned), {B, !turned, turned ? N : K}, K, 1};
      ld_gemm(M, N, term, 0, C, N);
      C += (ptrdiff_t)M * N;
    }
}

/* All results of these kernels (RESULTS). */
static void multiply(const trial *t, const char *kernel, float *C) {
  ld_gemm_use(kernel);
  multiply_large(t, C);
  multiply_edges(t, C + (ptrdiff_t)ROWS * WIDTH);
}

/* In CPU time, which does not count when others have the core. */
static double cpu_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Times the large product with the present kernels; *best is the least time so far. */
static void time_product(const trial *t, double *best) {
  const double since = cpu_seconds();
  multiply_large(t, t->C);
  const double time = cpu_seconds() - since;
  if (time < *best) *best = time;
}

enum { MOST_KERNELS = 8 };

/* The kernels that this processor has for the present precision; returns their number. */
static int list_kernels(const char *names[MOST_KERNELS]) {
  int n = 0;
  for (int i = 0; n < MOST_KERNELS && ld_gemm_kernel_name(i); i++)
    if (ld_gemm_use(ld_gemm_kernel_name(i))) names[n++] = ld_gemm_kernel_name(i);
  return n;
}

/* Drops those that give other bits than the last, which has the plainest instructions; returns how many are left. */
static int drop_different(const trial *t, const char *names[MOST_KERNELS], int n) {
  static bool told;
  const char *last = names[n - 1];
  const void *found = t->C, *reference = t->reference;
  int n_equal = 0;
  multiply(t, last, t->reference);
  for (int i = 0; i < n - 1; i++) {
    multiply(t, names[i], t->C);
    if (!memcmp(found, reference, RESULTS * sizeof *t->C)) {
      names[n_equal++] = names[i];
      continue;
    }
    if (!told)
      ld_warn("the kernels %s of this processor give other bits than %s: they are not used", names[i], last);
    told = true;
  }
  names[n_equal++] = last;
  return n_equal;
}

/* The fastest kernels and the best of the others, with the ratio of their speeds; fastest NULL: there is no choice. */
typedef struct choice {
  const char *fastest, *other;
  double ratio;
} choice;

/* Switches to the fastest of the kernels that give the same bits. */
static choice choose(void) {
  const char *names[MOST_KERNELS];
  double best[MOST_KERNELS];
  int fastest = 0;
  if (getenv("LORA_DIST_KERNEL") || !ld_gemm_fused()) return (choice){0};
  int n = list_kernels(names);
  if (n < 2) return (choice){0};
  trial t = begin_trial();
  n = drop_different(&t, names, n);
  for (int i = 0; i < n; i++) best[i] = 1e9;
  for (int round = 0; n > 1 && round < ROUNDS; round++)
    for (int i = 0; i < n; i++) {
      ld_gemm_use(names[i]);
      time_product(&t, &best[i]);
    }
  end_trial(&t);
  for (int i = 1; i < n; i++)
    if (best[i] < 0.95 * best[fastest]) fastest = i;
  ld_gemm_use(names[fastest]);
  int other = fastest ? 0 : 1;
  for (int i = 0; i < n; i++)
    if (i != fastest && best[i] < best[other]) other = i;
  return n > 1 ? (choice){names[fastest], names[other], best[other] / best[fastest]} : (choice){0};
}

void ld_gemm_choose(void) {
  const char *first = ld_gemm_kernel();
  const choice c = choose();
  if (c.fastest && strcmp(c.fastest, first) != 0)
    ld_info(
        "kernels %s, %.2f times as fast as %s on this processor (measured just now; the bits are the same)",
        c.fastest, c.ratio, c.other);
}

double ld_gemm_speed(enum ld_precision precision, int threads) {
  const enum ld_precision precisions[] = {LD_PRECISION_F32, precision};
  const char *kernel[2];
  double best[2] = {1e9, 1e9};
  for (int p = 0; p < 2; p++) {
    if (ld_gemm_setup(threads, precisions[p], NULL)) return 0;
    choose();
    kernel[p] = ld_gemm_kernel();
  }
  trial t = begin_trial();
  for (int i = 0; i < 2 * ROUNDS; i++) {
    ld_gemm_setup(threads, precisions[i % 2], NULL); /* cannot fail: it was set up before */
    ld_gemm_use(kernel[i % 2]);
    time_product(&t, &best[i % 2]);
  }
  end_trial(&t);
  return best[0] / best[1];
}

void ld_gemm_warn_if_slow(enum ld_precision precision, int threads) {
  const double speed = ld_gemm_speed(precision, threads);
  if (speed > 0 && speed < 0.9)
    ld_warn("--precision %s: on this processor products of bfloat16 have %.2f of the speed of float32 "
            "(measured just now): --precision f32 is faster, and rounds less",
            ld_precision_names[precision], speed);
}
