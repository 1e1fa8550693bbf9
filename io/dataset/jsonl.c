/* JSONL: one JSON object per line, whose keys decide its form (form.c). Blank lines are ignored. */
#include <string.h>

#include "io/dataset/form.h"
#include "io/dataset/json_line.h"

/* Parses the object on a line. */
static ld_value *parse(const ld_dataset *dataset, uint64_t offset, const char *line, size_t length,
                       ld_error *err) {
  if (ld_data_check_text(dataset, offset, line, length, err)) return NULL;
  ld_value *value = ld_json_line("", 1, line, length, NULL);
  if (value) return value;
  return ld_json_line(ld_data_file(dataset, offset), ld_data_line(dataset, offset), line, length, err);
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
                                      .between = "",
                                      .open = jsonl_open,
                                      .next = jsonl_next,
                                      .read = jsonl_read};
