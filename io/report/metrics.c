#include "io/report/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"
#include "base/value.h"
#include "io/file.h"
#include "io/json.h"

struct ld_metrics {
  char *path;
  int fd;
  ld_text line;
};

/* Whether a line (without its newline) is a record to keep. */
static bool is_kept(const char *line, size_t length, int64_t keep_step) {
  ld_value *record = ld_json_parse(line, length, "", NULL);
  int64_t step = 0;
  const bool kept = record && record->type == LD_MAP &&
                    ld_value_int(record, "step", INT64_MIN, &step, NULL) == 0 && step <= keep_step;
  ld_value_free(record);
  return kept;
}

static int keep_records(const char *path, int64_t keep_step, ld_error *err) {
  ld_map map;
  ld_text kept = {0};
  int code = ld_map_open(path, &map, err);
  if (code) return code;
  for (size_t at = 0; at < map.length;) {
    const char *line = map.bytes + at, *end = memchr(line, '\n', map.length - at);
    if (!end) break; /* cut off in the middle of a write */
    const size_t length = (size_t)(end - line);
    if (is_kept(line, length, keep_step)) ld_text_append(&kept, line, length + 1);
    at += length + 1;
  }
  code = ld_file_write(path, kept.length ? kept.bytes : "", kept.length, err);
  ld_map_close(&map);
  ld_text_free(&kept);
  return code;
}

int ld_metrics_open(const char *path, int64_t keep_step, ld_metrics **out, ld_error *err) {
  *out = NULL;
  /* Always a new file: other names (hard links) of the old one keep its records. */
  const int code = keep_step >= 0 && ld_file_exists(path) ? keep_records(path, keep_step, err)
                                                          : ld_file_write(path, "", 0, err);
  if (code) return code;
  const int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return ld_file_fail(path, "cannot open for appending", err);
  *out = ld_alloc(1, sizeof **out);
  (*out)->path = ld_strdup(path);
  (*out)->fd = fd;
  return 0;
}

void ld_metrics_close(ld_metrics *metrics) {
  if (!metrics) return;
  close(metrics->fd);
  ld_text_free(&metrics->line);
  free(metrics->path);
  free(metrics);
}

void ld_metrics_begin(ld_metrics *metrics) {
  ld_text_clear(&metrics->line);
  ld_text_puts(&metrics->line, "{");
}

static ld_text *put_key(ld_metrics *metrics, const char *key) {
  ld_text *line = &metrics->line;
  if (line->length > 1) ld_text_puts(line, ", ");
  ld_json_quote(line, key);
  ld_text_puts(line, ": ");
  return line;
}

void ld_metrics_int(ld_metrics *metrics, const char *key, int64_t value) {
  ld_text_printf(put_key(metrics, key), "%" PRId64, value);
}

void ld_metrics_real(ld_metrics *metrics, const char *key, double value) {
  ld_json_number(put_key(metrics, key), value);
}

void ld_metrics_string(ld_metrics *metrics, const char *key, const char *value) {
  ld_text *line = put_key(metrics, key);
  if (value)
    ld_json_quote(line, value);
  else
    ld_text_puts(line, "null");
}

void ld_metrics_json(ld_metrics *metrics, const char *key, const char *json) {
  ld_text_puts(put_key(metrics, key), json);
}

int ld_metrics_end(ld_metrics *metrics, ld_error *err) {
  ld_text_puts(&metrics->line, "}\n");
  const off_t before = lseek(metrics->fd, 0, SEEK_END);
  const int code = ld_write_all(metrics->fd, metrics->line.bytes, metrics->line.length, metrics->path, err);
  /* Half a line would make the next one unreadable too. */
  if (code && before >= 0 && ftruncate(metrics->fd, before) != 0)
    return ld_fail_prefix(err, code, "half a record stays at the end");
  return code;
}
