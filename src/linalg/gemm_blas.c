#include "linalg/gemm_blas.h"

#include <cblas.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "linalg/codecs.h"

static struct {
  void *handle;
  __typeof__(&cblas_sgemm) sgemm;
  __typeof__(&openblas_set_num_threads) set_threads;
  __typeof__(&openblas_get_corename) kernel;
} blas;

static bool find(const char *name, void *function) {
  void *found = dlsym(blas.handle, name);
  memcpy(function, &found, sizeof found);
  return found;
}

bool ld_gemm_blas_load(const char *core) {
  static const char *const names[] = {"libopenblas.so.0", "libopenblasp.so.0", "libopenblas.so"};
  if (core) setenv("OPENBLAS_CORETYPE", core, 1);
  if (blas.handle) dlclose(blas.handle);
  blas.handle = NULL;
  for (size_t i = 0; i < sizeof names / sizeof *names && !blas.handle; i++)
    blas.handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  return blas.handle && find("cblas_sgemm", &blas.sgemm) &&
         find("openblas_set_num_threads", &blas.set_threads) && find("openblas_get_corename", &blas.kernel);
}

/* A factor that is not of floats is widened in slices over k of about 1 MiB of floats, which are still in the
 * second-level cache when the product reads them. */
enum { SLICE_FLOATS = 1 << 18 };

static void put_start(const ld_sum *sum) {
  for (int i = 0; i < sum->M; i++) {
    float *row = sum->C + (size_t)i * (size_t)sum->ldc;
    const float *from = sum->start ? sum->start + (size_t)i * (size_t)sum->ld_start : NULL;
    for (int k = 0; k < sum->N; k++)
      row[k] = (from ? from[k] : 0) + (sum->bias ? sum->bias[sum->bias_by_row ? i : k] : 0);
  }
}

/* A factor's part of n from k = first on, with `outer` rows (left) or columns (right). Its stored lines run
 * across k, or along it. */
typedef struct slice {
  const float *data;
  int ld;
} slice;

static slice take_slice(const ld_factor *factor, bool over_k, int outer, int first, int n, float *memory) {
  const float *floats = ld_coded_in_place(&factor->numbers);
  if (floats)
    return (slice){floats + (over_k ? (size_t)first * (size_t)factor->ld : (size_t)first), factor->ld};
  const int lines = over_k ? n : outer, length = over_k ? outer : n;
  const int64_t at = over_k ? (int64_t)first * factor->ld : first;
  ld_coded_widen_lines(memory, length, &factor->numbers, at, factor->ld, lines, length);
  return (slice){memory, length};
}

static void add_term(int M, int N, const ld_term *t, float *C, int ldc) {
  const bool wide = ld_coded_in_place(&t->left.numbers) && ld_coded_in_place(&t->right.numbers);
  const int fit = SLICE_FLOATS / (M > N ? M : N), step = wide ? t->K : fit < 16 ? 16 : fit;
  float *memory = wide ? NULL : ld_alloc((size_t)step * ((size_t)M + (size_t)N), sizeof *memory);
  for (int k = 0; k < t->K; k += step) {
    const int n = t->K - k < step ? t->K - k : step;
    const slice A = take_slice(&t->left, t->left.transposed, M, k, n, memory);
    const slice B =
        take_slice(&t->right, !t->right.transposed, N, k, n, wide ? NULL : memory + (size_t)step * (size_t)M);
    blas.sgemm(CblasRowMajor, t->left.transposed ? CblasTrans : CblasNoTrans,
               t->right.transposed ? CblasTrans : CblasNoTrans, M, N, n, t->scale, A.data, A.ld, B.data, B.ld,
               1, C, ldc);
  }
  free(memory);
}

void ld_gemm_blas(const ld_sum *sum) {
  put_start(sum);
  for (int i = 0; i < sum->n_terms; i++) add_term(sum->M, sum->N, &sum->terms[i], sum->C, sum->ldc);
}

void ld_gemm_blas_set_threads(int threads) {
  blas.set_threads(threads);
}

const char *ld_gemm_blas_kernel(void) {
  return blas.kernel();
}
