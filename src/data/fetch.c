#include "data/fetch.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "data/join.h"
#include "data/once.h"
#include "io/dataset/source_received.h"

/* How much all ranks together fetch at once: large enough for few exchanges, small enough to be held in
 * memory. */
enum { WINDOW_BYTES = 64 << 20 };

typedef struct open_work {
  const char *path;
  const ld_dataset_options *options;
  ld_dataset **out;
} open_work;

static int open_file(void *user, ld_error *err) {
  const open_work *work = user;
  return ld_dataset_open(work->path, work->options, work->out, err);
}

/* What one rank reads for its host. */
typedef struct data_reading {
  const ld_dataset *dataset; /* NULL: this rank does not have the data */
  ld_digests *digests;
  char digest[LD_DIGEST_TEXT + 1];
} data_reading;

/* Data that cannot be read here counts as missing, except on rank 0. */
static int read_data(void *self, ld_error *err) {
  data_reading *r = self;
  return r->dataset ? ld_source_digest(ld_dataset_source(r->dataset), r->digests, r->digest, err) : 0;
}

static uint64_t stamp_of(const ld_corpus *corpus) {
  return corpus->dataset ? ld_source_stamp(ld_dataset_source(corpus->dataset)) : 0;
}

/* Finds on every rank the digest of the data that it sees, and rank 0's. Collective. */
static int find_digest(ld_corpus *corpus, ld_comm *comm, char mine[LD_DIGEST_TEXT + 1], ld_error *err) {
  data_reading r = {.dataset = corpus->dataset, .digests = corpus->base->digests};
  int rc = ld_once_a_host(comm, stamp_of(corpus), read_data, &r, r.digest, sizeof r.digest, err);
  rc = ld_comm_agree(comm, ld_comm_rank(comm) ? 0 : rc, err);
  memcpy(mine, r.digest, sizeof r.digest);
  memcpy(corpus->digest, r.digest, sizeof r.digest);
  ld_comm_broadcast(comm, corpus->digest, sizeof corpus->digest, 0);
  return rc;
}

/* Warns of other data under the name of rank 0's: it may be a damaged copy. */
static void warn_of_others(const ld_corpus *corpus, ld_comm *comm, bool other) {
  ld_error what = {0};
  if (other)
    ld_fail(&what, LD_EMISMATCH,
            "%s: rank %d on host %s sees other data than rank 0 on host %s: it fetches rank 0's records",
            ld_dataset_path(corpus->dataset), ld_comm_rank(comm), ld_comm_host(comm),
            ld_comm_host_of(comm, 0));
  if (ld_comm_agree(comm, what.code, &what)) ld_warn("%s", what.text);
}

/* Finds which ranks have opened the same data as rank 0; the others close theirs. */
static int find_readers(ld_corpus *corpus, ld_comm *comm, ld_error *err) {
  const int size = corpus->n_ranks = ld_comm_size(comm), rank = ld_comm_rank(comm);
  int64_t *reads = ld_alloc((size_t)size, sizeof *reads);
  const bool one_copy = ld_once_is_one_copy(comm, corpus->dataset, stamp_of(corpus));
  char mine[LD_DIGEST_TEXT + 1] = "";
  const int rc = one_copy ? 0 : find_digest(corpus, comm, mine, err);
  reads[rank] = corpus->dataset && !strcmp(mine, corpus->digest);
  if (!one_copy) warn_of_others(corpus, comm, corpus->dataset && !reads[rank]);
  if (!reads[rank]) {
    ld_dataset_close(corpus->dataset);
    corpus->dataset = NULL;
  }
  ld_comm_sum_i64(comm, reads, (size_t)size);
  corpus->reads = ld_alloc((size_t)size, sizeof *corpus->reads);
  for (int i = 0; i < size; i++) corpus->n_readers += corpus->reads[i] = reads[i];
  free(reads);
  return rc;
}

/* Ranks without the data build their data sets from what rank 0 sends. Collective. */
static int open_received(ld_corpus *corpus, ld_comm *comm, const char *path,
                         const ld_dataset_options *options, ld_error *err) {
  ld_text opening = {0};
  if (ld_comm_rank(comm) == 0) {
    ld_dataset_put_opening(corpus->dataset, &opening);
    corpus->unit_bytes = (int64_t)ld_source_unit_bytes(ld_dataset_source(corpus->dataset));
  }
  ld_comm_broadcast_text(comm, &opening, 0);
  ld_comm_broadcast(comm, &corpus->unit_bytes, sizeof corpus->unit_bytes, 0);
  int rc = 0;
  if (!corpus->dataset)
    rc = ld_dataset_open_received(path, options, opening.bytes, opening.length, &corpus->dataset, err);
  ld_text_free(&opening);
  return ld_comm_agree(comm, rc, err);
}

static int open_everywhere(ld_corpus *corpus, ld_comm *comm, const char *path,
                           const ld_dataset_options *options, ld_error *err) {
  open_work work = {path, options, &corpus->dataset};
  const bool first = ld_comm_rank(comm) == 0;
  ld_error unseen = {0};
  int rc = ld_comm_meanwhile(comm, open_file, &work, first ? err : &unseen);
  rc = ld_comm_agree(comm, first ? rc : 0, err);
  if (!rc) rc = find_readers(corpus, comm, err);
  return rc || !ld_corpus_is_fetched(corpus) ? rc : open_received(corpus, comm, path, options, err);
}

int ld_corpus_open_data(ld_corpus *corpus, ld_comm *comm, const char *path, const ld_dataset_options *options,
                        ld_error *err) {
  ld_dataset_options all = *options;
  ld_join join;
  int rc = ld_join_begin(&join, path, corpus, &all, comm, err);
  if (!rc) rc = open_everywhere(corpus, comm, join.label.bytes, &all, err);
  ld_join_end(&join, comm);
  return rc;
}

int ld_corpus_find_digest(ld_corpus *corpus, ld_comm *comm, ld_error *err) {
  char mine[LD_DIGEST_TEXT + 1];
  return corpus->digest[0] ? 0 : find_digest(corpus, comm, mine, err);
}

static int read_old(void *self, ld_error *err) {
  data_reading *r = self;
  (void)err;
  ld_source_old_digest(ld_dataset_source(r->dataset), r->digest);
  return 0;
}

bool ld_corpus_has_digest(const ld_corpus *corpus, ld_comm *comm, const char *digest) {
  if (!ld_digest_is_old(digest)) return !strcmp(digest, corpus->digest);
  data_reading r = {.dataset = corpus->dataset};
  if (ld_comm_rank(comm) == 0) ld_comm_meanwhile(comm, read_old, &r, NULL);
  ld_comm_broadcast(comm, r.digest, sizeof r.digest, 0);
  return !strcmp(digest, r.digest);
}

bool ld_corpus_is_fetched(const ld_corpus *corpus) {
  return corpus->n_readers < corpus->n_ranks;
}

static int64_t row_bytes(const ld_corpus *corpus, int64_t row) {
  const ld_row *r = &corpus->plan->rows[row];
  int64_t units = 0;
  for (int p = 0; p < r->n_pieces; p++)
    units += (int64_t)corpus->records[corpus->plan->pieces[r->first_piece + (size_t)p].record].bytes;
  return units * corpus->unit_bytes;
}

int64_t ld_corpus_window(const ld_corpus *corpus, const int64_t *rows, int64_t n, int64_t unit) {
  int64_t bytes = 0, i = 0;
  if (!ld_corpus_is_fetched(corpus)) return n;
  while (i < n && bytes < WINDOW_BYTES) {
    bytes += row_bytes(corpus, rows[i]);
    i++;
  }
  if (i == n) return n;
  const int64_t whole = i / unit * unit;
  return whole ? whole : unit < n ? unit : n;
}

/* Appends the records of one rank's rows. */
static int put_records(const ld_corpus *corpus, const int64_t *rows, const int *owners, int64_t n, int rank,
                       ld_text *out, ld_error *err) {
  const ld_plan *plan = corpus->plan;
  const ld_source *source = ld_dataset_source(corpus->dataset);
  int64_t last = -1; /* a long record is spread over rows */
  for (int64_t i = 0; i < n; i++) {
    if (owners[i] != rank) continue;
    const ld_row *row = &plan->rows[rows[i]];
    for (int p = 0; p < row->n_pieces; p++) {
      const int64_t i_record = plan->pieces[row->first_piece + (size_t)p].record;
      const ld_record *record = &corpus->records[i_record];
      const int rc = i_record == last ? 0 : ld_source_put(source, record->offset, record->bytes, out, err);
      if (rc) return rc;
      last = i_record;
    }
  }
  return 0;
}

static void send_text(ld_comm *comm, const ld_text *text, int to) {
  const uint64_t length = text->length;
  ld_comm_send(comm, &length, sizeof length, to);
  ld_comm_send(comm, text->bytes, length, to);
}

static int receive(const ld_corpus *corpus, ld_comm *comm, int from, ld_error *err) {
  uint64_t length;
  ld_comm_receive(comm, &length, sizeof length, from);
  char *bytes = ld_alloc(length, 1);
  ld_comm_receive(comm, bytes, length, from);
  return ld_source_receive(ld_dataset_source(corpus->dataset), bytes, length, err);
}

/* The rank that serves the k-th rank without the data: the readers take turns. */
static int server_of(const ld_corpus *corpus, int k) {
  int rank = 0;
  for (int i = k % corpus->n_readers; i || !corpus->reads[rank]; rank++) i -= corpus->reads[rank];
  return rank;
}

int ld_corpus_fetch(const ld_corpus *corpus, ld_comm *comm, const int64_t *rows, const int *owners, int64_t n,
                    ld_error *err) {
  if (!ld_corpus_is_fetched(corpus)) return 0;
  int rc = 0;
  for (int rank = 0, k = 0; rank < corpus->n_ranks; rank++) {
    if (corpus->reads[rank]) continue;
    const int server = server_of(corpus, k++);
    if (ld_comm_rank(comm) == server) {
      ld_text text = {0}; /* sent empty after a failure, since the other rank waits for it */
      if (!rc) rc = put_records(corpus, rows, owners, n, rank, &text, err);
      if (rc) ld_text_clear(&text);
      send_text(comm, &text, rank);
      ld_text_free(&text);
    } else if (ld_comm_rank(comm) == rank) {
      rc = receive(corpus, comm, server, err);
    }
  }
  return ld_comm_agree(comm, rc, err);
}

int ld_corpus_owner(int64_t first, int64_t micro_batch, const ld_comm *comm) {
  return (int)(first / micro_batch % ld_comm_size(comm));
}

/* The owners of the n rows from `first` on, and how many of them to fetch at once, in whole microbatches. */
static int64_t own_rows(const ld_corpus *corpus, const ld_comm *comm, int64_t first, int64_t micro_batch,
                        const int64_t *rows, int *owners, int64_t n) {
  const int64_t most = ld_corpus_window(corpus, rows, n, micro_batch * ld_comm_size(comm));
  int64_t i = 0;
  for (int64_t taken; i < most; i += taken) {
    taken = ld_plan_take(corpus->plan, NULL, first + i, n - i, micro_batch);
    for (int64_t k = i; k < i + taken; k++) owners[k] = ld_corpus_owner(first + i, micro_batch, comm);
  }
  return i;
}

int ld_corpus_fetch_next(const ld_corpus *corpus, ld_comm *comm, int64_t first, int64_t micro_batch,
                         int64_t *until, int rc, ld_error *err) {
  if (!ld_corpus_is_fetched(corpus) || first < *until) return rc;
  rc = ld_comm_agree(comm, rc, err);
  if (rc) {
    *until = corpus->plan->n_rows; /* on all ranks: no rank fetches again before the end of the walk */
    return rc;
  }
  int64_t n = corpus->plan->n_rows - first, *rows = ld_alloc((size_t)n, sizeof *rows);
  int *owners = ld_alloc((size_t)n, sizeof *owners);
  for (int64_t i = 0; i < n; i++) rows[i] = first + i;
  n = own_rows(corpus, comm, first, micro_batch, rows, owners, n);
  *until = first + n;
  rc = ld_corpus_fetch(corpus, comm, rows, owners, n, err);
  if (rc) *until = corpus->plan->n_rows;
  free(rows);
  free(owners);
  return rc;
}
