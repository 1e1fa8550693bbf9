/* How many rows ranks without the data fetch at once. */
#include <criterion/criterion.h>

#include "data/fetch.h"

enum { N = 10 };

typedef struct setting {
  ld_record records[N];
  ld_row_piece pieces[N];
  ld_row rows[N];
  ld_plan plan;
  ld_corpus corpus;
  int64_t order[N];
} setting;

/* Ten rows of one record each, of so many MiB. */
static void begin(setting *s, uint64_t mib) {
  *s = (setting){.corpus = {.n_records = N, .n_ranks = 3, .n_readers = 1, .unit_bytes = 1}};
  for (int i = 0; i < N; i++) {
    s->records[i].bytes = mib << 20;
    s->pieces[i].record = i;
    s->rows[i] = (ld_row){.first_piece = (size_t)i, .n_pieces = 1};
    s->order[i] = N - 1 - i;
  }
  s->plan = (ld_plan){.rows = s->rows, .n_rows = N, .pieces = s->pieces};
  s->corpus.records = s->records;
  s->corpus.plan = &s->plan;
}

Test(fetch, few_bytes_go_at_once) {
  setting s;
  begin(&s, 1);
  cr_assert_eq(ld_corpus_window(&s.corpus, s.order, N, 3), N);
  cr_assert_eq(ld_corpus_window(&s.corpus, s.order, 7, 3), 7);
  cr_assert_eq(ld_corpus_window(&s.corpus, s.order, 0, 3), 0);
}

Test(fetch, many_bytes_go_in_whole_units) {
  setting s;
  begin(&s, 16);
  cr_assert_eq(ld_corpus_window(&s.corpus, s.order, N, 3), 3);
  cr_assert_eq(ld_corpus_window(&s.corpus, s.order, N, 2), 4);
  cr_assert_eq(ld_corpus_window(&s.corpus, s.order, 2, 3), 2);
  s.records[9].bytes = 0; /* the first in this order */
  cr_assert_eq(ld_corpus_window(&s.corpus, s.order, N, 1), 5);
}

Test(fetch, a_unit_goes_whatever_its_bytes) {
  setting s;
  begin(&s, 1000);
  cr_assert_eq(ld_corpus_window(&s.corpus, s.order, N, 4), 4);
  cr_assert_eq(ld_corpus_window(&s.corpus, s.order, 3, 4), 3);
}

Test(fetch, units_count_by_their_mean) {
  setting s;
  begin(&s, 0);
  for (int i = 0; i < N; i++) s.records[i].bytes = 1;
  s.corpus.unit_bytes = 32 << 20;
  cr_assert_eq(ld_corpus_window(&s.corpus, s.order, N, 1), 2);
}

Test(fetch, nothing_is_limited_where_all_read) {
  setting s;
  begin(&s, 1000);
  s.corpus.n_readers = 3;
  cr_assert(!ld_corpus_is_fetched(&s.corpus));
  cr_assert_eq(ld_corpus_window(&s.corpus, s.order, N, 4), N);
}
