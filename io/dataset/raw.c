/* Raw text: a stream of tokens, cut into records where a cut does the least harm.
 *
 * Whether a record begins at an offset depends on the bytes around it and on the offset itself, never on
 * where the previous record began: so any part of the file can be cut by itself. A record begins
 *   - after a run of blank lines;
 *   - at the first line of a 16 KiB cell of the file, if this cell has no blank line before it and the previous
 *     cell has none at all (so a text of ordinary paragraphs is only cut between them);
 *   - at a multiple of 64 KiB, moved back to the beginning of a character, if no line ends in the 64 KiB
 *     before it. */
#include <string.h>

#include "base/utf8.h"
#include "io/dataset/format.h"

enum { CELL = 16 << 10, LONG_LINE = 64 << 10 };

/* Whether the line that begins at `at` is empty. */
static bool empty_line(const ld_dataset *dataset, uint64_t at) {
  const char *text = dataset->source->map.bytes;
  if (at < dataset->source->length && text[at] == '\r') at++;
  return at < dataset->source->length && text[at] == '\n';
}

/* Whether the line that ends with the newline before `at` is empty. */
static bool empty_line_before(const ld_dataset *dataset, uint64_t at) {
  const char *text = dataset->source->map.bytes;
  if (at >= 2 && text[at - 2] == '\r') at--;
  return at == dataset->first + 1 || (at >= 2 && text[at - 2] == '\n');
}

/* Whether a paragraph begins at `line`, the beginning of a line that is not the first. */
static bool begins_paragraph(const ld_dataset *dataset, uint64_t line) {
  return empty_line_before(dataset, line) && !empty_line(dataset, line);
}

/* The first beginning of a line in (after, stop]; stop + 1 when there is none. */
static uint64_t next_line(const ld_dataset *dataset, uint64_t after, uint64_t stop) {
  const char *text = dataset->source->map.bytes;
  const char *end = after < stop ? memchr(text + after, '\n', stop - after) : NULL;
  return end ? (uint64_t)(end - text) + 1 : stop + 1;
}

static bool paragraph_within(const ld_dataset *dataset, uint64_t after, uint64_t stop) {
  for (uint64_t line = next_line(dataset, after, stop); line <= stop; line = next_line(dataset, line, stop))
    if (begins_paragraph(dataset, line)) return true;
  return false;
}

static bool begins_cell(const ld_dataset *dataset, uint64_t line) {
  const uint64_t cell = (line - 1) / CELL * CELL;
  if (cell == 0 || memrchr(dataset->source->map.bytes + cell, '\n', line - 1 - cell)) return false;
  return !paragraph_within(dataset, cell - CELL, line);
}

/* Where a record begins because of the multiple `at`, which lies within the file; 0 when none does. */
static uint64_t long_line_cut(const ld_dataset *dataset, uint64_t at) {
  const char *text = dataset->source->map.bytes;
  if (memrchr(text + at - LONG_LINE, '\n', LONG_LINE)) return 0;
  for (int i = 0; i < 3 && ld_utf8_goes_on(text[at]); i++) at--;
  return at;
}

static uint64_t raw_next(const ld_dataset *dataset, uint64_t offset) {
  const uint64_t last = dataset->source->length - 1;
  uint64_t from = offset;
  for (uint64_t at = offset / LONG_LINE * LONG_LINE + LONG_LINE;; from = at, at += LONG_LINE) {
    const uint64_t stop = at < last ? at : last;
    for (uint64_t line = next_line(dataset, from, stop); line <= stop; line = next_line(dataset, line, stop))
      if (begins_paragraph(dataset, line) || begins_cell(dataset, line)) return line;
    if (at > last) return dataset->source->length;
    const uint64_t cut = long_line_cut(dataset, at);
    if (cut > offset) return cut;
  }
}

static int raw_read(const ld_dataset *dataset, const ld_record *record, const ld_bytes *bytes, ld_parsed *out,
                    ld_error *err) {
  const int rc = ld_data_check_text(dataset, record->offset, bytes->at, bytes->length, err);
  if (!rc) ld_parsed_add_text(out, "text", bytes->at, bytes->length);
  return rc;
}

const ld_data_format ld_data_raw = {.endings = {".txt"},
                                    .continuous = true,
                                    .source = ld_data_map_text,
                                    .between = "\n",
                                    .next = raw_next,
                                    .read = raw_read};
