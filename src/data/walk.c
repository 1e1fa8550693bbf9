#include "data/walk.h"

#include <stdlib.h>
#include <string.h>

#include "data/fetch.h"

int ld_corpus_walk(const ld_corpus *corpus, ld_comm *comm, int unit, const ld_walk *walk, ld_error *err) {
  const int64_t n_rows = corpus->plan->n_rows, window = (int64_t)unit * ld_comm_size(comm);
  ld_text mine = {0};
  int64_t until = 0, row = 0;
  int rc = 0, sunk = 0; /* the sink's error, which only rank 0 knows: agreed on with the next window's */
  for (int64_t begin = 0; begin < n_rows && !rc; begin += window) {
    rc = ld_corpus_fetch_next(corpus, comm, begin, unit, &until, 0, err);
    if (rc) break;
    const int64_t first = begin + (int64_t)unit * ld_comm_rank(comm), rest = n_rows - first;
    ld_text_clear(&mine);
    if (!sunk && rest > 0) rc = walk->work(first, rest < unit ? (int)rest : unit, &mine, walk->worker, err);
    rc = ld_comm_agree(comm, sunk ? sunk : rc, err);
    if (rc) break;
    void *all;
    size_t bytes;
    ld_comm_gather_all(comm, mine.bytes, mine.length, &all, &bytes);
    for (const char *at = all, *end = at + bytes; at < end && ld_comm_rank(comm) == 0 && !sunk;
         at += strlen(at) + 1)
      sunk = walk->sink(row++, at, walk->receiver, err);
    free(all);
  }
  ld_text_free(&mine);
  return rc ? rc : ld_comm_agree(comm, sunk, err);
}
