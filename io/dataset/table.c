/* Tables: TSV (cells between tabs, taken literally) and CSV (RFC 4180: quoted cells may hold separators, line
 * ends and doubled quotes). The first line names the columns; blank lines are ignored.
 *
 * Where a CSV record begins cannot be seen from the bytes around it, since a line end may be in quotes. So
 * the file is read through once when it is opened, and the beginnings of its records are kept. */
#include "io/dataset/form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "io/dataset/label.h"

typedef enum role { TEXT, PAIR, LABEL, N_ROLES } role;

typedef struct table {
  char separator;
  bool quotes;
  size_t n_columns;
  size_t column[N_ROLES]; /* from 1; 0: none */
  ld_tally unused;        /* unused columns */
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
  const char *begin, *at, *end;
  uint64_t offset; /* of `begin` in the file */
  bool ended;      /* after the last cell */
} cell_walk;

static uint64_t place(const cell_walk *walk, const char *at) {
  return walk->offset + (uint64_t)(at - walk->begin);
}

static int fail_at(const cell_walk *walk, const char *at, const char *what, ld_error *err) {
  return ld_data_fail_at(walk->dataset, place(walk, at), ld_fail(err, LD_EFORMAT, "%s", what), err);
}

/* Called after a cell: passes the separator or the line end. */
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
                     "the quote that opens a cell is never closed (write a quote within a cell as \"\")",
                     err);
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

/* Begins a walk over `text`, which is at `offset` in the file. */
static cell_walk begin_walk(const ld_dataset *dataset, const table *t, uint64_t offset, const char *text,
                            size_t length) {
  return (cell_walk){dataset, t, text, text, text + length, offset, false};
}

/* How many bytes of blank lines the text begins with. */
static size_t blank_lines(const char *text, size_t length) {
  size_t at = 0;
  while (at < length) {
    const size_t line_end = at + (text[at] == '\r');
    if (line_end < length && text[line_end] != '\n') break;
    at = line_end < length ? line_end + 1 : line_end;
  }
  return at;
}

static cell trim(cell c) {
  while (c.length && strchr(" \t", *c.bytes)) c.bytes++, c.length--;
  while (c.length && strchr(" \t", c.bytes[c.length - 1])) c.length--;
  return c;
}

/* The cell's text, without doubled quotes; the caller frees it. */
static char *text_of(cell c) {
  char *text = ld_strndup(c.length ? c.bytes : "", c.length), *to = text;
  for (const char *from = text; c.doubled && *from; from += 1 + (*from == '"')) *to++ = *from;
  if (c.doubled) *to = 0;
  return text;
}

/* The names of the columns; the walk ends after the header. */
static int read_names(cell_walk *header, char ***names, size_t *n, ld_error *err) {
  size_t room = 0;
  while (!header->ended) {
    cell c;
    const int rc = take_cell(header, &c, err);
    if (rc) return rc;
    c = trim(c);
    if (!ld_data_is_text(c.bytes, c.length)) c.length = 0;
    *names = ld_grow(*names, *n, &room, sizeof **names);
    (*names)[(*n)++] = text_of(c);
  }
  return 0;
}

static void count_unused(const table *t, char *const *names, ld_tally *unused) {
  for (size_t i = 0; i < t->n_columns; i++)
    if (i + 1 != t->column[TEXT] && i + 1 != t->column[PAIR] && i + 1 != t->column[LABEL])
      ld_tally_add(unused, names[i], 0);
}

/* Reads the header, with the table's separator, from the beginning of the text, which is at `offset`; *length
 * is the header's. */
static int read_header(ld_dataset *dataset, table *t, uint64_t offset, const ld_bytes *text, size_t *length,
                       ld_error *err) {
  cell_walk header = begin_walk(dataset, t, offset, text->at, text->length);
  char **names = NULL;
  memset(t->column, 0, sizeof t->column);
  t->n_columns = 0;
  int rc = read_names(&header, &names, &t->n_columns, err);
  if (!rc) {
    ld_columns found;
    rc = ld_form_find_keys(dataset, names, t->n_columns, "columns", &found, err);
    if (rc) ld_data_fail_at(dataset, offset, rc, err);
    memcpy(t->column, (size_t[N_ROLES]){found.text, found.pair, found.label}, sizeof t->column);
  }
  if (!rc) count_unused(t, names, &t->unused);
  *length = (size_t)(header.at - header.begin);
  ld_names_free(names, t->n_columns);
  return rc;
}

/* Separated by commas; by semicolons if only these make a header, or give more columns. */
static int read_csv_header(ld_dataset *dataset, table *t, uint64_t offset, const ld_bytes *text,
                           size_t *length, ld_error *err) {
  table semicolon = *t;
  semicolon.separator = ';';
  int rc = read_header(dataset, t, offset, text, length, err);
  if (!rc) return 0;
  if (!read_header(dataset, &semicolon, offset, text, length, NULL) || semicolon.n_columns > t->n_columns) {
    t->separator = ';';
    rc = read_header(dataset, t, offset, text, length, err);
  }
  ld_tally_free(&semicolon.unused);
  return rc;
}

/* Checks the header's first line before it is read and perhaps printed. */
static int check_header(const ld_dataset *dataset, uint64_t offset, const ld_bytes *text, ld_error *err) {
  const char *end = memchr(text->at, '\n', text->length);
  return ld_data_check_text(dataset, offset, text->at, end ? (size_t)(end - text->at) : text->length, err);
}

/* The opening is the header. */
static int open_table(ld_dataset *dataset, char separator, ld_error *err) {
  ld_source *source = dataset->source;
  ld_bytes text = ld_source_start(source);
  const size_t blank = blank_lines(text.at, text.length);
  const uint64_t offset = source->begin + blank;
  text.at += blank, text.length -= blank;
  table *t = dataset->own = ld_alloc(1, sizeof *t);
  t->separator = separator;
  t->quotes = separator != '\t';
  size_t length;
  int rc = check_header(dataset, offset, &text, err);
  if (!rc) rc = (t->quotes ? read_csv_header : read_header)(dataset, t, offset, &text, &length, err);
  if (rc) return rc;
  ld_source_keep(source, text.at, length);
  dataset->first = offset + length;
  return 0;
}

static int tsv_open(ld_dataset *dataset, ld_error *err) {
  return open_table(dataset, '\t', err);
}

static int csv_open(ld_dataset *dataset, ld_error *err) {
  return open_table(dataset, ',', err);
}

/* The rest of the file. */
static ld_bytes text_from(const ld_dataset *dataset, uint64_t offset) {
  const ld_map *map = &dataset->source->map;
  return (ld_bytes){.at = map->bytes + offset, .length = map->length - offset};
}

/* The first offset from `offset` on that is not in a blank line. */
static uint64_t pass_blank(const ld_dataset *dataset, uint64_t offset) {
  const ld_bytes text = text_from(dataset, offset);
  return offset + blank_lines(text.at, text.length);
}

static int fail_empty(const ld_dataset *dataset, ld_error *err) {
  const ld_map *map = &dataset->source->map;
  const bool bare = memchr(map->bytes, '\r', map->length) && !memchr(map->bytes, '\n', map->length);
  return ld_fail(err, LD_EFORMAT, "%s: holds a line with the columns' names and no records%s",
                 dataset->source->path, bare ? ": its lines end by CR alone: end them by LF" : "");
}

static int tsv_scan(ld_dataset *dataset, ld_error *err) {
  if (pass_blank(dataset, dataset->first) == dataset->source->length) return fail_empty(dataset, err);
  ld_data_warn_unused(dataset, "the columns", &((const table *)dataset->own)->unused);
  return 0;
}

static uint64_t tsv_next(const ld_dataset *dataset, uint64_t offset) {
  const ld_bytes text = text_from(dataset, offset);
  const char *end = memchr(text.at, '\n', text.length);
  return end ? offset + (uint64_t)(end - text.at) + 1 : dataset->source->length;
}

/* Finds the beginnings of all records. */
static int csv_scan(ld_dataset *dataset, ld_error *err) {
  table *t = dataset->own;
  const uint64_t length = dataset->source->length;
  for (uint64_t at = pass_blank(dataset, dataset->first); at < length; at = pass_blank(dataset, at)) {
    const ld_bytes text = text_from(dataset, at);
    cell_walk row = begin_walk(dataset, t, at, text.at, text.length);
    t->starts = ld_grow(t->starts, t->n_starts, &t->room, sizeof *t->starts);
    t->starts[t->n_starts++] = at;
    while (!row.ended) {
      cell c;
      int rc = take_cell(&row, &c, err);
      if (rc) return rc;
    }
    at = place(&row, row.at);
  }
  if (!t->n_starts) return fail_empty(dataset, err);
  dataset->first = t->starts[0];
  ld_data_warn_unused(dataset, "the columns", &t->unused);
  return 0;
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
  return low < t->n_starts ? t->starts[low] : dataset->source->length;
}

static int fail_count(const cell_walk *row, size_t n, ld_error *err) {
  char what[200];
  snprintf(what, sizeof what, "%zu %s, but the first line names %zu %s%s", n,
           ld_plural((long long)n, "cell", "cells"), row->table->n_columns,
           ld_plural((long long)row->table->n_columns, "column", "columns"),
           row->table->quotes ? " (a cell with a separator in it must begin and end with a quote)"
                              : " (tabs separate the cells, and quotes mean nothing)");
  return fail_at(row, row->begin, what, err);
}

/* Splits a record's row into cells; a cell without a column is empty. */
static int split(const ld_dataset *dataset, const ld_record *record, const ld_bytes *bytes,
                 cell cells[N_ROLES], ld_error *err) {
  const table *t = dataset->own;
  cell_walk row = begin_walk(dataset, t, record->offset, bytes->at, bytes->length);
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
  return n == t->n_columns ? 0 : fail_count(&row, n, err);
}

static int put_cells(const ld_dataset *dataset, const cell cells[N_ROLES], ld_parsed *out, ld_error *err) {
  const table *t = dataset->own;
  const char *const keys[] = {dataset->keys.text, dataset->keys.pair, dataset->keys.label};
  int rc = 0;
  for (role r = TEXT; r < N_ROLES && !rc; r++) {
    if (!t->column[r]) continue;
    char *text = text_of(r == LABEL ? trim(cells[r]) : cells[r]);
    if (r == LABEL)
      rc = ld_label_parse(text, ld_parsed_add(out, keys[r]), err);
    else
      ld_parsed_add_text(out, keys[r], text, strlen(text));
    free(text);
  }
  return rc;
}

static int table_read(const ld_dataset *dataset, const ld_record *record, const ld_bytes *bytes,
                      ld_parsed *out, ld_error *err) {
  cell cells[N_ROLES];
  if (blank_lines(bytes->at, bytes->length)) return 0;
  int rc = ld_data_check_text(dataset, record->offset, bytes->at, bytes->length, err);
  if (!rc) rc = split(dataset, record, bytes, cells, err);
  if (rc) return rc;
  rc = put_cells(dataset, cells, out, err);
  return rc ? ld_data_fail_at(dataset, record->offset, rc, err) : 0;
}

static void table_close(ld_dataset *dataset) {
  table *t = dataset->own;
  ld_tally_free(&t->unused);
  free(t->starts);
  free(t);
}

const ld_data_format ld_data_tsv = {.endings = {".tsv"},
                                    .source = ld_data_map_text,
                                    .between = "",
                                    .header = true,
                                    .columns = true,
                                    .open = tsv_open,
                                    .close = table_close,
                                    .scan = tsv_scan,
                                    .next = tsv_next,
                                    .read = table_read};
const ld_data_format ld_data_csv = {.endings = {".csv"},
                                    .source = ld_data_map_text,
                                    .between = "",
                                    .header = true,
                                    .columns = true,
                                    .open = csv_open,
                                    .close = table_close,
                                    .scan = csv_scan,
                                    .next = csv_next,
                                    .read = table_read};
