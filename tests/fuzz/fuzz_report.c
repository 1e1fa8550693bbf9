/* Any bytes as metrics.jsonl and, before a NUL, run.yaml: the report is written whatever they are. Opened for
 * a resume after a step, the file keeps only records up to that step, and opening it again changes nothing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/report/metrics.h"
#include "io/report/report.h"
#include "scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t go_on(const char *path) {
  ld_metrics *metrics;
  ld_error err = {0};
  ld_map map;
  if (ld_metrics_open(path, 3, &metrics, &err)) abort();
  ld_metrics_close(metrics);
  if (ld_map_open(path, &map, &err)) abort();
  const size_t length = map.length;
  if (length && map.bytes[length - 1] != '\n') abort();
  ld_map_close(&map);
  return length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const uint8_t *end = size ? memchr(data, 0, size) : NULL;
  const size_t yaml = end ? (size_t)(end - data) : 0, skip = end ? yaml + 1 : 0;
  ld_error err = {0};
  char path[128];
  scratch_write("run.yaml", data, yaml, path);
  scratch_write("metrics.jsonl", data + skip, size - skip, path);
  ld_map map;
  if (ld_map_open(path, &map, &err)) { /* a git-lfs pointer in the file's place is refused by name */
    if (!ld_report_write(scratch_folder(), NULL, &err)) abort();
    return 0;
  }
  ld_map_close(&map);
  if (ld_report_write(scratch_folder(), NULL, &err)) abort();
  const size_t once = go_on(path);
  if (once > size - skip || go_on(path) != once) abort();
  return 0;
}
