#include "io/dataset.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "io/dataset/format.h"

static const ld_data_format *const formats[] = {&ld_data_jsonl, &ld_data_raw};

enum { n_formats = sizeof formats / sizeof *formats };

static const ld_data_format *find_format(const char *path, ld_error *err) {
  ld_text known = {0};
  const size_t length = strlen(path);
  for (size_t i = 0; i < n_formats; i++) {
    const size_t n = strlen(formats[i]->ending);
    if (length >= n && !strcasecmp(path + length - n, formats[i]->ending)) {
      ld_text_free(&known);
      return formats[i];
    }
    ld_text_printf(&known, "%s%s", i ? ", " : "", formats[i]->ending);
  }
  ld_fail(err, LD_EUNSUPPORTED, "%s: no known kind of data, the file name must end in one of %s", path,
          known.bytes);
  ld_text_free(&known);
  return NULL;
}

/* Whether the tokenizer ends a text by eos is seen on a text that does not end so by itself. */
static int find_out_eos(ld_dataset *dataset, ld_error *err) {
  const int32_t eos = dataset->options.eos;
  ld_ids bare = {0}, full = {0};
  int rc = ld_data_encode(dataset, "a", 1, false, &bare, err);
  if (!rc) rc = ld_data_encode(dataset, "a", 1, true, &full, err);
  const bool by_itself = bare.n && bare.ids[bare.n - 1] == eos;
  dataset->adds_eos = eos >= 0 && !by_itself && full.n && full.ids[full.n - 1] == eos;
  ld_ids_free(&bare);
  ld_ids_free(&full);
  return rc;
}

int ld_dataset_open(const char *path, const ld_dataset_options *options, ld_dataset **out, ld_error *err) {
  *out = NULL;
  const ld_data_format *format = find_format(path, err);
  if (!format) return LD_EUNSUPPORTED;
  ld_dataset *dataset = ld_alloc(1, sizeof *dataset);
  dataset->format = format;
  dataset->path = ld_strdup(path);
  dataset->options = *options;
  int rc = find_out_eos(dataset, err);
  if (!rc) rc = format->open(dataset, err);
  dataset->options.chat_template = NULL; /* the layout is found, and the string is the caller's */
  if (rc)
    ld_dataset_close(dataset);
  else
    *out = dataset;
  return rc;
}

void ld_dataset_close(ld_dataset *dataset) {
  if (!dataset) return;
  ld_map_close(&dataset->map);
  free(dataset->path);
  free(dataset);
}

ld_data_form ld_dataset_form(const ld_dataset *dataset) {
  return dataset->form;
}

const char *ld_dataset_path(const ld_dataset *dataset) {
  return dataset->path;
}

void ld_sample_free(ld_sample *sample) {
  ld_ids_free(&sample->tokens);
  free(sample->target);
  memset(sample, 0, sizeof *sample);
}

static int tokenize(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err) {
  sample->tokens.n = 0;
  int rc = dataset->format->tokenize(dataset, record, sample, err);
  if (!rc && sample->tokens.n > INT32_MAX)
    rc = ld_fail(err, LD_EUNSUPPORTED, "%s: line %zu: the record has more than 2^31 tokens, split it",
                 dataset->path, ld_data_line(dataset, record->offset));
  return rc;
}

static void cut(const ld_dataset *dataset, ld_sample *sample) {
  const size_t most = (size_t)dataset->options.seq_len;
  if (dataset->form != LD_DATA_RAW && dataset->options.seq_len > 0 && sample->tokens.n > most)
    sample->tokens.n = most;
}

int ld_dataset_read(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err) {
  if (record->offset > dataset->length || record->bytes > dataset->length - record->offset)
    return ld_fail(err, LD_EMISMATCH, "%s: a record of the index lies behind its end: has the file changed?",
                   dataset->path);
  int rc = tokenize(dataset, record, sample, err);
  if (!rc) cut(dataset, sample);
  return rc;
}

static uint64_t part_begin(const ld_dataset *dataset, int part, int n_parts) {
  const uint64_t n = (uint64_t)n_parts, k = (uint64_t)part;
  const uint64_t at = dataset->length / n * k + dataset->length % n * k / n;
  if (at <= dataset->first) return dataset->first;
  return at < dataset->length ? dataset->format->next(dataset, at - 1) : dataset->length;
}

static int measure(const ld_dataset *dataset, ld_record *record, ld_sample *scratch, ld_error *err) {
  int rc = tokenize(dataset, record, scratch, err);
  if (rc) return rc;
  record->n_tokens = (int32_t)scratch->tokens.n;
  cut(dataset, scratch);
  for (size_t i = 0; i < scratch->tokens.n; i++) record->n_targets += scratch->target[i];
  return 0;
}

int ld_dataset_index(const ld_dataset *dataset, int part, int n_parts, ld_record **records, size_t *n,
                     ld_error *err) {
  *records = NULL;
  *n = 0;
  const uint64_t stop = part_begin(dataset, part + 1, n_parts);
  ld_record *list = NULL;
  ld_sample scratch = {0};
  size_t used = 0, room = 0;
  int rc = 0;
  for (uint64_t at = part_begin(dataset, part, n_parts), next; !rc && at < stop; at = next) {
    next = dataset->format->next(dataset, at);
    ld_record record = {.offset = at, .bytes = next - at};
    rc = measure(dataset, &record, &scratch, err);
    if (rc || !record.n_tokens) continue;
    list = ld_grow(list, used, &room, sizeof *list);
    list[used++] = record;
  }
  ld_sample_free(&scratch);
  if (rc) {
    free(list);
    return rc;
  }
  *records = list ? list : ld_alloc(1, sizeof *list);
  *n = used;
  return 0;
}

/* FNV-1a by words of eight bytes; the shift lets their high bits reach the low ones, as bytes would. */
static uint64_t hash(const char *bytes, size_t length) {
  const uint64_t prime = 0x100000001b3u;
  uint64_t h = (0xcbf29ce484222325u ^ length) * prime, word;
  for (; length >= 8; bytes += 8, length -= 8) {
    memcpy(&word, bytes, 8);
    h = (h ^ le64toh(word)) * prime;
    h ^= h >> 29;
  }
  for (; length; bytes++, length--) h = (h ^ (uint8_t)*bytes) * prime;
  h = (h ^ h >> 32) * prime;
  return h ^ h >> 29;
}

const char *ld_dataset_digest(ld_dataset *dataset) {
  if (!dataset->digest[0])
    snprintf(dataset->digest, sizeof dataset->digest, "%016" PRIx64,
             hash(dataset->map.bytes, dataset->map.length));
  return dataset->digest;
}
