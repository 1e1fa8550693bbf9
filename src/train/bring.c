/* Sending records to the ranks that cannot read them. */
#include <stdlib.h>

#include "base/memory.h"
#include "train/corpus.h"

/* What is sent at once, over all ranks: enough that few exchanges are needed, little enough to be held. */
enum { WINDOW_BYTES = 64 << 20 };

bool ld_corpus_is_apart(const ld_corpus *corpus) {
  return corpus->n_readers < corpus->n_ranks;
}

static int64_t row_bytes(const ld_corpus *corpus, int64_t row) {
  const ld_row *r = &corpus->plan->rows[row];
  int64_t bytes = 0;
  for (int p = 0; p < r->n_pieces; p++)
    bytes += corpus->image_bytes
                 ? corpus->image_bytes
                 : (int64_t)corpus->records[corpus->plan->pieces[r->first_piece + (size_t)p].record].bytes;
  return bytes;
}

int64_t ld_corpus_window(const ld_corpus *corpus, const int64_t *rows, int64_t n, int64_t unit) {
  int64_t bytes = 0, i = 0;
  if (!ld_corpus_is_apart(corpus)) return n;
  while (i < n && bytes < WINDOW_BYTES) {
    bytes += row_bytes(corpus, rows[i]);
    i++;
  }
  if (i == n) return n;
  const int64_t whole = i / unit * unit;
  return whole ? whole : unit < n ? unit : n;
}

/* The records of one rank's rows. */
static int fetch(const ld_corpus *corpus, const int64_t *rows, const int *owners, int64_t n, int rank,
                 ld_text *out, ld_error *err) {
  const ld_plan *plan = corpus->plan;
  int64_t last = -1; /* a long record is spread over rows */
  for (int64_t i = 0; i < n; i++) {
    if (owners[i] != rank) continue;
    const ld_row *row = &plan->rows[rows[i]];
    for (int p = 0; p < row->n_pieces; p++) {
      const int64_t record = plan->pieces[row->first_piece + (size_t)p].record;
      const int rc =
          record == last ? 0 : ld_dataset_fetch(corpus->dataset, &corpus->records[record], out, err);
      if (rc) return rc;
      last = record;
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
  const int rc = ld_dataset_deliver(corpus->dataset, bytes, length, err);
  free(bytes);
  return rc;
}

/* The rank that serves the k-th of those that cannot read: the readers in turn. */
static int server_of(const ld_corpus *corpus, int k) {
  int rank = 0;
  for (int i = k % corpus->n_readers; i || !corpus->reads[rank]; rank++) i -= corpus->reads[rank];
  return rank;
}

int ld_corpus_bring(const ld_corpus *corpus, ld_comm *comm, const int64_t *rows, const int *owners, int64_t n,
                    ld_error *err) {
  if (!ld_corpus_is_apart(corpus)) return 0;
  int rc = 0;
  for (int rank = 0, k = 0; rank < corpus->n_ranks; rank++) {
    if (corpus->reads[rank]) continue;
    const int server = server_of(corpus, k++);
    if (ld_comm_rank(comm) == server) {
      ld_text text = {0}; /* sent empty after a failure, since it is waited for */
      if (!rc) rc = fetch(corpus, rows, owners, n, rank, &text, err);
      if (rc) ld_text_clear(&text);
      send_text(comm, &text, rank);
      ld_text_free(&text);
    } else if (ld_comm_rank(comm) == rank) {
      rc = receive(corpus, comm, server, err);
    }
  }
  return ld_comm_agree(comm, rc, err);
}

int ld_corpus_bring_next(const ld_corpus *corpus, ld_comm *comm, int64_t first, int64_t micro_batch,
                         int64_t *until, int rc, ld_error *err) {
  if (!ld_corpus_is_apart(corpus) || first < *until) return rc;
  rc = ld_comm_agree(comm, rc, err);
  if (rc) {
    *until = corpus->plan->n_rows; /* on all ranks: the walk only comes to its end */
    return rc;
  }
  const int size = ld_comm_size(comm);
  int64_t n = corpus->plan->n_rows - first, *rows = ld_alloc((size_t)n, sizeof *rows);
  int *owners = ld_alloc((size_t)n, sizeof *owners);
  for (int64_t i = 0; i < n; i++) {
    rows[i] = first + i;
    owners[i] = (int)((first + i) / micro_batch % size);
  }
  n = ld_corpus_window(corpus, rows, n, micro_batch * size);
  *until = first + n;
  rc = ld_corpus_bring(corpus, comm, rows, owners, n, err);
  if (rc) *until = corpus->plan->n_rows;
  free(rows);
  free(owners);
  return rc;
}
