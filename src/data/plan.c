#include "data/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "io/dataset/record.h"

static void add_totals(ld_plan *plan) {
  for (int64_t i = 0; i < plan->n_rows; i++) {
    const ld_row *row = &plan->rows[i];
    plan->n_tokens += row->n_tokens;
    plan->n_targets += row->n_targets;
    const int input = row->n_tokens - (int)row->n_targets;
    if (row->n_tokens > plan->longest) plan->longest = row->n_tokens;
    if (input > plan->longest_input) plan->longest_input = input;
    if (row->n_targets > plan->most_targets) plan->most_targets = (int)row->n_targets;
  }
}

/* A record to be put into a row: its position among those with targets, and its length after truncation. */
typedef struct item {
  int64_t place;
  int32_t length;
} item;

/* Lists the records that are used, longest first, those of one length in their order. No record is longer than
 * seq_len. */
static void list_items(const ld_length *lengths, int64_t n, int seq_len, item *items) {
  int64_t *begin = ld_alloc((size_t)seq_len + 2, sizeof *begin), place = 0; /* of each length's items */
  for (int64_t i = 0; i < n; i++)
    if (lengths[i].n_targets) begin[seq_len - lengths[i].n_tokens + 1]++;
  for (int l = 0; l <= seq_len; l++) begin[l + 1] += begin[l];
  for (int64_t i = 0; i < n; i++)
    if (lengths[i].n_targets)
      items[begin[seq_len - lengths[i].n_tokens]++] = (item){place++, lengths[i].n_tokens};
  free(begin);
}

/* Rows by the room that they have left, as stacks: top[r] is a row with room r, next[row] the one below; -1 for none. A
 * bit of `any` says that a stack has rows. */
typedef struct shelf {
  int64_t *top, *next;
  uint64_t *any;
  int seq_len;
} shelf;

static void put_on_shelf(shelf *rows, int64_t row, int room) {
  rows->next[row] = rows->top[room];
  rows->top[room] = row;
  rows->any[room / 64] |= 1ull << room % 64;
}

/* Takes a row with the least room that is still enough; -1 when there is none. */
static int64_t take_from_shelf(shelf *rows, int room, int *found) {
  int word = room / 64;
  uint64_t bits = rows->any[word] & ~0ull << room % 64;
  while (!bits && ++word <= rows->seq_len / 64) bits = rows->any[word];
  if (!bits) return -1;
  const int r = word * 64 + __builtin_ctzll(bits);
  const int64_t row = rows->top[r];
  rows->top[r] = rows->next[row];
  if (rows->top[r] < 0) rows->any[word] &= ~(1ull << r % 64);
  *found = r;
  return row;
}

/* Assigns each item a row, by its position. */
static void best_fit(const item *items, int64_t n, int seq_len, int64_t *row_of) {
  shelf rows = {ld_alloc((size_t)seq_len + 1, sizeof(int64_t)), ld_alloc((size_t)n, sizeof(int64_t)),
                ld_alloc((size_t)seq_len / 64 + 1, sizeof(uint64_t)), seq_len};
  int64_t n_rows = 0;
  for (int r = 0; r <= seq_len; r++) rows.top[r] = -1;
  for (int64_t i = 0; i < n; i++) {
    int room = seq_len;
    int64_t row = take_from_shelf(&rows, items[i].length, &room);
    if (row < 0) row = n_rows++;
    row_of[items[i].place] = row;
    put_on_shelf(&rows, row, room - items[i].length);
  }
  free(rows.top);
  free(rows.next);
  free(rows.any);
}

/* Numbers the rows in the order of their first record. */
static void number_rows(int64_t *row_of, int64_t n) {
  int64_t *number = ld_alloc((size_t)n, sizeof *number), n_rows = 0; /* 0: not numbered yet */
  for (int64_t i = 0; i < n; i++) {
    if (!number[row_of[i]]) number[row_of[i]] = ++n_rows;
    row_of[i] = number[row_of[i]] - 1;
  }
  free(number);
}

static void pack_rows(const ld_length *lengths, int64_t n, int64_t used, int seq_len, int64_t *row_of) {
  item *items = ld_alloc((size_t)used, sizeof *items);
  list_items(lengths, n, seq_len, items);
  best_fit(items, used, seq_len, row_of);
  free(items);
  number_rows(row_of, used);
}

static int64_t count_used(ld_plan *plan, const ld_length *lengths, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    plan->n_cut += (lengths[i].cut & LD_CUT_INPUT) != 0;
    plan->n_target_cut += (lengths[i].cut & LD_CUT_TARGET) != 0;
    plan->n_parts_cut += (lengths[i].cut & LD_CUT_PARTS) != 0;
    if (!lengths[i].n_targets) plan->n_idle++;
  }
  return n - plan->n_idle;
}

/* Makes the rows with their sizes, and finds where the pieces of each begin. */
static void make_rows(ld_plan *plan, const ld_length *lengths, int64_t n, const int64_t *row_of) {
  for (int64_t i = 0, place = 0; i < n; i++) {
    if (!lengths[i].n_targets) continue;
    ld_row *row = &plan->rows[row_of[place]];
    if (row_of[place++] == plan->n_rows) plan->n_rows++;
    row->n_pieces++;
    row->n_tokens += lengths[i].n_tokens;
    row->n_targets += lengths[i].n_targets;
  }
  size_t first = 0;
  for (int64_t r = 0; r < plan->n_rows; r++) {
    plan->rows[r].first_piece = first;
    first += (size_t)plan->rows[r].n_pieces;
  }
}

/* A row and the size of its images. */
typedef struct sized_row {
  ld_row row;
  uint16_t size;
} sized_row;

static int by_size(const void *a, const void *b) {
  const sized_row *x = a, *y = b;
  if (x->size != y->size) return x->size < y->size ? -1 : 1;
  return x->row.first_piece < y->row.first_piece ? -1 : 1;
}

/* Sorts the rows by size, if they have several, so that those of one size stand together. */
static void sort_by_size(ld_plan *plan, const ld_length *lengths, size_t n_pieces) {
  const size_t n = (size_t)plan->n_rows;
  bool sized = false;
  for (size_t p = 0; p < n_pieces && !sized; p++) sized = lengths[plan->pieces[p].record].size != 0;
  if (!sized) return;
  sized_row *rows = ld_alloc(n, sizeof *rows);
  for (size_t r = 0; r < n; r++) {
    const ld_row *row = &plan->rows[r];
    rows[r] = (sized_row){*row, lengths[plan->pieces[row->first_piece].record].size};
  }
  qsort(rows, n, sizeof *rows, by_size);
  plan->sizes = ld_alloc(n, sizeof *plan->sizes);
  for (size_t r = 0; r < n; r++) {
    plan->rows[r] = rows[r].row;
    plan->sizes[r] = rows[r].size;
  }
  free(rows);
}

ld_plan *ld_plan_records(const ld_length *lengths, int64_t n, int seq_len, bool pack) {
  ld_plan *plan = ld_alloc(1, sizeof *plan);
  const int64_t used = count_used(plan, lengths, n);
  int64_t *row_of = ld_alloc((size_t)used, sizeof *row_of);
  for (int64_t i = 0; i < used; i++) row_of[i] = i;
  if (pack) pack_rows(lengths, n, used, seq_len, row_of);
  plan->rows = ld_alloc((size_t)used, sizeof *plan->rows);
  plan->pieces = ld_alloc((size_t)used, sizeof *plan->pieces);
  make_rows(plan, lengths, n, row_of);
  size_t *next = ld_alloc((size_t)plan->n_rows, sizeof *next);
  for (int64_t i = 0, place = 0; i < n; i++) {
    if (!lengths[i].n_targets) continue;
    const int64_t row = row_of[place++];
    plan->pieces[plan->rows[row].first_piece + next[row]++] = (ld_row_piece){i, 0, lengths[i].n_tokens};
  }
  free(next);
  free(row_of);
  sort_by_size(plan, lengths, (size_t)used);
  add_totals(plan);
  return plan;
}

/* The records that are prior, or the others; the caller frees. */
static int64_t *list_records(const ld_length *lengths, int64_t n, bool prior, int64_t *n_found) {
  int64_t *list = ld_alloc((size_t)n, sizeof *list);
  *n_found = 0;
  for (int64_t i = 0; i < n; i++)
    if (lengths[i].prior == prior) list[(*n_found)++] = i;
  return list;
}

ld_plan *ld_plan_pairs(const ld_length *lengths, int64_t n) {
  ld_plan *plan = ld_alloc(1, sizeof *plan);
  int64_t n_of[2], next[2] = {0, 0};
  int64_t *const lists[] = {list_records(lengths, n, false, &n_of[0]),
                            list_records(lengths, n, true, &n_of[1])};
  count_used(plan, lengths, n);
  plan->paired = true;
  plan->n_rows = 2 * (n_of[0] > n_of[1] ? n_of[0] : n_of[1]);
  plan->rows = ld_alloc((size_t)plan->n_rows, sizeof *plan->rows);
  plan->pieces = ld_alloc((size_t)plan->n_rows, sizeof *plan->pieces);
  plan->sizes = ld_alloc((size_t)plan->n_rows, sizeof *plan->sizes);
  for (int64_t r = 0; r < plan->n_rows; r++) {
    const int64_t kind = r % 2, record = lists[kind][next[kind]];
    next[kind] = next[kind] + 1 < n_of[kind] ? next[kind] + 1 : 0;
    const int32_t n_tokens = lengths[record].n_tokens;
    plan->rows[r] = (ld_row){(size_t)r, 1, n_tokens, r % 2 == 0};
    plan->pieces[r] = (ld_row_piece){record, 0, n_tokens};
    plan->sizes[r] = lengths[record].size;
  }
  free(lists[0]);
  free(lists[1]);
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
      plan->pieces[n_pieces++] = (ld_row_piece){i, first, count};
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
  free(plan->sizes);
  free(plan);
}

size_t ld_plan_bytes(const ld_plan *plan) {
  const ld_row *last = plan->n_rows ? &plan->rows[plan->n_rows - 1] : NULL;
  const size_t n_pieces = last ? last->first_piece + (size_t)last->n_pieces : 0;
  return (size_t)plan->n_rows * sizeof *plan->rows + n_pieces * sizeof *plan->pieces;
}

int64_t ld_plan_steps(const ld_plan *plan, int64_t batch_size) {
  return (plan->n_rows + batch_size - 1) / batch_size;
}

void ld_plan_order(const ld_plan *plan, uint64_t seed, int64_t epoch, bool shuffle, int64_t *order) {
  for (int64_t i = 0; i < plan->n_rows; i++) order[i] = i;
  if (!shuffle) return;
  const ld_stream stream = ld_rng_stream(seed, LD_RNG_SHUFFLE, (uint64_t)epoch, 0);
  const int64_t n = plan->paired ? plan->n_rows / 2 : plan->n_rows;
  ld_rng_permute(&stream, order, n);
  for (int64_t i = plan->n_rows; plan->paired && i-- > 0;) order[i] = 2 * order[i / 2] + i % 2;
}

static int compare_keys(const void *a, const void *b) {
  const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

int64_t ld_plan_take(const ld_plan *plan, const int64_t *rows, int64_t first, int64_t n, int64_t micro) {
  const int64_t most = n < micro ? n : micro;
  for (int64_t i = 1; plan->sizes && i < most; i++) {
    const int64_t a = rows ? rows[first + i] : first + i, b = rows ? rows[first] : first;
    if (plan->sizes[a] != plan->sizes[b]) return i;
  }
  return most;
}

int64_t ld_plan_microbatches(const ld_plan *plan, const int64_t *rows, int64_t n, int64_t micro) {
  int64_t count = 0;
  for (int64_t first = 0; first < n; first += ld_plan_take(plan, rows, first, n - first, micro)) count++;
  return count;
}

int64_t ld_plan_most_microbatches(const ld_plan *plan, int64_t n, int64_t micro) {
  return plan->sizes ? n : (n + micro - 1) / micro;
}

/* Puts rows of one size together, otherwise in their order. */
static void gather_sizes(const ld_plan *plan, int64_t *rows, int64_t n, int64_t *scratch) {
  int64_t *keys = scratch, *before = scratch + n;
  for (int64_t i = 0; i < n; i++) {
    keys[i] = ((int64_t)plan->sizes[rows[i]] << 32) + i;
    before[i] = rows[i];
  }
  qsort(keys, (size_t)n, sizeof *keys, compare_keys);
  for (int64_t i = 0; i < n; i++) rows[i] = before[keys[i] & UINT32_MAX];
}

/* Assigns the rows, longest first, to the microbatches, back and forth. */
void ld_plan_balance(const ld_plan *plan, int64_t micro, int64_t *rows, int64_t n, int64_t *scratch) {
  const int64_t n_micro = (n + micro - 1) / micro;
  int64_t *keys = scratch, *before = scratch + n, next = 0;
  bool same = true;
  if (plan->sizes) {
    gather_sizes(plan, rows, n, scratch);
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    const int32_t tokens = plan->rows[rows[i]].n_tokens;
    same = same && tokens == plan->rows[rows[0]].n_tokens;
    keys[i] = ((int64_t)(INT32_MAX - tokens) << 32) + i;
    before[i] = rows[i];
  }
  if (same || n_micro < 2) return;
  qsort(keys, (size_t)n, sizeof *keys, compare_keys);
  for (int64_t place = 0; place < micro; place++)
    for (int64_t i = 0; i < n_micro; i++) {
      const int64_t at = (place % 2 ? n_micro - 1 - i : i) * micro + place;
      if (at < n) rows[at] = before[keys[next++] & UINT32_MAX];
    }
}
