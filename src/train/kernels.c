#include "train/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/gemm.h"
#include "base/log.h"
#include "base/text.h"

/* What a rank computes with. */
typedef struct kernels {
  char name[32];
  bool fused;
} kernels;

static bool alike(const kernels *a, const kernels *b) {
  return a->fused == b->fused && (a->fused || !strcmp(a->name, b->name));
}

/* "avx512 on h1, Nehalem on h2, h3": each kind with its hosts, once. */
static void list(const ld_comm *comm, const kernels *all, ld_text *out) {
  for (int r = 0; r < ld_comm_size(comm); r++) {
    int first = 0;
    while (strcmp(all[first].name, all[r].name)) first++;
    if (first < r) continue;
    ld_text_printf(out, "%s%s on", out->length ? "; " : "", all[r].name);
    const char *before = "";
    for (int k = r; k < ld_comm_size(comm); k++) {
      const char *host = ld_comm_host_of(comm, k);
      if (strcmp(all[k].name, all[r].name) || !strcmp(host, before)) continue;
      ld_text_printf(out, "%s %s", *before ? "," : "", host);
      before = host;
    }
  }
}

static int settle(ld_comm *comm, const kernels *all, bool mixed, const char *found, ld_error *err) {
  if (mixed) {
    ld_warn("--mixed-cpus: the ranks' kernels round differently (%s): on another number of ranks the adapter "
            "will have other bits",
            found);
    return 0;
  }
  int level = ld_gemm_level(all[0].name);
  for (int r = 1; r < ld_comm_size(comm); r++) {
    const int own = ld_gemm_level(all[r].name);
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

int ld_kernels_agree(ld_comm *comm, bool mixed, ld_error *err) {
  kernels mine = {.fused = ld_gemm_fused()}, *all;
  void *gathered;
  size_t bytes;
  snprintf(mine.name, sizeof mine.name, "%s", ld_gemm_kernel());
  ld_comm_gather_all(comm, &mine, sizeof mine, &gathered, &bytes);
  all = gathered;
  int r = 1, rc = 0;
  while (r < ld_comm_size(comm) && alike(&all[0], &all[r])) r++;
  if (r < ld_comm_size(comm)) {
    ld_text found = {0};
    list(comm, all, &found);
    rc = settle(comm, all, mixed, found.bytes, err);
    ld_text_free(&found);
  }
  free(gathered);
  return rc;
}
