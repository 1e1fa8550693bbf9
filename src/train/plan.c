#include "train/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"

static void add_totals(ld_plan *plan) {
  for (int64_t i = 0; i < plan->n_rows; i++) {
    const ld_row *row = &plan->rows[i];
    plan->n_tokens += row->n_tokens;
    plan->n_targets += row->n_targets;
    if (row->n_tokens > plan->longest) plan->longest = row->n_tokens;
  }
}

/* A record to be put into a row: its number and its length after cutting. */
typedef struct item {
  int64_t record;
  int32_t length;
} item;

static int longer_first(const void *a, const void *b) {
  const item *x = a, *y = b;
  if (x->length != y->length) return x->length < y->length ? 1 : -1;
  return x->record < y->record ? -1 : 1;
}

/* Rows by the room that they have left, as stacks: room_top[r] is a row with room r, next[row] the one below.
 */
typedef struct shelf {
  int64_t *top, *next;
  int seq_len;
} shelf;

static void put_on_shelf(shelf *rows, int64_t row, int room) {
  rows->next[row] = rows->top[room];
  rows->top[room] = row;
}

/* Takes a row with the least room that is still enough; -1 when there is none. */
static int64_t take_from_shelf(shelf *rows, int room, int *found) {
  for (int r = room; r <= rows->seq_len; r++) {
    if (rows->top[r] < 0) continue;
    const int64_t row = rows->top[r];
    rows->top[r] = rows->next[row];
    *found = r;
    return row;
  }
  return -1;
}

/* Gives each item a row number; returns the number of rows. */
static int64_t best_fit(const item *items, int64_t n, int seq_len, int64_t *row_of) {
  shelf rows = {ld_alloc((size_t)seq_len + 1, sizeof(int64_t)), ld_alloc((size_t)n, sizeof(int64_t)),
                seq_len};
  int64_t n_rows = 0;
  for (int r = 0; r <= seq_len; r++) rows.top[r] = -1;
  for (int64_t i = 0; i < n; i++) {
    int room = seq_len;
    int64_t row = take_from_shelf(&rows, items[i].length, &room);
    if (row < 0) row = n_rows++;
    row_of[i] = row;
    put_on_shelf(&rows, row, room - items[i].length);
  }
  free(rows.top);
  free(rows.next);
  return n_rows;
}

/* An item with its row; sorted, rows stand in the order of their first record. */
typedef struct placed {
  int64_t row, record, row_first;
  int32_t length;
} placed;

static int by_row(const void *a, const void *b) {
  const placed *x = a, *y = b;
  if (x->row_first != y->row_first) return x->row_first < y->row_first ? -1 : 1;
  return x->record < y->record ? -1 : x->record > y->record;
}

static placed *place_items(const item *items, int64_t n, int seq_len, bool pack) {
  int64_t *row_of = ld_alloc((size_t)n, sizeof *row_of), *first = ld_alloc((size_t)n, sizeof *first);
  if (pack)
    best_fit(items, n, seq_len, row_of);
  else
    for (int64_t i = 0; i < n; i++) row_of[i] = i;
  memset(first, 0x7f, (size_t)n * sizeof *first);
  for (int64_t i = 0; i < n; i++)
    if (items[i].record < first[row_of[i]]) first[row_of[i]] = items[i].record;
  placed *sorted = ld_alloc((size_t)n, sizeof *sorted);
  for (int64_t i = 0; i < n; i++)
    sorted[i] = (placed){row_of[i], items[i].record, first[row_of[i]], items[i].length};
  qsort(sorted, (size_t)n, sizeof *sorted, by_row);
  free(row_of);
  free(first);
  return sorted;
}

static int64_t usable_items(ld_plan *plan, const ld_length *lengths, int64_t n, int seq_len, item *items) {
  int64_t used = 0;
  for (int64_t i = 0; i < n; i++) {
    if (lengths[i].n_tokens > seq_len) plan->n_cut++;
    if (!lengths[i].n_targets) plan->n_idle++;
    if (!lengths[i].n_targets) continue;
    items[used++] = (item){i, lengths[i].n_tokens < seq_len ? lengths[i].n_tokens : seq_len};
  }
  return used;
}

ld_plan *ld_plan_records(const ld_length *lengths, int64_t n, int seq_len, bool pack) {
  ld_plan *plan = ld_alloc(1, sizeof *plan);
  item *items = ld_alloc((size_t)n, sizeof *items);
  const int64_t used = usable_items(plan, lengths, n, seq_len, items);
  if (pack) qsort(items, (size_t)used, sizeof *items, longer_first);
  placed *sorted = place_items(items, used, seq_len, pack);
  plan->rows = ld_alloc((size_t)used, sizeof *plan->rows);
  plan->pieces = ld_alloc((size_t)used, sizeof *plan->pieces);
  for (int64_t i = 0; i < used; i++) {
    if (!i || sorted[i].row != sorted[i - 1].row) plan->rows[plan->n_rows++].first_piece = (size_t)i;
    ld_row *row = &plan->rows[plan->n_rows - 1];
    plan->pieces[i] = (ld_piece){sorted[i].record, 0, sorted[i].length};
    row->n_pieces++;
    row->n_tokens += sorted[i].length;
    row->n_targets += lengths[sorted[i].record].n_targets;
  }
  free(sorted);
  free(items);
  add_totals(plan);
  return plan;
}

ld_plan *ld_plan_stream(const ld_length *lengths, int64_t n, int seq_len, bool bos) {
  ld_plan *plan = ld_alloc(1, sizeof *plan);
  plan->continuous = true;
  plan->bos = bos;
  int64_t total = 0;
  for (int64_t i = 0; i < n; i++) total += lengths[i].n_tokens;
  const int room = seq_len - bos > 0 ? seq_len - bos : 1;
  const int64_t most_rows = total / room + 1;
  plan->rows = ld_alloc((size_t)most_rows, sizeof *plan->rows);
  plan->pieces = ld_alloc((size_t)(n + most_rows), sizeof *plan->pieces);
  size_t n_pieces = 0;
  int left = 0;
  for (int64_t i = 0; i < n; i++) {
    for (int32_t first = 0; first < lengths[i].n_tokens;) {
      if (!left) {
        plan->rows[plan->n_rows++] = (ld_row){.first_piece = n_pieces, .n_tokens = bos};
        left = room;
      }
      const int32_t rest = lengths[i].n_tokens - first, count = rest < left ? rest : left;
      ld_row *row = &plan->rows[plan->n_rows - 1];
      plan->pieces[n_pieces++] = (ld_piece){i, first, count};
      row->n_pieces++;
      row->n_tokens += count;
      first += count;
      left -= count;
    }
  }
  for (int64_t i = 0; i < plan->n_rows; i++) plan->rows[i].n_targets = plan->rows[i].n_tokens - 1;
  if (plan->n_rows && !plan->rows[plan->n_rows - 1].n_targets) plan->n_rows--;
  add_totals(plan);
  return plan;
}

void ld_plan_free(ld_plan *plan) {
  if (!plan) return;
  free(plan->rows);
  free(plan->pieces);
  free(plan);
}

int64_t ld_plan_steps(const ld_plan *plan, int64_t batch_size) {
  return (plan->n_rows + batch_size - 1) / batch_size;
}

void ld_plan_order(const ld_plan *plan, uint64_t seed, int64_t epoch, bool shuffle, int64_t *order) {
  for (int64_t i = 0; i < plan->n_rows; i++) order[i] = i;
  if (!shuffle) return;
  const ld_stream stream = ld_rng_stream(seed, LD_RNG_SHUFFLE, (uint64_t)epoch, 0);
  ld_rng_permute(&stream, order, plan->n_rows);
}

static int compare_keys(const void *a, const void *b) {
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

/* The rows by falling length are dealt out to the microbatches, forth and back. */
void ld_plan_balance(const ld_plan *plan, int64_t micro, int64_t *rows, int64_t n, int64_t *scratch) {
  const int64_t n_micro = (n + micro - 1) / micro;
  int64_t *keys = scratch, *before = scratch + n, next = 0;
  bool alike = true;
  for (int64_t i = 0; i < n; i++) {
    const int32_t tokens = plan->rows[rows[i]].n_tokens;
    alike = alike && tokens == plan->rows[rows[0]].n_tokens;
    keys[i] = ((int64_t)(INT32_MAX - tokens) << 32) + i;
    before[i] = rows[i];
  }
  if (alike || n_micro < 2) return;
  qsort(keys, (size_t)n, sizeof *keys, compare_keys);
  for (int64_t place = 0; place < micro; place++)
    for (int64_t i = 0; i < n_micro; i++) {
      const int64_t at = (place % 2 ? n_micro - 1 - i : i) * micro + place;
      if (at < n) rows[at] = before[keys[next++] & UINT32_MAX];
    }
}
