/* Measures how fast this core multiplies matrices: through the project's door, by OpenBLAS, and by oneDNN
 * where its library is installed (bf16 too, where its header was there when this was built). One thread.
 *
 *   gemm_rate [SECONDS]     for each product; started once on each core at the same time, it gives the
 *                           machine's rate
 *
 * Prints one JSON object a line: library, precision, M, K, N, gflops (the best of three stretches). */
#include <cblas.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "linalg/gemm.h"
#ifdef BENCH_DNNL
#include <dnnl.h>
#endif

enum { STRETCHES = 3 };

typedef struct shape {
  int M, K, N;
} shape;

static const shape shapes[] = {{512, 768, 2304},  {512, 768, 3072},  {512, 3072, 768},   {1024, 768, 3072},
                               {1024, 576, 1536}, {1024, 1536, 576}, {1024, 2048, 2048}, {2048, 2048, 5632}};

/* A product under measurement: C = A B, all row-major. The 16-bit copies are for libraries that take them. */
typedef struct product {
  shape s;
  float *A, *B, *C;
  uint16_t *A16, *B16;
} product;

typedef struct library {
  const char *name, *precision;
  bool (*prepare)(const product *p); /* NULL: nothing to prepare; false: cannot */
  void (*multiply)(const product *p);
} library;

static bool door_in_f32(const product *p) {
  (void)p;
  return !ld_gemm_setup(1, LD_PRECISION_F32, NULL);
}

static bool door_in_bf16(const product *p) {
  (void)p;
  return !ld_gemm_setup(1, LD_PRECISION_BF16, NULL);
}

static bool door_in_bf16_amx(const product *p) {
  (void)p;
  return !ld_gemm_setup(1, LD_PRECISION_BF16_AMX, NULL);
}

static void by_door(const product *p) {
  ld_gemm(p->s.M, p->s.N,
          (ld_term){ld_float_factor(p->A, p->s.K, false), ld_float_factor(p->B, p->s.N, false), p->s.K, 1}, 0,
          p->C, p->s.N);
}

static void by_openblas(const product *p) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, p->s.M, p->s.N, p->s.K, 1, p->A, p->s.K, p->B,
              p->s.N, 0, p->C, p->s.N);
}

typedef int dnnl_sgemm_function(char transpose_a, char transpose_b, int64_t M, int64_t N, int64_t K,
                                float alpha, const float *A, int64_t lda, const float *B, int64_t ldb,
                                float beta, float *C, int64_t ldc);
static dnnl_sgemm_function *onednn_sgemm;

static bool find_onednn(const product *p) {
  (void)p;
  void *handle = dlopen("libdnnl.so.3", RTLD_NOW | RTLD_LOCAL);
  if (!handle) handle = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (handle) *(void **)&onednn_sgemm = dlsym(handle, "dnnl_sgemm");
  return onednn_sgemm != NULL;
}

static void by_onednn(const product *p) {
  onednn_sgemm('N', 'N', p->s.M, p->s.N, p->s.K, 1, p->A, p->s.K, p->B, p->s.N, 0, p->C, p->s.N);
}

#ifdef BENCH_DNNL
static struct {
  dnnl_primitive_t primitive;
  dnnl_stream_t stream;
  dnnl_memory_t weights;
  dnnl_exec_arg_t arguments[3];
} bf16;

static dnnl_memory_t memory_of(dnnl_engine_t engine, const dnnl_memory_desc_t *description, void *data) {
  dnnl_memory_t memory = NULL;
  dnnl_memory_create(&memory, description, engine, data);
  return memory;
}

/* The weights are laid out as the library likes them, once, as frozen ones would be. What the library hands
 * out is kept to the end: there are few shapes. */
static bool prepare_bf16(const product *p) {
  dnnl_engine_t engine;
  dnnl_memory_desc_t a, b, c, plain;
  dnnl_matmul_desc_t description;
  dnnl_primitive_desc_t found, reorder;
  dnnl_primitive_t reordering;
  const dnnl_dim_t M = p->s.M, K = p->s.K, N = p->s.N;
  if (dnnl_engine_create(&engine, dnnl_cpu, 0) || dnnl_stream_create(&bf16.stream, engine, 0)) return false;
  dnnl_memory_desc_init_by_tag(&a, 2, (dnnl_dims_t){M, K}, dnnl_bf16, dnnl_ab);
  dnnl_memory_desc_init_by_tag(&b, 2, (dnnl_dims_t){K, N}, dnnl_bf16, dnnl_format_tag_any);
  dnnl_memory_desc_init_by_tag(&c, 2, (dnnl_dims_t){M, N}, dnnl_f32, dnnl_ab);
  dnnl_memory_desc_init_by_tag(&plain, 2, (dnnl_dims_t){K, N}, dnnl_bf16, dnnl_ab);
  if (dnnl_matmul_desc_init(&description, &a, &b, NULL, &c) ||
      dnnl_primitive_desc_create(&found, &description, NULL, engine, NULL) ||
      dnnl_primitive_create(&bf16.primitive, found))
    return false;
  const dnnl_memory_desc_t *chosen = dnnl_primitive_desc_query_md(found, dnnl_query_weights_md, 0);
  bf16.weights = memory_of(engine, chosen, DNNL_MEMORY_ALLOCATE);
  if (dnnl_reorder_primitive_desc_create(&reorder, &plain, engine, chosen, engine, NULL) ||
      dnnl_primitive_create(&reordering, reorder))
    return false;
  const dnnl_exec_arg_t move[] = {{DNNL_ARG_FROM, memory_of(engine, &plain, p->B16)},
                                  {DNNL_ARG_TO, bf16.weights}};
  dnnl_primitive_execute(reordering, bf16.stream, 2, move);
  bf16.arguments[0] = (dnnl_exec_arg_t){DNNL_ARG_SRC, memory_of(engine, &a, p->A16)};
  bf16.arguments[1] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, bf16.weights};
  bf16.arguments[2] = (dnnl_exec_arg_t){DNNL_ARG_DST, memory_of(engine, &c, p->C)};
  return !dnnl_stream_wait(bf16.stream);
}

static void by_onednn_bf16(const product *p) {
  (void)p;
  dnnl_primitive_execute(bf16.primitive, bf16.stream, 3, bf16.arguments);
  dnnl_stream_wait(bf16.stream);
}
#endif

static const library libraries[] = {
    {"ld_gemm", "f32", door_in_f32, by_door},           {"ld_gemm", "bf16", door_in_bf16, by_door},
    {"ld_gemm", "bf16-amx", door_in_bf16_amx, by_door}, {"OpenBLAS", "f32", NULL, by_openblas},
    {"oneDNN", "f32", find_onednn, by_onednn},
#ifdef BENCH_DNNL
    {"oneDNN", "bf16", prepare_bf16, by_onednn_bf16},
#endif
};

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double stretch(const library *l, const product *p, double seconds) {
  const double begin = now(), flops = 2.0 * p->s.M * p->s.K * p->s.N;
  double at;
  int n = 0;
  do {
    l->multiply(p);
    n++;
  } while ((at = now()) - begin < seconds);
  return n * flops / (at - begin) / 1e9;
}

static void measure(const library *l, const product *p, double seconds) {
  if (l->prepare && !l->prepare(p)) return;
  l->multiply(p);
  double best = 0;
  for (int i = 0; i < STRETCHES; i++) {
    const double rate = stretch(l, p, seconds / STRETCHES);
    if (rate > best) best = rate;
  }
  printf("{\"library\": \"%s\", \"precision\": \"%s\", \"M\": %d, \"K\": %d, \"N\": %d, \"gflops\": %.2f}\n",
         l->name, l->precision, p->s.M, p->s.K, p->s.N, best);
  fflush(stdout);
}

static void fill(float *values, uint16_t *halves, size_t n) {
  uint32_t state = 1;
  for (size_t i = 0; i < n; i++) {
    state = state * 1664525u + 1013904223u;
    values[i] = (float)(state >> 8) / (float)(1 << 24) - 0.5f;
    uint32_t bits;
    memcpy(&bits, &values[i], sizeof bits);
    halves[i] = (uint16_t)(bits >> 16);
  }
}

static void *room(size_t bytes) {
  void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!p) exit(1);
  return p;
}

static void measure_library(const library *l, double seconds) {
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    const shape s = shapes[i];
    const size_t a = (size_t)s.M * (size_t)s.K, b = (size_t)s.K * (size_t)s.N, c = (size_t)s.M * (size_t)s.N;
    const product p = {s, room(4 * a), room(4 * b), room(4 * c), room(2 * a), room(2 * b)};
    fill(p.A, p.A16, a);
    fill(p.B, p.B16, b);
    measure(l, &p, seconds);
    free(p.A);
    free(p.B);
    free(p.C);
    free(p.A16);
    free(p.B16);
  }
}

int main(int argc, char **argv) {
  const double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.3;
  const char *threads = getenv("OMP_NUM_THREADS");
  if (!threads || strcmp(threads, "1") != 0) { /* oneDNN's OpenMP read it before main() */
    setenv("OMP_NUM_THREADS", "1", 1);
    execv("/proc/self/exe", argv);
  }
  openblas_set_num_threads(1);
  /* One library after the other: oneDNN gives back AMX's registers, which ours sets up once. */
  for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) measure_library(&libraries[i], seconds);
  return 0;
}
