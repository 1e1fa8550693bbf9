/* Tables: TSV (cells between tabs, as they are) and CSV (RFC 4180: quoted cells may hold separators, line
 * ends and doubled quotes). The first line names the columns; blank lines are no records.
 *
 * Where a CSV record begins cannot be seen from the bytes around it, since a line end may stand in quotes. So
 * the file is read through once when it is opened, and the beginnings of its records are kept.
 */
#include "io/dataset/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"

typedef enum role { TEXT, PAIR, LABEL, N_ROLES } role;

typedef struct table {
  char separator;
  bool quotes;
  size_t n_columns;
  size_t column[N_ROLES]; /* from 1; 0 is none */
  bool gold;              /* the label's column is gold_label */
  uint64_t *starts;       /* of CSV: where the records begin */
  size_t n_starts, room;
} table;

typedef struct cell {
  const char *bytes;
  size_t length;
  bool doubled; /* holds doubled quotes */
} cell;

/* A walk over the cells of one row. */
typedef struct cell_walk {
  const ld_dataset *dataset;
  const table *table;
  const char *at, *end;
  bool ended; /* behind the last cell */
} cell_walk;

static int fail_at(const cell_walk *walk, const char *at, const char *what, ld_error *err) {
  const ld_dataset *dataset = walk->dataset;
  return ld_fail(err, LD_EFORMAT, "%s: line %zu: %s", dataset->path,
                 ld_data_line(dataset, (uint64_t)(at - dataset->map.bytes)), what);
}

/* Stands behind a cell: passes the separator or the line end. */
static bool pass_end(cell_walk *walk) {
  const char *at = walk->at;
  if (at < walk->end && *at == walk->table->separator) {
    walk->at++;
    return true;
  }
  walk->ended = true;
  if (at < walk->end && *at == '\r') at++;
  if (at < walk->end && *at != '\n') return false;
  walk->at = at < walk->end ? at + 1 : at;
  return true;
}

static int take_quoted(cell_walk *walk, cell *out, ld_error *err) {
  const char *open = walk->at++;
  *out = (cell){.bytes = walk->at};
  for (;; walk->at += 2) {
    const char *quote = walk->at < walk->end ? memchr(walk->at, '"', (size_t)(walk->end - walk->at)) : NULL;
    if (!quote)
      return fail_at(walk, open,
                     "the quote that opens a cell is never closed (write a quote within a cell as \"\")", err);
    walk->at = quote;
    if (quote + 1 == walk->end || quote[1] != '"') break;
    out->doubled = true;
  }
  out->length = (size_t)(walk->at++ - out->bytes);
  if (pass_end(walk)) return 0;
  return fail_at(walk, open,
                 "a cell in quotes continues after its closing quote (write a quote within it as \"\")", err);
}

static int take_cell(cell_walk *walk, cell *out, ld_error *err) {
  if (walk->table->quotes && walk->at < walk->end && *walk->at == '"') return take_quoted(walk, out, err);
  *out = (cell){.bytes = walk->at};
  while (walk->at < walk->end && *walk->at != walk->table->separator && *walk->at != '\n') walk->at++;
  out->length = (size_t)(walk->at - out->bytes);
  const bool last = walk->at == walk->end || *walk->at == '\n';
  if (last && out->length && walk->at[-1] == '\r') out->length--;
  pass_end(walk);
  return 0;
}

static cell_walk begin_walk(const ld_dataset *dataset, const table *t, uint64_t offset, uint64_t end) {
  return (cell_walk){dataset, t, dataset->map.bytes + offset, dataset->map.bytes + end, false};
}

/* Passes blank lines. */
static uint64_t pass_blank(const ld_dataset *dataset, uint64_t at) {
  const char *text = dataset->map.bytes;
  while (at < dataset->length) {
    const uint64_t line_end = at + (text[at] == '\r');
    if (line_end < dataset->length && text[line_end] != '\n') break;
    at = line_end < dataset->length ? line_end + 1 : line_end;
  }
  return at;
}

static cell trim(cell c) {
  while (c.length && strchr(" \t", *c.bytes)) c.bytes++, c.length--;
  while (c.length && strchr(" \t", c.bytes[c.length - 1])) c.length--;
  return c;
}

/* The cell's text without doubled quotes; `room` keeps it where it is not in the file so. */
static cell resolve(cell c, ld_text *room) {
  if (!c.doubled) return c;
  ld_text_clear(room);
  for (size_t i = 0; i < c.length; i++) {
    ld_text_append(room, c.bytes + i, 1);
    if (c.bytes[i] == '"') i++;
  }
  return (cell){.bytes = room->bytes, .length = room->length};
}

/* The names of the columns, with the header's last place in header->at. */
static int read_names(cell_walk *header, char ***names, size_t *n, ld_error *err) {
  size_t room = 0;
  ld_text doubled = {0};
  int rc = 0;
  while (!rc && !header->ended) {
    cell c;
    rc = take_cell(header, &c, err);
    if (rc) break;
    c = resolve(trim(c), &doubled);
    if (!ld_data_is_text(c.bytes, c.length)) c.length = 0;
    *names = ld_grow(*names, *n, &room, sizeof **names);
    (*names)[(*n)++] = ld_strndup(c.length ? c.bytes : "", c.length);
  }
  ld_text_free(&doubled);
  return rc;
}

/* A language model has a use for one text alone, a prediction none for labels. */
static int choose_columns(const ld_dataset *dataset, table *t, char *const *names, ld_error *err) {
  const bool classifies = dataset->options.use == LD_USE_CLASSES;
  ld_columns found;
  const int rc = ld_columns_find(names, t->n_columns, "columns", &found, err);
  if (rc) return rc;
  t->column[TEXT] = found.text;
  t->column[PAIR] = classifies ? found.pair : 0;
  t->column[LABEL] = classifies && !dataset->options.unlabelled ? found.label : 0;
  t->gold = found.label && ld_columns_no_label(names[found.label - 1], "-", 1);
  return 0;
}

static void count_unused(const table *t, char *const *names, ld_tally *unused) {
  for (size_t i = 0; i < t->n_columns; i++)
    if (i + 1 != t->column[TEXT] && i + 1 != t->column[PAIR] && i + 1 != t->column[LABEL])
      ld_tally_add(unused, names[i], 0);
}

/* Reads the header that begins at `offset` as one with this separator; *end is where it ends. */
static int read_header(const ld_dataset *dataset, table *t, uint64_t offset, uint64_t *end,
                       ld_tally *unused, ld_error *err) {
  cell_walk header = begin_walk(dataset, t, offset, dataset->length);
  char **names = NULL;
  memset(t->column, 0, sizeof t->column);
  t->n_columns = 0;
  int rc = read_names(&header, &names, &t->n_columns, err);
  if (!rc) {
    rc = choose_columns(dataset, t, names, err);
    if (rc) ld_fail_prefix(err, rc, "%s: line %zu", dataset->path, ld_data_line(dataset, offset));
  }
  if (!rc) count_unused(t, names, unused);
  *end = (uint64_t)(header.at - dataset->map.bytes);
  ld_names_free(names, t->n_columns);
  return rc;
}

/* The header's first line, before it is read and perhaps shown. */
static int check_header(const ld_dataset *dataset, uint64_t offset, ld_error *err) {
  const char *begin = dataset->map.bytes + offset;
  const char *end = memchr(begin, '\n', dataset->length - offset);
  return ld_data_check_text(dataset, offset, end ? (uint64_t)(end - begin) : dataset->length - offset, err);
}

static int fail_empty(const ld_dataset *dataset, ld_error *err) {
  const bool bare = memchr(dataset->map.bytes, '\r', dataset->length) && !memchr(dataset->map.bytes, '\n', dataset->length);
  return ld_fail(err, LD_EFORMAT, "%s: holds a line with the columns' names and no records%s", dataset->path,
                 bare ? ": its lines end by CR alone: end them by LF" : "");
}

/* Makes the table and maps the file; sets first to where the header begins. */
static int begin_table(ld_dataset *dataset, char separator, ld_error *err) {
  const bool labelled = dataset->options.use == LD_USE_CLASSES;
  int rc = ld_data_map_text(dataset, err);
  if (rc) return rc;
  table *t = dataset->own = ld_alloc(1, sizeof *t);
  t->separator = separator;
  t->quotes = separator != '\t';
  dataset->form = labelled ? LD_DATA_LABELLED : LD_DATA_TEXT;
  dataset->first = pass_blank(dataset, dataset->first);
  return check_header(dataset, dataset->first, err);
}

static int tsv_open(ld_dataset *dataset, ld_error *err) {
  int rc = begin_table(dataset, '\t', err);
  if (rc) return rc;
  ld_tally unused = {0};
  rc = read_header(dataset, dataset->own, dataset->first, &dataset->first, &unused, err);
  if (!rc && pass_blank(dataset, dataset->first) == dataset->length) rc = fail_empty(dataset, err);
  if (!rc) ld_dataset_warn_unused(dataset, "the columns", &unused);
  ld_tally_free(&unused);
  return rc;
}

static uint64_t tsv_next(const ld_dataset *dataset, uint64_t offset) {
  const char *text = dataset->map.bytes;
  const char *end = memchr(text + offset, '\n', dataset->length - offset);
  return end ? (uint64_t)(end - text) + 1 : dataset->length;
}

/* Finds all beginnings of records. */
static int find_starts(const ld_dataset *dataset, table *t, uint64_t at, ld_error *err) {
  for (at = pass_blank(dataset, at); at < dataset->length; at = pass_blank(dataset, at)) {
    cell_walk row = begin_walk(dataset, t, at, dataset->length);
    t->starts = ld_grow(t->starts, t->n_starts, &t->room, sizeof *t->starts);
    t->starts[t->n_starts++] = at;
    while (!row.ended) {
      cell c;
      int rc = take_cell(&row, &c, err);
      if (rc) return rc;
    }
    at = (uint64_t)(row.at - dataset->map.bytes);
  }
  return t->n_starts ? 0 : fail_empty(dataset, err);
}

/* Separated by commas; by semicolons where only these make a header, or more columns. */
static int read_csv_header(ld_dataset *dataset, table *t, ld_tally *unused, ld_error *err) {
  const uint64_t header = dataset->first;
  table semicolon = *t;
  semicolon.separator = ';';
  int rc = read_header(dataset, t, header, &dataset->first, unused, err);
  if (!rc) return 0;
  ld_tally ignored = {0};
  uint64_t end;
  if (!read_header(dataset, &semicolon, header, &end, &ignored, NULL) ||
      semicolon.n_columns > t->n_columns) {
    *t = semicolon;
    rc = read_header(dataset, t, header, &dataset->first, unused, err);
  }
  ld_tally_free(&ignored);
  return rc;
}

static int csv_open(ld_dataset *dataset, ld_error *err) {
  int rc = begin_table(dataset, ',', err);
  if (rc) return rc;
  table *t = dataset->own;
  ld_tally unused = {0};
  rc = read_csv_header(dataset, t, &unused, err);
  if (!rc) rc = find_starts(dataset, t, dataset->first, err);
  if (!rc) dataset->first = t->starts[0];
  if (!rc) ld_dataset_warn_unused(dataset, "the columns", &unused);
  ld_tally_free(&unused);
  return rc;
}

static uint64_t csv_next(const ld_dataset *dataset, uint64_t offset) {
  const table *t = dataset->own;
  size_t low = 0, high = t->n_starts;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (t->starts[middle] > offset)
      high = middle;
    else
      low = middle + 1;
  }
  return low < t->n_starts ? t->starts[low] : dataset->length;
}

static int fail_count(const cell_walk *row, const char *begin, size_t n, ld_error *err) {
  char what[200];
  snprintf(what, sizeof what, "%zu %s, but the first line names %zu %s%s", n,
           ld_plural((long long)n, "cell", "cells"), row->table->n_columns,
           ld_plural((long long)row->table->n_columns, "column", "columns"),
           row->table->quotes ? " (a cell with a separator in it must begin and end with a quote)"
                              : " (tabs separate the cells, and quotes mean nothing)");
  return fail_at(row, begin, what, err);
}

/* The cells of the row that a record is; one without a column has no bytes. */
static int split(const ld_dataset *dataset, const ld_record *record, cell cells[N_ROLES], ld_error *err) {
  const table *t = dataset->own;
  cell_walk row = begin_walk(dataset, t, record->offset, record->offset + record->bytes);
  const char *begin = row.at;
  size_t n = 0;
  memset(cells, 0, N_ROLES * sizeof *cells);
  while (!row.ended) {
    cell c;
    int rc = take_cell(&row, &c, err);
    if (rc) return rc;
    n++;
    for (role r = TEXT; r < N_ROLES; r++)
      if (t->column[r] == n) cells[r] = c;
  }
  return n == t->n_columns ? 0 : fail_count(&row, begin, n, err);
}

static int fill_labelled(const ld_dataset *dataset, cell cells[N_ROLES], ld_sample *sample, ld_error *err) {
  ld_text text_room = {0}, pair_room = {0}, label_room = {0};
  const cell text = resolve(cells[TEXT], &text_room), pair = resolve(cells[PAIR], &pair_room);
  cell label = resolve(trim(cells[LABEL]), &label_room);
  if (((const table *)dataset->own)->gold && ld_columns_no_label("gold_label", label.bytes, label.length))
    label.length = 0;
  int rc = ld_data_label(label.bytes, label.length, sample, err);
  if (!rc) rc = ld_data_labelled(dataset, text.bytes, text.length, pair.bytes, pair.length, sample, err);
  ld_text_free(&text_room);
  ld_text_free(&pair_room);
  ld_text_free(&label_room);
  return rc;
}

static int fill_text(const ld_dataset *dataset, cell written, ld_sample *sample, ld_error *err) {
  ld_text room = {0};
  const cell text = resolve(written, &room);
  int rc = ld_data_text(dataset, text.bytes, text.length, sample, err);
  ld_text_free(&room);
  return rc;
}

static int table_read(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err) {
  cell cells[N_ROLES];
  if (pass_blank(dataset, record->offset) != record->offset) return 0;
  int rc = ld_data_check_text(dataset, record->offset, record->bytes, err);
  if (!rc) rc = split(dataset, record, cells, err);
  if (rc) return rc;
  rc = dataset->form == LD_DATA_LABELLED ? fill_labelled(dataset, cells, sample, err)
                                         : fill_text(dataset, cells[TEXT], sample, err);
  if (!rc) return 0;
  return ld_fail_prefix(err, rc, "%s: line %zu", dataset->path, ld_data_line(dataset, record->offset));
}

static void table_describe(const ld_dataset *dataset, ld_text *out) {
  table t = *(const table *)dataset->own;
  t.starts = NULL;
  t.n_starts = t.room = 0;
  ld_text_append(out, &t, sizeof t);
}

static int table_open_described(ld_dataset *dataset, const char *bytes, size_t length, ld_error *err) {
  if (length != sizeof(table))
    return ld_fail(err, LD_EFORMAT, "%s: its description was cut off on its way", dataset->path);
  dataset->own = memcpy(ld_alloc(1, sizeof(table)), bytes, sizeof(table));
  return 0;
}

static void table_close(ld_dataset *dataset) {
  table *t = dataset->own;
  free(t->starts);
  free(t);
}

const ld_data_format ld_data_tsv = {.endings = {".tsv"},
                                    .open = tsv_open,
                                    .next = tsv_next,
                                    .read = table_read,
                                    .close = table_close,
                                    .describe = table_describe,
                                    .open_described = table_open_described};
const ld_data_format ld_data_csv = {.endings = {".csv"},
                                    .open = csv_open,
                                    .next = csv_next,
                                    .read = table_read,
                                    .close = table_close,
                                    .describe = table_describe,
                                    .open_described = table_open_described};
