#include "train/agree.h"

#include <stdlib.h>

#include "io/hash.h"

static uint64_t hash_state(const ld_trainer *t) {
  const ld_params *params = t->base->params;
  const size_t bytes = params->n_floats * sizeof(float);
  const ld_progress *p = &t->progress;
  const int64_t place[] = {p->step, p->epoch, p->position, p->tokens, p->best_step};
  uint64_t hash = ld_hash(0, params->data, bytes);
  hash = ld_hash(hash, t->adamw.m, bytes);
  hash = ld_hash(hash, t->adamw.v, bytes);
  hash = ld_hash(hash, t->exact.exponent, t->exact.n_params * sizeof *t->exact.exponent);
  hash = ld_hash(hash, place, sizeof place);
  hash = ld_hash(hash, &p->best_loss, sizeof p->best_loss);
  return ld_hash(hash, &p->best_cost, sizeof p->best_cost);
}

static int count(const uint64_t *all, int n, uint64_t value) {
  int found = 0;
  for (int r = 0; r < n; r++) found += all[r] == value;
  return found;
}

/* The digest that most ranks hold; in a tie, that of the lowest rank. */
static uint64_t most_common(const uint64_t *all, int n) {
  int best = 0;
  for (int r = 1; r < n; r++)
    if (count(all, n, all[r]) > count(all, n, all[best])) best = r;
  return all[best];
}

/* Lists the ranks that do not hold `common`: "rank 1 on host h2, rank 5 on host h3". */
static void list_others(ld_comm *comm, const uint64_t *all, uint64_t common, ld_text *out) {
  enum { MOST = 8 };
  int listed = 0, left = 0;
  for (int r = 0; r < ld_comm_size(comm); r++) {
    if (all[r] == common) continue;
    if (listed == MOST) {
      left++;
      continue;
    }
    ld_text_printf(out, "%srank %d on host %s", listed++ ? ", " : "", r, ld_comm_host_of(comm, r));
  }
  if (left) ld_text_printf(out, " and %d more", left);
}

static int fail_state(const ld_trainer *t, const uint64_t *all, ld_error *err) {
  const int n = ld_comm_size(t->comm);
  const uint64_t common = most_common(all, n);
  const int n_common = count(all, n, common);
  ld_text others = {0}, rest = {0};
  list_others(t->comm, all, common, &others);
  if (2 * n_common > n)
    ld_text_printf(&rest, "the other %d", n_common);
  else if (n == 2)
    ld_text_printf(&rest, "rank 0 on host %s", ld_comm_host_of(t->comm, 0));
  else
    ld_text_puts(&rest, "the others");
  const int rc =
      ld_fail(err, LD_ENUMERIC,
              "step %lld: the ranks no longer hold the same parameters: %s differs from %s: faulty memory, a "
              "faulty processor or a faulty network. Nothing has been written since: the same command "
              "resumes from the latest checkpoint; leave that host out if it happens again",
              (long long)t->progress.step, others.bytes, rest.bytes);
  ld_text_free(&others);
  ld_text_free(&rest);
  return rc;
}

int ld_agree_on_state(const ld_trainer *t, ld_error *err) {
  if (ld_comm_size(t->comm) == 1) return 0;
  const uint64_t mine = hash_state(t);
  void *all;
  size_t bytes;
  ld_comm_gather_all(t->comm, &mine, sizeof mine, &all, &bytes);
  const bool same = count(all, ld_comm_size(t->comm), mine) == ld_comm_size(t->comm);
  const int rc = ld_comm_agree(t->comm, same ? 0 : fail_state(t, all, err), err);
  free(all);
  return rc;
}
