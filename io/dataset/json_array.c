/* JSON: one array of objects, [{...}, {...}]; their keys tell what they are (form.c), as in JSONL.
 *
 * Where an object begins cannot be seen from the bytes around it, since braces may stand in strings and in other
 * objects. So the file is read through once when it is opened, and the beginnings of its records are kept. A record
 * goes to where the next one begins: its object is followed by a comma or by the bracket that ends the array.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/dataset/form.h"
#include "io/json.h"

/* Where the records begin. */
typedef struct beginnings {
  uint64_t *at;
  size_t n, room;
} beginnings;

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t pass_blanks(const ld_bytes *text, size_t at) {
  while (at < text->length && is_blank(text->at[at])) at++;
  return at;
}

/* The place after a string that begins here; the length if it does not end. */
static size_t pass_string(const ld_bytes *text, size_t at) {
  for (at++; at < text->length && text->at[at] != '"'; at++)
    if (text->at[at] == '\\') at++;
  return at < text->length ? at + 1 : text->length;
}

/* The place after the object that begins here, by its braces alone; 0 if it does not end. */
static size_t pass_object(const ld_bytes *text, size_t at) {
  size_t depth = 0;
  while (at < text->length) {
    const char c = text->at[at];
    if (c == '"') {
      at = pass_string(text, at);
      continue;
    }
    at++;
    if (c == '{' || c == '[') depth++;
    if ((c == '}' || c == ']') && !--depth) return at;
  }
  return 0;
}

/* `at` is a place of the text, which begins where the source does. */
static int fail_at(const ld_dataset *dataset, size_t at, const char *what, ld_error *err) {
  return ld_data_fail_at(dataset, dataset->source->begin + at, ld_fail(err, LD_EFORMAT, "%s", what), err);
}

/* Moves *at to the object that is the first, or follows another one; *ended: there is none. */
static int find_object(const ld_dataset *dataset, const ld_bytes *text, bool first, size_t *at, bool *ended,
                       ld_error *err) {
  size_t place = pass_blanks(text, *at);
  const char *want =
      first ? "expected an array of objects, [{...}, ...]: of one object a line, the name ends in "
              ".jsonl"
            : "expected a comma, or the bracket ] that ends the array";
  if (place == text->length || text->at[place] != (first ? '[' : ',')) {
    *ended = !first && place < text->length && text->at[place] == ']';
    if (!*ended) return fail_at(dataset, place < text->length ? place : *at, want, err);
    *at = pass_blanks(text, place + 1);
    return *at == text->length ? 0 : fail_at(dataset, *at, "something follows the array", err);
  }
  place = pass_blanks(text, place + 1);
  if (first && place < text->length && text->at[place] == ']')
    return fail_at(dataset, place, "the array is empty", err);
  if (place == text->length || text->at[place] != '{')
    return fail_at(dataset, place < text->length ? place : *at, "expected an object {...}", err);
  *at = place;
  return 0;
}

static int end_object(const ld_dataset *dataset, const ld_bytes *text, size_t at, size_t *end,
                      ld_error *err) {
  *end = pass_object(text, at);
  return *end ? 0 : fail_at(dataset, at, "the object that begins here does not end", err);
}

/* To the parser the object is a file: its lines are counted on from that where the object begins. */
static int fail_syntax(const ld_dataset *dataset, uint64_t offset, const ld_error *inner, ld_error *err) {
  size_t line = 0;
  int length = 0;
  if (sscanf(inner->text, ": line %zu%n", &line, &length) != 1)
    return ld_data_fail_at(dataset, offset, ld_fail(err, LD_EFORMAT, "%s", inner->text), err);
  return ld_fail(err, LD_EFORMAT, "%s: line %zu%.1000s", ld_data_file(dataset, offset),
                 ld_data_line(dataset, offset) + line - 1, inner->text + length);
}

static ld_value *parse(const ld_dataset *dataset, uint64_t offset, const char *object, size_t length,
                       ld_error *err) {
  ld_error inner = {0};
  if (ld_data_check_text(dataset, offset, object, length, err)) return NULL;
  ld_value *value = ld_json_parse(object, length, "", &inner);
  if (!value) fail_syntax(dataset, offset, &inner, err);
  return value;
}

/* The opening ends with the first object. */
static int array_open(ld_dataset *dataset, ld_error *err) {
  const ld_bytes text = ld_source_start(dataset->source);
  size_t at = 0, end;
  bool ended;
  int rc = find_object(dataset, &text, true, &at, &ended, err);
  if (!rc) rc = end_object(dataset, &text, at, &end, err);
  if (rc) return rc;
  ld_source_keep(dataset->source, text.at, end);
  const uint64_t offset = dataset->source->begin + at;
  ld_value *record = parse(dataset, offset, text.at + at, end - at, err);
  if (!record) return LD_EFORMAT;
  rc = ld_form_find(dataset, record, err);
  if (rc) ld_data_fail_at(dataset, offset, rc, err);
  ld_value_free(record);
  return rc;
}

static int array_scan(ld_dataset *dataset, ld_error *err) {
  const ld_source *source = dataset->source;
  const ld_bytes text = {.at = source->map.bytes + source->begin, .length = source->length - source->begin};
  beginnings *b = dataset->own = ld_alloc(1, sizeof *b);
  bool ended = false;
  for (size_t at = 0;;) {
    int rc = find_object(dataset, &text, !b->n, &at, &ended, err);
    if (rc || ended) return rc;
    b->at = ld_grow(b->at, b->n, &b->room, sizeof *b->at);
    b->at[b->n++] = source->begin + at;
    dataset->first = b->at[0];
    rc = end_object(dataset, &text, at, &at, err);
    if (rc) return rc;
  }
}

static uint64_t array_next(const ld_dataset *dataset, uint64_t offset) {
  const beginnings *b = dataset->own;
  size_t low = 0, high = b->n;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (b->at[middle] > offset)
      high = middle;
    else
      low = middle + 1;
  }
  return low < b->n ? b->at[low] : dataset->source->length;
}

static int array_read(const ld_dataset *dataset, const ld_record *record, const ld_bytes *bytes,
                      ld_parsed *out, ld_error *err) {
  const size_t length = pass_object(bytes, 0);
  out->values = parse(dataset, record->offset, bytes->at, length ? length : bytes->length, err);
  if (!out->values) return LD_EFORMAT;
  const int rc = ld_form_check(dataset, out->values, out->unused, err);
  return rc ? ld_data_fail_at(dataset, record->offset, rc, err) : 0;
}

static void array_close(ld_dataset *dataset) {
  free(((beginnings *)dataset->own)->at);
  free(dataset->own);
}

const ld_data_format ld_data_json_array = {.endings = {".json"},
                                           .source = ld_data_map_text,
                                           .open = array_open,
                                           .close = array_close,
                                           .scan = array_scan,
                                           .next = array_next,
                                           .read = array_read};
