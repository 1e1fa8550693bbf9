#include "train/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "linalg/gemm.h"
#include "train/fingerprint.h"

/* What a rank computes with, as the other ranks receive it; the label comes first. */
typedef struct kernels {
  char label[160];
  bool fused;
  ld_fingerprint fingerprint;
} kernels;

static bool same_label(const kernels *all, int a, int b) {
  return !strcmp(all[a].label, all[b].label);
}

/* "rank 3" or "ranks 0-2, 5": those with the label of rank `first`. */
static void list_ranks(const kernels *all, int n, int first, ld_text *out) {
  bool several = false;
  for (int r = first + 1; r < n; r++) several = several || same_label(all, first, r);
  ld_text_puts(out, several ? "ranks" : "rank");
  for (int r = first, last; r < n; r = last + 1) {
    for (last = r; last + 1 < n && same_label(all, first, last + 1); last++) continue;
    if (!same_label(all, first, r)) continue;
    ld_text_printf(out, r > first ? ", %d" : " %d", r);
    if (last > r) ld_text_printf(out, "-%d", last);
  }
}

/* "avx512 on ranks 0-3 of h1; Nehalem on ranks 4, 5 of h2, h3": each label with its ranks and hosts. */
static void list(const ld_comm *comm, const kernels *all, ld_text *out) {
  const int n = ld_comm_size(comm);
  for (int r = 0; r < n; r++) {
    int first = 0;
    while (!same_label(all, first, r)) first++;
    if (first < r) continue;
    ld_text_printf(out, "%s%s on ", out->length ? "; " : "", all[r].label);
    list_ranks(all, n, r, out);
    const char *before = "";
    for (int k = r; k < n; k++) {
      const char *host = ld_comm_host_of(comm, k);
      if (!same_label(all, r, k) || !strcmp(host, before)) continue;
      ld_text_printf(out, "%s %s", *before ? "," : " of", host);
      before = host;
    }
  }
}

/* The kernels of all ranks. The caller frees. Collective. */
static kernels *gather(ld_comm *comm, const kernels *mine) {
  void *all;
  size_t bytes;
  ld_comm_gather_all(comm, mine, sizeof *mine, &all, &bytes);
  return all;
}

static bool all_labels_equal(const ld_comm *comm, const kernels *all) {
  int r = 1;
  while (r < ld_comm_size(comm) && same_label(all, 0, r)) r++;
  return r == ld_comm_size(comm);
}

int ld_versions_agree(ld_comm *comm, const char *version, ld_error *err) {
  kernels mine = {.fused = false};
  snprintf(mine.label, sizeof mine.label, "%s", version);
  kernels *all = gather(comm, &mine);
  int rc = 0;
  if (!all_labels_equal(comm, all)) {
    ld_text found = {0};
    list(comm, all, &found);
    rc = ld_fail(err, LD_EMISMATCH,
                 "the ranks run different versions of lora_dist (%s): install the same on all hosts",
                 found.bytes);
    ld_text_free(&found);
  }
  free(all);
  return rc;
}

static int settle(ld_comm *comm, const kernels *all, bool mixed, const char *found, ld_error *err) {
  if (mixed) {
    ld_warn("--mixed-cpus: the ranks' kernels round differently (%s): on another number of ranks the adapter "
            "will have other bits",
            found);
    return 0;
  }
  int level = ld_gemm_level(all[0].label);
  for (int r = 1; r < ld_comm_size(comm); r++) {
    const int own = ld_gemm_level(all[r].label);
    if (own < level) level = own;
  }
  int rc = 0;
  if (level < 0 || !ld_gemm_pin(level))
    rc = ld_fail(
        err, LD_EUNSUPPORTED,
        "the ranks' kernels round differently (%s), and host %s has none in common with the others: use "
        "hosts of one kind, or --mixed-cpus at the cost of reproducibility",
        found, ld_comm_host(comm));
  rc = ld_comm_agree(comm, rc, err);
  if (!rc)
    ld_warn("the ranks' kernels would round differently (%s): all use OpenBLAS's %s, which all have", found,
            ld_gemm_kernel());
  return rc;
}

/* Agrees on kernels of one kind; *one says whether all ranks then have it. */
static int agree_on_kind(ld_comm *comm, bool mixed, bool *one, ld_error *err) {
  kernels mine = {.fused = ld_gemm_fused()};
  snprintf(mine.label, sizeof mine.label, "%s", ld_gemm_kernel());
  kernels *all = gather(comm, &mine);
  int r = 1, rc = 0;
  while (r < ld_comm_size(comm) && all[0].fused == all[r].fused && (all[0].fused || same_label(all, 0, r)))
    r++;
  *one = r == ld_comm_size(comm) || !mixed;
  if (r < ld_comm_size(comm)) {
    ld_text found = {0};
    list(comm, all, &found);
    rc = settle(comm, all, mixed, found.bytes, err);
    ld_text_free(&found);
  }
  free(all);
  return rc;
}

/* The names of the parts in which some rank differs from rank 0. */
static void name_differences(const ld_comm *comm, const kernels *all, ld_text *out) {
  for (int i = 0; i < LD_FINGERPRINT_PARTS; i++) {
    bool equal = true;
    for (int r = 1; r < ld_comm_size(comm); r++)
      equal = equal && all[r].fingerprint.part[i] == all[0].fingerprint.part[i];
    if (!equal) ld_text_printf(out, "%s%s", out->length ? ", " : "", ld_fingerprint_name(i));
  }
}

/* Adds a number for all parts to the label, so that ranks of one build that compute differently have
 * different labels. */
static void mark(kernels *one) {
  uint64_t sum = 0;
  for (int i = 0; i < LD_FINGERPRINT_PARTS; i++) sum = (sum ^ one->fingerprint.part[i]) * 0x9E3779B97F4A7C15u;
  const size_t length = strlen(one->label);
  snprintf(one->label + length, sizeof one->label - length, ", fingerprint %08x", (unsigned)(sum >> 32));
}

static int compare(const ld_comm *comm, kernels *all, bool mixed, ld_error *err) {
  ld_text differences = {0}, found = {0};
  const bool one_build = all_labels_equal(comm, all);
  int rc = 0;
  name_differences(comm, all, &differences);
  for (int r = 0; differences.length && r < ld_comm_size(comm); r++) mark(&all[r]);
  list(comm, all, &found);
  if (!differences.length && !one_build)
    ld_info("the ranks' programs are different builds, which compute the same bits: %s", found.bytes);
  else if (differences.length && mixed)
    ld_warn("--mixed-cpus: the ranks compute different bits (%s: %s): on another number of ranks the adapter "
            "will "
            "have other bits",
            differences.bytes, found.bytes);
  else if (differences.length)
    rc =
        ld_fail(err, LD_EMISMATCH,
                "the ranks compute different bits in %s (%s): use the same program, libm and OpenBLAS on all "
                "hosts, or --mixed-cpus to give up equal bits",
                differences.bytes, found.bytes);
  ld_text_free(&differences);
  ld_text_free(&found);
  return rc;
}

static int compare_fingerprints(ld_comm *comm, const char *build, bool mixed, ld_error *err) {
  kernels mine = {.fused = ld_gemm_fused()};
  snprintf(mine.label, sizeof mine.label, "%.100s", build);
  int rc = 0;
  if (!ld_fingerprint_take(&mine.fingerprint))
    rc = ld_fail(err, LD_EMEMORY, "host %s: out of memory at the start", ld_comm_host(comm));
  rc = ld_comm_agree(comm, rc, err);
  if (rc) return rc;
  kernels *all = gather(comm, &mine);
  rc = compare(comm, all, mixed, err);
  free(all);
  return rc;
}

int ld_kernels_agree(ld_comm *comm, const char *build, bool mixed, ld_error *err) {
  bool one = true;
  if (ld_comm_size(comm) == 1) return 0;
  const int rc = agree_on_kind(comm, mixed, &one, err);
  return rc || !one ? rc : compare_fingerprints(comm, build, mixed, err);
}

/* A product of about a layer's shape; both its bfloat16 and its float32 form take several blocks. */
enum { ROWS = 192, WIDTH = 768, ROUNDS = 5 };

/* In CPU time, which does not count when others have the core. */
static double cpu_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double time_product(const float *A, const float *B, float *C) {
  const double since = cpu_seconds();
  ld_gemm(ROWS, WIDTH, (ld_term){ld_float_factor(A, WIDTH, false), ld_float_factor(B, WIDTH, true), WIDTH, 1},
          0, C, WIDTH);
  return cpu_seconds() - since;
}

/* The factors of the product that is timed, its result, and that of the kernels that others are compared with. */
typedef struct trial {
  float *A, *B, *C, *reference;
} trial;

static trial begin_trial(void) {
  const size_t n = (size_t)ROWS * WIDTH;
  trial t = {ld_alloc(n, sizeof(float)), ld_alloc((size_t)WIDTH * WIDTH, sizeof(float)),
             ld_alloc(n, sizeof(float)), ld_alloc(n, sizeof(float))};
  for (size_t i = 0; i < n; i++) t.A[i] = (float)(i * 37 % 1009) / 504 - 1;
  for (size_t i = 0; i < (size_t)WIDTH * WIDTH; i++) t.B[i] = (float)(i * 41 % 1013) / 506 - 1;
  return t;
}

static void end_trial(trial *t) {
  free(t->A);
  free(t->B);
  free(t->C);
  free(t->reference);
}

/* Runs the product with these kernels; *best is the least time so far. */
static void run_trial(const trial *t, const char *kernel, float *C, double *best) {
  ld_gemm_use(kernel);
  const double time = time_product(t->A, t->B, C);
  if (time < *best) *best = time;
}

/* Small products, whose edges are parts of tiles, one after the other in C. */
static void run_edges(const trial *t, float *C) {
  static const int shapes[][3] = {{13, 20, 37}, {23, 40, 421}, {3, 50, 70}};
  for (int i = 0; i < 3; i++)
    for (int transposed = 0; transposed < 2; transposed++) {
      const int M = shapes[i][0], N = shapes[i][1], K = shapes[i][2];
      const ld_term term = {ld_float_factor(t->A, transposed ? M : K, transposed),
                            ld_float_factor(t->B, transposed ? N : K, !transposed), K, 1};
      ld_gemm(M, N, term, 0, C, N);
      C += (ptrdiff_t)M * N;
    }
}

/* Whether these kernels give the bits of the reference kernels, in all products. */
static bool same_bits(const trial *t, const char *kernel, const char *reference) {
  const void *C = t->C, *other = t->reference;
  const size_t bytes = (size_t)ROWS * WIDTH * sizeof *t->C;
  double time = 1e9;
  run_trial(t, reference, t->reference, &time);
  run_trial(t, kernel, t->C, &time);
  bool same = memcmp(C, other, bytes) == 0;
  run_edges(t, t->C);
  ld_gemm_use(reference);
  run_edges(t, t->reference);
  same = same && memcmp(C, other, bytes) == 0;
  return same;
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
  int n_equal = 0;
  for (int i = 0; i < n - 1; i++) {
    if (same_bits(t, names[i], last)) {
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
    for (int i = 0; i < n; i++) run_trial(&t, names[i], t.C, &best[i]);
  end_trial(&t);
  for (int i = 1; i < n; i++)
    if (best[i] < 0.95 * best[fastest]) fastest = i;
  ld_gemm_use(names[fastest]);
  int other = fastest ? 0 : 1;
  for (int i = 0; i < n; i++)
    if (i != fastest && best[i] < best[other]) other = i;
  return n > 1 ? (choice){names[fastest], names[other], best[other] / best[fastest]} : (choice){0};
}

void ld_kernels_choose(void) {
  const char *first = ld_gemm_kernel();
  const choice c = choose();
  if (c.fastest && strcmp(c.fastest, first) != 0)
    ld_info(
        "kernels %s, %.2f times as fast as %s on this processor (measured just now; the bits are the same)",
        c.fastest, c.ratio, c.other);
}

double ld_kernels_speed(enum ld_precision precision, int threads) {
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
    run_trial(&t, kernel[i % 2], t.C, &best[i % 2]);
  }
  end_trial(&t);
  return best[0] / best[1];
}

void ld_kernels_check(enum ld_precision precision, int threads) {
  const double speed = ld_kernels_speed(precision, threads);
  if (speed > 0 && speed < 0.9)
    ld_warn("--precision %s: on this processor products of bfloat16 have %.2f of the speed of float32 "
            "(measured just now): --precision f32 is faster, and rounds less",
            ld_precision_names[precision], speed);
}
