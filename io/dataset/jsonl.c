/* JSONL: one JSON object per line, whose keys decide its form (form.c). Blank lines are ignored. */
#include <string.h>

#include "io/dataset/form.h"
#include "io/json.h"

/* The parser sees the record as a file, so its line 1 is replaced by the file's line. */
static void fail_syntax(const ld_dataset *dataset, uint64_t offset, const ld_error *inner, ld_error *err) {
  static const char own[] = ": line 1, ", end[] = "end of file";
  const bool replace = !strncmp(inner->text, own, sizeof own - 1);
  const char *why = inner->text + (replace ? sizeof own - 1 : 0), *at = strstr(why, end);
  const int before = at ? (int)(at - why) : (int)strlen(why);
  ld_fail(err, LD_EFORMAT, "%s: line %zu%s%.*s%s%.1000s", dataset->source->path,
          ld_data_line(dataset, offset), replace ? ", " : "", before, why, at ? "the end of the line" : "",
          at ? at + sizeof end - 1 : "");
}

/* Parses the object on a line. */
static ld_value *parse(const ld_dataset *dataset, uint64_t offset, const char *line, size_t length,
                       ld_error *err) {
  ld_error inner = {0};
  if (ld_data_check_text(dataset, offset, line, length, err)) return NULL;
  while (length && (line[length - 1] == '\n' || line[length - 1] == '\r')) length--;
  ld_value *value = ld_json_parse(line, length, "", &inner);
  if (!value) fail_syntax(dataset, offset, &inner, err);
  if (!value || value->type == LD_MAP) return value;
  ld_data_fail_at(dataset, offset, ld_fail(err, LD_EFORMAT, "expected an object {...}"), err);
  ld_value_free(value);
  return NULL;
}

static int jsonl_read(const ld_dataset *dataset, const ld_record *record, const ld_bytes *bytes,
                      ld_parsed *out, ld_error *err) {
  if (ld_data_is_blank(bytes->at, bytes->length)) return 0;
  out->values = parse(dataset, record->offset, bytes->at, bytes->length, err);
  if (!out->values) return LD_EFORMAT;
  const int rc = ld_form_check(dataset, out->values, out->unused, err);
  return rc ? ld_data_fail_at(dataset, record->offset, rc, err) : 0;
}

static uint64_t jsonl_next(const ld_dataset *dataset, uint64_t offset) {
  const char *text = dataset->source->map.bytes;
  const char *end = memchr(text + offset, '\n', dataset->source->length - offset);
  return end ? (uint64_t)(end - text) + 1 : dataset->source->length;
}

/* Finds the first line that is not blank, which is the opening; returns its offset. */
static uint64_t keep_first_line(ld_source *source) {
  const ld_bytes start = ld_source_start(source);
  const char *line, *end = start.at, *stop = start.at + start.length;
  do {
    line = end;
    const char *newline = memchr(line, '\n', (size_t)(stop - line));
    end = newline ? newline + 1 : stop;
  } while (end < stop && ld_data_is_blank(line, (size_t)(end - line)));
  ld_source_keep(source, line, (size_t)(end - line));
  return source->begin + (uint64_t)(line - start.at);
}

static int jsonl_open(ld_dataset *dataset, ld_error *err) {
  const uint64_t offset = keep_first_line(dataset->source);
  const ld_bytes *line = &dataset->source->opening;
  ld_value *record = parse(dataset, offset, line->at, line->length, err);
  if (!record) return LD_EFORMAT;
  int rc = ld_form_find(dataset, record, err);
  if (rc) ld_data_fail_at(dataset, offset, rc, err);
  ld_value_free(record);
  return rc;
}

const ld_data_format ld_data_jsonl = {.endings = {".jsonl"},
                                      .source = ld_data_map_text,
                                      .open = jsonl_open,
                                      .next = jsonl_next,
                                      .read = jsonl_read};
