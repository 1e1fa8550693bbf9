#include "io/dataset/picture_metadata.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/dataset/format.h"
#include "io/dataset/json_line.h"
#include "io/file.h"

static const char file_key[] = "file_name", text_key[] = "text";

/* A file that is being read. */
typedef struct reading {
  const char *path;
  ld_picture_sink sink;
  void *user;
  ld_tally *unused;
} reading;

static int fail_at(const reading *r, size_t line, int rc, ld_error *err) {
  return rc ? ld_fail_prefix(err, rc, "%s: line %zu", r->path, line) : 0;
}

/* The string member `key` of a record. */
static int take(const ld_value *record, const char *key, const char **out, ld_error *err) {
  const ld_value *value = ld_value_get(record, key);
  if (value && value->type == LD_STRING) {
    *out = value->string;
    return 0;
  }
  return ld_fail(err, LD_EFORMAT,
                 "\"%s\" is %s, expected {\"file_name\": \"image.png\", \"text\": \"its caption\"}", key,
                 value ? ld_value_type_name(value->type) : "missing");
}

static int add_record(const reading *r, const ld_value *record, ld_error *err) {
  const char *file, *text;
  int rc = take(record, file_key, &file, err);
  if (!rc) rc = take(record, text_key, &text, err);
  for (size_t i = 0; !rc && i < record->n_items; i++)
    if (strcmp(record->items[i].key, file_key) != 0 && strcmp(record->items[i].key, text_key) != 0)
      ld_tally_add(r->unused, record->items[i].key, 1);
  return rc ? rc : r->sink(r->user, file, text, err);
}

static int read_jsonl(const reading *r, const char *at, const char *end, ld_error *err) {
  int rc = 0;
  for (size_t line = 1; at < end && !rc; line++) {
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    const size_t length = (size_t)((newline ? newline : end) - at);
    ld_value *record = NULL;
    if (!ld_data_is_blank(at, length)) {
      record = ld_json_line(r->path, line, at, length, err);
      rc = record ? fail_at(r, line, add_record(r, record, err), err) : LD_EFORMAT;
    }
    ld_value_free(record);
    at = newline ? newline + 1 : end;
  }
  return rc;
}

/* A walk over the cells of a CSV file (RFC 4180, with commas). */
typedef struct cells {
  const char *at, *end;
  size_t line;
  ld_text text; /* of the last cell */
  bool last;    /* of its row */
} cells;

static int take_quoted(cells *c, ld_error *err) {
  for (c->at++; c->at < c->end; c->at++) {
    if (*c->at == '"' && (c->at + 1 == c->end || c->at[1] != '"')) {
      c->at++;
      return 0;
    }
    c->at += *c->at == '"';
    c->line += *c->at == '\n';
    ld_text_append(&c->text, c->at, 1);
  }
  return ld_fail(err, LD_EFORMAT, "the quote that opens a cell is never closed");
}

/* Takes a cell and what ends it. */
static int take_cell(cells *c, ld_error *err) {
  ld_text_clear(&c->text);
  ld_text_puts(&c->text, "");
  const int rc = c->at < c->end && *c->at == '"' ? take_quoted(c, err) : 0;
  const char *begin = c->at;
  while (c->at < c->end && *c->at != ',' && *c->at != '\n') c->at++;
  size_t length = (size_t)(c->at - begin);
  c->last = c->at == c->end || *c->at == '\n';
  if (c->last && length && begin[length - 1] == '\r') length--;
  ld_text_append(&c->text, begin, length);
  if (c->at < c->end) c->at++;
  return rc;
}

enum { MOST_COLUMNS = 256 };

/* Reads a row of at most MOST_COLUMNS cells; the caller frees them, also after an error. */
static int take_row(cells *c, char **row, size_t *n, ld_error *err) {
  *n = 0;
  do {
    const int rc = take_cell(c, err);
    if (rc) return rc;
    if (*n == MOST_COLUMNS) return ld_fail(err, LD_EFORMAT, "more than %d columns", MOST_COLUMNS);
    row[(*n)++] = ld_strndup(c->text.bytes, c->text.length);
  } while (!c->last);
  return 0;
}

static void free_row(char **row, size_t n) {
  for (size_t i = 0; i < n; i++) free(row[i]);
}

/* Finds the two columns among n names, and counts the others. */
static int find_columns(const reading *r, char *const *names, size_t n, size_t *file, size_t *text,
                        ld_error *err) {
  *file = *text = n;
  for (size_t i = 0; i < n; i++) {
    if (!strcmp(names[i], file_key))
      *file = i;
    else if (!strcmp(names[i], text_key))
      *text = i;
    else
      ld_tally_add(r->unused, names[i], 1);
  }
  if (*file < n && *text < n) return 0;
  return ld_fail(err, LD_EFORMAT, "has no column \"%s\", expected file_name and text",
                 *file < n ? text_key : file_key);
}

static int read_csv(const reading *r, const char *at, const char *end, ld_error *err) {
  cells c = {.at = at, .end = end, .line = 1};
  char *row[MOST_COLUMNS];
  size_t n, n_columns, file = 0, text = 0;
  int rc = take_row(&c, row, &n, err);
  if (!rc) rc = find_columns(r, row, n, &file, &text, err);
  fail_at(r, 1, rc, err);
  free_row(row, n);
  n_columns = n;
  while (!rc && c.at < c.end) {
    const size_t line = ++c.line;
    rc = take_row(&c, row, &n, err);
    const bool blank = n == 1 && !row[0][0];
    if (!rc && !blank && n != n_columns)
      rc = ld_fail(err, LD_EFORMAT, "%zu cells, but the first line names %zu columns", n, n_columns);
    if (!rc && !blank) rc = r->sink(r->user, row[file], row[text], err);
    fail_at(r, line, rc, err);
    free_row(row, n);
  }
  ld_text_free(&c.text);
  return rc;
}

static bool is_csv(const char *path) {
  return !strcmp(ld_path_base(path), "metadata.csv");
}

bool ld_picture_metadata_is_named(const char *name) {
  return is_csv(name) || !strcmp(ld_path_base(name), "metadata.jsonl");
}

int ld_picture_metadata_read(const char *path, ld_picture_sink sink, void *user, ld_tally *unused,
                             ld_error *err) {
  ld_map map;
  int rc = ld_map_open(path, &map, err);
  if (rc) return rc;
  const reading r = {path, sink, user, unused};
  const size_t mark = map.length >= 3 && !memcmp(map.bytes, "\xEF\xBB\xBF", 3) ? 3 : 0;
  if (!ld_data_is_text(map.bytes, map.length))
    rc = ld_fail(err, LD_EFORMAT, "%s: not text in UTF-8: convert the file", path);
  else if (map.length > mark)
    rc = (is_csv(path) ? read_csv : read_jsonl)(&r, map.bytes + mark, map.bytes + map.length, err);
  ld_map_close(&map);
  return rc;
}
