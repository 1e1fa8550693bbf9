#include "io/dataset/format.h"

#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"

int ld_data_map_text(ld_dataset *dataset, const char *path, ld_error *err) {
  const int rc = ld_source_map(path, &ld_source_file, &dataset->source, err);
  if (rc) return rc;
  ld_source *source = dataset->source;
  const char *text = source->map.bytes;
  source->begin = source->length >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3) ? 3 : 0;
  if (!source->length || ld_data_is_blank(text + source->begin, source->length - source->begin))
    return ld_fail(err, LD_EFORMAT, "%s: holds no records", path);
  return 0;
}

bool ld_data_is_blank(const char *text, size_t length) {
  for (size_t i = 0; i < length; i++)
    if (!text[i] || !strchr(" \t\r\n", text[i])) return false;
  return true;
}

size_t ld_data_line(const ld_dataset *dataset, uint64_t offset) {
  const char *at = dataset->source->map.bytes, *end = at + offset;
  size_t line = 1;
  if (!at) return 0;
  while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) at++, line++;
  return line;
}

int ld_data_fail_at(const ld_dataset *dataset, uint64_t offset, int rc, ld_error *err) {
  const size_t line = ld_data_line(dataset, offset);
  return line ? ld_fail_prefix(err, rc, "%s: line %zu", dataset->source->path, line)
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

int ld_data_encode(const ld_dataset *dataset, const char *text, size_t length, bool add_special, ld_ids *out,
                   ld_error *err) {
  return ld_tokenizer_encode(dataset->options.tokenizer, text, length, add_special, out, err);
}

void ld_data_end(const ld_dataset *dataset, ld_ids *ids) {
  const int32_t eos = dataset->options.eos;
  if (eos >= 0 && !(ids->n && ids->ids[ids->n - 1] == eos)) ld_ids_push(ids, eos);
}

void ld_data_targets(ld_sample *sample, size_t from) {
  const size_t n = sample->tokens.n;
  if (sample->room < n || !sample->target) {
    sample->room = n + n / 2 + 1;
    sample->target = ld_realloc(sample->target, sample->room, 1);
  }
  if (from > n) from = n;
  memset(sample->target, 0, from);
  memset(sample->target + from, 1, n - from);
}

int ld_data_text(const ld_dataset *dataset, const char *text, size_t length, ld_sample *sample,
                 ld_error *err) {
  int rc = ld_data_encode(dataset, text, length, true, &sample->tokens, err);
  if (rc) return rc;
  ld_data_end(dataset, &sample->tokens);
  ld_data_targets(sample, 1);
  return 0;
}

int ld_data_labelled(const ld_dataset *dataset, const char *text, size_t length, const char *pair,
                     size_t pair_length, ld_sample *sample, ld_error *err) {
  const ld_tokenizer *tokenizer = dataset->options.tokenizer;
  const size_t most = dataset->options.seq_len > 0 ? (size_t)dataset->options.seq_len : 0;
  ld_input input = {text, length, pair, pair_length, 0};
  int rc = ld_tokenizer_encode_input(tokenizer, &input, &sample->tokens, &sample->types, err);
  sample->n_whole = sample->tokens.n;
  if (!rc && most && sample->n_whole > most) {
    sample->tokens.n = sample->types.n = 0;
    input.most = most;
    rc = ld_tokenizer_encode_input(tokenizer, &input, &sample->tokens, &sample->types, err);
  }
  if (!rc && !ld_tokenizer_has_types(tokenizer))
    memset(sample->types.ids, 0, sample->types.n * sizeof *sample->types.ids);
  if (!rc) ld_data_targets(sample, SIZE_MAX);
  return rc;
}

size_t ld_data_common(const ld_ids *a, const int32_t *ids, size_t n) {
  size_t i = 0;
  while (i < a->n && i < n && a->ids[i] == ids[i]) i++;
  return i;
}

int ld_data_string(const ld_value *map, const char *key, const char **out, ld_error *err) {
  const ld_value *value = ld_value_get(map, key);
  if (!value) return ld_fail(err, LD_EFORMAT, "%s: missing, expected a string", key);
  if (value->type != LD_STRING) return ld_fail(err, LD_EFORMAT, "%s: expected a string", key);
  *out = value->string;
  return 0;
}
