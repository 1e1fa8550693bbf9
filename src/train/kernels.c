#include "train/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
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
