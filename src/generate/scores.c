#include "generate/scores.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "data/fetch.h"

/* Counts of this rank's records, as one array of integers for the sum over all ranks. */
typedef struct counts {
  ld_text_sums sums;
  int64_t n;
} counts;

typedef struct comparison {
  counts counts;
  bool stem;
} comparison;

static void compare(int64_t row, const char *text, const ld_text *references, void *user) {
  (void)row;
  comparison *c = user;
  size_t n = 0;
  for (size_t at = 0; at < references->length; at += strlen(references->bytes + at) + 1) n++;
  if (!n) return;
  const char **list = ld_alloc(n, sizeof *list);
  for (size_t i = 0, at = 0; i < n; i++, at += strlen(references->bytes + at) + 1)
    list[i] = references->bytes + at;
  ld_text_sums_add(&c->counts.sums, &(ld_written){text, list, n, c->stem});
  c->counts.n++;
  free(list);
}

/* This rank's rows. */
static int compare_rows(ld_generator *g, const ld_corpus *corpus, int64_t n_rows, comparison *c,
                        ld_error *err) {
  const int unit = g->settings->together, size = ld_comm_size(g->comm), rank = ld_comm_rank(g->comm);
  int64_t until = 0;
  int rc = 0;
  for (int64_t first = 0; first < n_rows; first += unit) {
    ld_comm_poll(g->comm);
    rc = ld_corpus_fetch_next(corpus, g->comm, first, unit, &until, rc, err);
    if (rc || first / unit % size != rank) continue; /* the others still wait for what is fetched together */
    const int64_t rest = n_rows - first;
    rc = ld_records_write(g, corpus, first, rest < unit ? (int)rest : unit, compare, c, err);
  }
  return rc;
}

int ld_text_scores_find(ld_generator *g, const ld_corpus *corpus, int64_t most, bool stem,
                        ld_text_scores *out, ld_error *err) {
  comparison c = {.stem = stem};
  const int64_t all = corpus->plan->n_rows, n_rows = most && most < all ? most : all;
  int rc = compare_rows(g, corpus, n_rows, &c, err);
  rc = ld_comm_agree(g->comm, rc, err);
  if (rc) return rc;
  ld_comm_sum_i64(g->comm, (int64_t *)&c.counts, sizeof c.counts / sizeof(int64_t));
  if (!c.counts.n)
    return ld_fail(err, LD_EMISMATCH,
                   "%s: no record says what is to be written, so that there is nothing to compare",
                   ld_dataset_path(corpus->dataset));
  out->n = c.counts.n;
  for (size_t i = 0; i < LD_N_TEXT_METRICS; i++)
    out->value[i] = ld_text_metric_at(i)->value(c.counts.sums.of[i]);
  return 0;
}

void ld_text_scores_put(const ld_text_scores *scores, int more, ld_text *out) {
  for (size_t i = 0; i < LD_N_TEXT_METRICS; i++) {
    const ld_metric *metric = &ld_text_metric_at(i)->metric;
    ld_text_printf(out, "%s%s %.*f", i ? "  " : "", metric->name, metric->digits + more, scores->value[i]);
  }
}
