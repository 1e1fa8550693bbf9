#include "io/dataset/format.h"
#include "io/dataset/data_form.h"

#include <string.h>

#include "base/log.h"
#include "base/utf8.h"
#include "io/dataset/column.h"
#include "io/dataset/foreign.h"
#include "io/dataset/joined.h"
#include "io/dataset/packings.h"

/* The mapped file, or the joined one that stands for it. */
static int map_file(ld_dataset *dataset, const char *path, ld_error *err) {
  const ld_dataset_options *o = &dataset->options;
  if (!o->joined) return ld_source_map(path, &ld_source_file, &dataset->source, err);
  ld_joined *joined;
  const int rc = ld_joined_open(o->joined, o->joined_threads, o->joined_hash, &joined, err);
  if (!rc) dataset->source = ld_source_joined(path, joined);
  return rc;
}

/* Other programs' files under the name of a text. */
static int check_start(const ld_map *map, const char *path, ld_error *err) {
  const ld_packing *packing = ld_packing_of_bytes(map->bytes, map->length);
  if (!packing) return ld_foreign_check(path, err);
  return ld_fail(err, LD_EFORMAT,
                 "%s: is %s data, and its name does not say so: give it a name that ends in %s", path,
                 packing->name, packing->ending);
}

int ld_data_map_text(ld_dataset *dataset, const char *path, ld_error *err) {
  int rc = map_file(dataset, path, err);
  if (!rc && !dataset->source->joined) rc = check_start(&dataset->source->map, path, err);
  if (rc) return rc;
  ld_source *source = dataset->source;
  const char *text = source->map.bytes;
  source->begin = source->length >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3) ? 3 : 0;
  if (!source->length || ld_data_is_blank(text + source->begin, source->length - source->begin))
    return ld_fail(err, LD_EFORMAT, "%s: holds no records", path);
  return 0;
}

const char *ld_data_path_of(const ld_dataset *dataset, const ld_record *record) {
  return record->prior ? dataset->options.class_data : dataset->source->path;
}

bool ld_data_is_blank(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (!text[i] || !strchr(" \t\r\n", text[i])) return false;
  return true;
}

const char *ld_data_file(const ld_dataset *dataset, uint64_t offset) {
  const ld_source *source = dataset->source;
  return source->joined ? ld_joined_find(source->joined, offset)->path : source->path;
}

size_t ld_data_line(const ld_dataset *dataset, uint64_t offset) {
  const ld_source *source = dataset->source;
  const char *at = source->map.bytes, *end = at + offset;
  size_t line = 1;
  if (!at) return 0;
  if (source->joined) {
    const ld_joined_part *part = ld_joined_find(source->joined, offset);
    at += part->begin;
    line = part->line;
  }
  while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) at++, line++;
  return line;
}

int ld_data_fail_at(const ld_dataset *dataset, uint64_t offset, int rc, ld_error *err) {
  const size_t line = ld_data_line(dataset, offset);
  return line ? ld_fail_prefix(err, rc, "%s: line %zu", ld_data_file(dataset, offset), line)
              : ld_fail_prefix(err, rc, "%s", dataset->source->path);
}

/* How many bytes at the beginning are UTF-8 without a NUL. */
static size_t good_bytes(const char *text, size_t length) {
  const char *nul = length ? memchr(text, 0, length) : NULL;
  return ld_utf8_good(text, nul ? (size_t)(nul - text) : length);
}

bool ld_data_is_text(const char *text, size_t length) {
  return good_bytes(text, length) == length;
}

int ld_data_check_text(const ld_dataset *dataset, uint64_t offset, const char *text, size_t length,
                       ld_error *err) {
  const size_t good = good_bytes(text, length);
  if (good == length) return 0;
  const int rc = !text[good] ? ld_fail(err, LD_EFORMAT, "holds a NUL byte, expected text in UTF-8")
                             : ld_fail(err, LD_EFORMAT, "the byte 0x%02x is not UTF-8, convert the file",
                                       (unsigned)(unsigned char)text[good]);
  return ld_data_fail_at(dataset, offset + good, rc, err);
}

void ld_data_warn_unused(const ld_dataset *dataset, const char *what, const ld_tally *unused) {
  ld_text list = {0};
  const char *hint = dataset->options.forms[0]->unused_label;
  bool labels = false;
  if (!unused->n) return;
  for (size_t i = 0; i < unused->n; i++) labels = labels || ld_columns_is_label(unused->items[i].name);
  ld_tally_list(unused, "\"", &list);
  ld_warn("%s: not used: %s %s%s", dataset->source->path, what, list.bytes, labels && hint ? hint : "");
  ld_text_free(&list);
}
