#include "io/dataset.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "base/memory.h"
#include "io/dataset/format.h"
#include "io/digests.h"
#include "io/hash.h"

static const struct {
  const ld_data_format *format;
  bool fits[LD_USE_IMAGES + 1];
} formats[] = {
    {&ld_data_jsonl, {[LD_USE_LANGUAGE] = true, [LD_USE_CLASSES] = true}},
    {&ld_data_tsv, {[LD_USE_LANGUAGE] = true, [LD_USE_CLASSES] = true}},
    {&ld_data_csv, {[LD_USE_LANGUAGE] = true, [LD_USE_CLASSES] = true}},
    {&ld_data_raw, {[LD_USE_LANGUAGE] = true}},
    {&ld_data_image_folder, {[LD_USE_IMAGES] = true}},
    {&ld_data_image_file, {[LD_USE_IMAGES] = true}},
    {&ld_data_image_hdf5, {[LD_USE_IMAGES] = true}},
};

enum { n_formats = sizeof formats / sizeof *formats };

static const char *const takes[] = {
    [LD_USE_LANGUAGE] = "a language model takes files that end in",
    [LD_USE_CLASSES] = "a classifier of texts takes labelled records in files that end in",
    [LD_USE_IMAGES] = "a classifier of images takes a folder of class folders, or files that end in",
};

static int fail_use(const char *path, const char *what, ld_data_use use, ld_error *err) {
  ld_text known = {0};
  for (size_t i = 0; i < n_formats; i++)
    for (const char *const *ending = formats[i].format->endings; formats[i].fits[use] && *ending; ending++)
      if (**ending != '/') ld_text_printf(&known, "%s%s", known.length ? ", " : "", *ending);
  int rc = ld_fail(err, LD_EUNSUPPORTED, "%s: %s; %s %s", path, what, takes[use], known.bytes);
  ld_text_free(&known);
  return rc;
}

static bool has_ending(const char *path, const char *ending) {
  const size_t length = strlen(path), n = strlen(ending);
  return length >= n && !strcasecmp(path + length - n, ending);
}

/* The format that a name tells, as an index into the table; n_formats for none. `what` says it in words. */
static size_t known_format(const char *path, char what[32]) {
  const bool folder = ld_is_folder(path);
  snprintf(what, 32, "%s", folder ? "a folder" : "unsupported file type");
  for (size_t i = 0; i < n_formats; i++)
    for (const char *const *ending = formats[i].format->endings; *ending; ending++) {
      const bool slash = **ending == '/';
      if (slash != folder || !(slash || has_ending(path, *ending))) continue;
      if (!slash) snprintf(what, 32, "a %s file", *ending);
      return i;
    }
  return n_formats;
}

static int find_format(const char *path, ld_data_use use, const ld_data_format **out, ld_error *err) {
  char what[32];
  const size_t i = known_format(path, what);
  if (i == n_formats && !ld_file_exists(path))
    return ld_fail(err, LD_EFILE, "%s: no such file or folder", path);
  if (i == n_formats || !formats[i].fits[use]) return fail_use(path, what, use, err);
  *out = formats[i].format;
  return 0;
}

/* Whether the tokenizer ends a text by eos is seen on a text that does not end so by itself. */
static int find_out_eos(ld_dataset *dataset, ld_error *err) {
  if (dataset->options.use != LD_USE_LANGUAGE) return 0;
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

static ld_dataset *create(const ld_data_format *format, const char *path, const ld_dataset_options *options) {
  ld_dataset *dataset = ld_alloc(1, sizeof *dataset);
  dataset->format = format;
  dataset->path = ld_strdup(path);
  dataset->options = *options;
  return dataset;
}

static int end_open(ld_dataset *dataset, int rc, ld_dataset **out) {
  dataset->options.chat_template = NULL; /* the layout is found, and these are the caller's */
  dataset->options.own_template = NULL;
  if (rc)
    ld_dataset_close(dataset);
  else
    *out = dataset;
  return rc;
}

int ld_dataset_open(const char *path, const ld_dataset_options *options, ld_dataset **out, ld_error *err) {
  *out = NULL;
  const ld_data_format *format = NULL;
  int rc = find_format(path, options->use, &format, err);
  if (rc) return rc;
  ld_dataset *dataset = create(format, path, options);
  dataset->stamp = ld_stamp_of(path);
  rc = find_out_eos(dataset, err);
  if (!rc) rc = format->open(dataset, err);
  return end_open(dataset, rc, out);
}

static int check_place(const ld_dataset *dataset, const ld_record *record, ld_error *err) {
  if (record->offset <= dataset->length && record->bytes <= dataset->length - record->offset) return 0;
  return ld_fail(err, LD_EMISMATCH, "%s: a record of the index lies beyond its end: has the file changed?",
                 dataset->path);
}

/* What a description begins with; what the format adds follows. */
typedef struct description {
  size_t format; /* in the table */
  ld_data_form form;
  uint64_t first, length;
} description;

void ld_dataset_describe(const ld_dataset *dataset, ld_text *out) {
  description d;
  memset(&d, 0, sizeof d);
  while (formats[d.format].format != dataset->format) d.format++;
  d.form = dataset->form;
  d.first = dataset->first;
  d.length = dataset->length;
  ld_text_append(out, &d, sizeof d);
  if (dataset->format->describe) dataset->format->describe(dataset, out);
}

int ld_dataset_open_described(const char *path, const ld_dataset_options *options, const void *bytes,
                              size_t length, ld_dataset **out, ld_error *err) {
  *out = NULL;
  description d;
  if (length >= sizeof d) memcpy(&d, bytes, sizeof d);
  if (length < sizeof d || d.format >= n_formats)
    return ld_fail(err, LD_EFORMAT, "%s: its description was cut off on its way", path);
  ld_dataset *dataset = create(formats[d.format].format, path, options);
  dataset->form = d.form;
  dataset->first = d.first;
  dataset->length = d.length;
  int rc = find_out_eos(dataset, err);
  if (!rc && d.form == LD_DATA_CHAT) {
    dataset->layout = ld_chat_find(options->chat_template, options->own_template, options->tokenizer, err);
    rc = dataset->layout ? 0 : LD_EUSAGE;
  }
  if (!rc && dataset->format->open_described)
    rc = dataset->format->open_described(dataset, (const char *)bytes + sizeof d, length - sizeof d, err);
  if (!rc) rc = ld_sent_open(dataset, err);
  return end_open(dataset, rc, out);
}

int ld_dataset_fetch(const ld_dataset *dataset, const ld_record *record, ld_text *out, ld_error *err) {
  int rc = check_place(dataset, record, err);
  if (rc) return rc;
  if (!dataset->format->fetch) {
    ld_sent_put(record->offset, dataset->map.bytes + record->offset, record->bytes, out);
    return 0;
  }
  ld_text bytes = {0};
  rc = dataset->format->fetch(dataset, record, &bytes, err);
  if (!rc) ld_sent_put(record->offset, bytes.bytes, bytes.length, out);
  ld_text_free(&bytes);
  return rc;
}

size_t ld_dataset_mean_bytes(const ld_dataset *dataset) {
  return dataset->format->mean_bytes ? dataset->format->mean_bytes(dataset) : 0;
}

void ld_dataset_close(ld_dataset *dataset) {
  if (!dataset) return;
  if (dataset->own && dataset->format->close) dataset->format->close(dataset);
  ld_map_close(&dataset->map);
  ld_sent_close(dataset->sent);
  free(dataset->path);
  free(dataset);
}

ld_data_form ld_dataset_form(const ld_dataset *dataset) {
  return dataset->form;
}

const char *ld_dataset_path(const ld_dataset *dataset) {
  return dataset->path;
}

void ld_dataset_warn_unused(const ld_dataset *dataset, const char *what, const ld_tally *unused) {
  ld_text list = {0};
  bool labels = false;
  if (!unused->n) return;
  for (size_t i = 0; i < unused->n; i++) labels = labels || ld_columns_is_label(unused->items[i].name);
  ld_tally_list(unused, "\"", &list);
  ld_warn("%s: not used: %s %s%s", dataset->path, what, list.bytes,
          labels && dataset->options.use == LD_USE_LANGUAGE
              ? " (a language model learns the texts alone: for labels give a classifier's --model)"
              : "");
  ld_text_free(&list);
}

const char *ld_dataset_file(const ld_dataset *dataset, const ld_record *record) {
  return dataset->format->name && !dataset->sent ? dataset->format->name(dataset, record) : NULL;
}

void ld_sample_free(ld_sample *sample) {
  ld_ids_free(&sample->tokens);
  ld_ids_free(&sample->types);
  free(sample->target);
  ld_image_free(&sample->image);
  ld_text_free(&sample->label_name);
  memset(sample, 0, sizeof *sample);
}

int ld_dataset_fail_at(const ld_dataset *dataset, const ld_record *record, int rc, ld_error *err) {
  const char *file = ld_dataset_file(dataset, record);
  if (file) return ld_fail_prefix(err, rc, "%s/%s", dataset->path, file);
  if (dataset->form == LD_DATA_IMAGES)
    return ld_fail_prefix(err, rc, "%s: image %" PRIu64, dataset->path, record->offset);
  const size_t line = ld_data_line(dataset, record->offset);
  return line ? ld_fail_prefix(err, rc, "%s: line %zu", dataset->path, line)
              : ld_fail_prefix(err, rc, "%s", dataset->path);
}

static void clear(ld_sample *sample) {
  sample->tokens.n = sample->types.n = sample->n_whole = 0;
  sample->label_kind = LD_LABEL_NONE;
  sample->label_value = 0;
  sample->turned = false;
  ld_text_clear(&sample->label_name);
}

static int read_sent(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err) {
  const ld_data_format *format = dataset->format;
  const char *bytes;
  size_t length;
  const int rc = ld_sent_find(dataset, record, &bytes, &length, err);
  if (rc) return rc;
  if (!format->read_sent && length != record->bytes)
    return ld_fail(err, LD_EMISMATCH, "%s: a record was sent with another length than the index gives it",
                   dataset->path);
  return format->read_sent ? format->read_sent(dataset, record, bytes, length, sample, err)
                           : format->read(dataset, record, sample, err);
}

/* Reads a record, uncut but for labelled text. */
static int read_whole(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err) {
  clear(sample);
  int rc = dataset->sent ? read_sent(dataset, record, sample, err)
                         : dataset->format->read(dataset, record, sample, err);
  if (rc) return rc;
  if (sample->n_whole < sample->tokens.n) sample->n_whole = sample->tokens.n;
  if (sample->n_whole <= INT32_MAX) return 0;
  rc = ld_fail(err, LD_EUNSUPPORTED, "the record has more than 2^31 tokens, split it");
  return ld_dataset_fail_at(dataset, record, rc, err);
}

static void cut(const ld_dataset *dataset, ld_sample *sample) {
  const size_t most = (size_t)dataset->options.seq_len;
  if (dataset->form != LD_DATA_RAW && dataset->options.seq_len > 0 && sample->tokens.n > most)
    sample->tokens.n = most;
}

int ld_dataset_read(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err) {
  int rc = check_place(dataset, record, err);
  if (!rc) rc = read_whole(dataset, record, sample, err);
  if (!rc) cut(dataset, sample);
  return rc;
}

static uint64_t part_begin(const ld_dataset *dataset, int part, int n_parts) {
  const uint64_t n = (uint64_t)n_parts, k = (uint64_t)part;
  const uint64_t at = dataset->length / n * k + dataset->length % n * k / n;
  if (at <= dataset->first) return dataset->first;
  return at < dataset->length ? dataset->format->next(dataset, at - 1) : dataset->length;
}

/* Fills the record from the sample. */
static int measure(const ld_dataset *dataset, ld_sample *sample, ld_label_set *labels, ld_record *record,
                   ld_error *err) {
  record->n_tokens = dataset->form == LD_DATA_IMAGES ? 1 : (int32_t)sample->n_whole;
  if (!record->n_tokens) return 0;
  if (dataset->options.unlabelled) sample->label_kind = LD_LABEL_NONE;
  int rc = ld_label_set_add(labels, sample, record, err);
  if (rc) return ld_dataset_fail_at(dataset, record, rc, err);
  if (dataset->form == LD_DATA_LABELLED || dataset->form == LD_DATA_IMAGES) return 0;
  cut(dataset, sample);
  for (size_t i = 0; i < sample->tokens.n; i++) record->n_targets += sample->target[i];
  return 0;
}

/* Whether an image may be passed over: what cannot be read at all may be there the next time, and the data
 * would be another. */
static bool pass_over(const ld_dataset *dataset, int rc) {
  return dataset->form == LD_DATA_IMAGES && !dataset->options.strict &&
         (rc == LD_EFORMAT || rc == LD_EUNSUPPORTED);
}

static int add_record(const ld_dataset *dataset, ld_record record, ld_sample *scratch, ld_label_set *labels,
                      ld_index *out, ld_error *err) {
  ld_error broken = {0};
  int rc = read_whole(dataset, &record, scratch, &broken);
  if (rc && pass_over(dataset, rc)) {
    if (!out->n_skipped++) out->first_skipped = broken;
    return 0;
  }
  if (rc) return ld_fail(err, rc, "%s", broken.text);
  rc = measure(dataset, scratch, labels, &record, err);
  if (rc) return rc;
  if (!record.n_tokens) {
    out->n_empty += !ld_data_is_blank(dataset->map.bytes + record.offset, record.bytes);
    return 0;
  }
  out->n_turned += scratch->turned;
  out->records = ld_grow(out->records, out->n, &out->room, sizeof *out->records);
  out->records[out->n++] = record;
  return 0;
}

int ld_dataset_index(const ld_dataset *dataset, int part, int n_parts, ld_index *out, ld_error *err) {
  *out = (ld_index){0};
  const uint64_t stop = part_begin(dataset, part + 1, n_parts);
  ld_label_set labels = {.labels = &out->labels};
  ld_sample scratch = {.unused = &out->unused};
  int rc = 0;
  for (uint64_t at = part_begin(dataset, part, n_parts), next; !rc && at < stop; at = next) {
    next = dataset->format->next(dataset, at);
    rc = add_record(dataset, (ld_record){.offset = at, .bytes = next - at}, &scratch, &labels, out, err);
  }
  ld_sample_free(&scratch);
  ld_label_set_free(&labels);
  if (rc) ld_index_free(out);
  return rc;
}

void ld_index_free(ld_index *index) {
  free(index->records);
  ld_labels_free(&index->labels);
  ld_tally_free(&index->unused);
  *index = (ld_index){0};
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

const char *ld_dataset_layout(const ld_dataset *dataset) {
  return dataset->layout ? ld_chat_name(dataset->layout) : NULL;
}

int ld_dataset_set_layout(ld_dataset *dataset, const char *name, ld_error *err) {
  if (!strcmp(ld_chat_name(dataset->layout), name)) return 0;
  dataset->layout = ld_chat_find(name, NULL, dataset->options.tokenizer, err);
  return dataset->layout ? 0 : err->code;
}

uint64_t ld_dataset_stamp(const ld_dataset *dataset) {
  return dataset->format->stamp ? dataset->format->stamp(dataset) : dataset->stamp.id;
}

int ld_dataset_digest(const ld_dataset *dataset, ld_digests *digests, char digest[LD_DIGEST_TEXT + 1],
                      ld_error *err) {
  ld_contents contents;
  int rc = dataset->format->digest ? dataset->format->digest(dataset, digests, &contents, err)
                                   : ld_digests_of_file(digests, dataset->path, &contents, err);
  if (!rc && !dataset->format->stamp && ld_stamp_of(dataset->path).id != dataset->stamp.id)
    rc = ld_fail(err, LD_EFILE, "%s: changed while it was opened: run the same command again", dataset->path);
  if (!rc) ld_digest_show(contents.whole, digest);
  return rc;
}

void ld_dataset_old_digest(const ld_dataset *dataset, char digest[17]) {
  snprintf(digest, 17, "%016" PRIx64,
           dataset->format->old_digest ? dataset->format->old_digest(dataset)
                                       : hash(dataset->map.bytes, dataset->map.length));
}

/* The bytes in use, and the digest that they had. */
typedef struct mapped {
  const ld_map *map;
  const char *digest;
} mapped;

static bool has_changed(void *self) {
  const mapped *m = self;
  char found[LD_DIGEST_TEXT + 1];
  ld_region region = {m->map->bytes, m->map->length, 0};
  ld_hash_regions(&region, 1, 1);
  ld_digest_show(region.hash, found);
  return strcmp(found, m->digest) != 0;
}

int ld_dataset_check(ld_dataset *dataset, const char *digest, ld_error *err) {
  const ld_stamp now = ld_stamp_of(dataset->path), was = dataset->stamp;
  if (dataset->format->stamp || dataset->sent || now.id == was.id) return 0;
  dataset->stamp = now;
  return ld_digests_settle(dataset->path, &was, &now, has_changed, &(mapped){&dataset->map, digest}, err);
}
