#include "io/dataset/dataset.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "io/dataset/data_form.h"
#include "io/dataset/form.h"
#include "io/dataset/foreign.h"
#include "io/dataset/format.h"
#include "io/dataset/joined.h"
#include "io/dataset/packings.h"
#include "io/dataset/source_received.h"
#include "io/dataset/tokens.h"

static const ld_data_format *const formats[] = {
    &ld_data_jsonl,      &ld_data_json_array, &ld_data_tsv,          &ld_data_csv,
    &ld_data_raw,        &ld_data_conll,      &ld_data_image_folder, &ld_data_picture_folder,
    &ld_data_image_file, &ld_data_image_hdf5};

enum { n_formats = sizeof formats / sizeof *formats };

static bool has_key(const ld_data_form *form, const char *name) {
  for (const char *const *key = form->keys; *key; key++)
    if (!strcmp(*key, name)) return true;
  return false;
}

/* The first form that records of the format can have; NULL for none. */
static const ld_data_form *form_for(const ld_data_format *format, const ld_dataset_options *options) {
  for (const ld_data_form *const *forms = options->forms; *forms; forms++)
    if (((*forms)->pictures && options->tokenizer) == format->captions &&
        !strcmp((*forms)->input, format->image ? "image" : "text") &&
        (*forms)->continuous == format->continuous && (!format->columns || (*forms)->columns) &&
        (!format->key || has_key(*forms, format->key)))
      return *forms;
  return NULL;
}

static int fail_format(const char *path, const char *what, const ld_dataset_options *options, ld_error *err) {
  ld_text known = {0};
  const ld_data_form *first = options->forms[0];
  if (first->pictures)
    ld_text_puts(&known, options->tokenizer ? "a folder of images with captions" : "a folder of images");
  for (size_t i = 0; i < n_formats; i++)
    for (const char *const *ending = formats[i]->endings; form_for(formats[i], options) && *ending; ending++)
      if (**ending != '/') ld_text_printf(&known, "%s%s", known.length ? ", " : "", *ending);
  int rc = ld_fail(err, LD_EUNSUPPORTED, "%s: %s; %s %s", path, what, first->takes, known.bytes);
  ld_text_free(&known);
  return rc;
}

static bool has_ending(const char *path, const char *ending) {
  const size_t length = strlen(path), n = strlen(ending);
  return length >= n && !strcasecmp(path + length - n, ending);
}

/* The format for a file name, as an index into the table, the first that the model takes; n_formats for none. `what`
 * receives its name. */
static size_t known_format(const char *path, const ld_dataset_options *options, char what[32]) {
  size_t found = n_formats;
  const bool folder = ld_is_folder(path);
  snprintf(what, 32, "%s", folder ? "a folder" : "unsupported file type");
  for (size_t i = 0; i < n_formats; i++)
    for (const char *const *ending = formats[i]->endings; *ending; ending++) {
      const bool slash = **ending == '/';
      if (slash != folder || !(slash || has_ending(path, *ending))) continue;
      if (!slash) snprintf(what, 32, "a %s file", *ending);
      if (form_for(formats[i], options)) return i;
      found = i;
    }
  return found;
}

static int find_format(const char *path, const ld_dataset_options *options, const ld_data_format **out,
                       ld_error *err) {
  char what[32];
  char *bare = ld_packing_bare_name(path);
  const size_t i = known_format(ld_is_folder(path) ? path : bare, options, what);
  free(bare);
  if (i == n_formats && !ld_file_exists(path))
    return ld_fail(err, LD_EFILE, "%s: no such file or folder", path);
  if (i == n_formats || !form_for(formats[i], options)) return fail_format(path, what, options, err);
  *out = formats[i];
  return 0;
}

bool ld_dataset_takes_folder(const char *path, const ld_dataset_options *options) {
  char what[32];
  const size_t i = known_format(path, options, what);
  return i < n_formats && form_for(formats[i], options);
}

bool ld_dataset_takes_text(const char *path, const ld_dataset_options *options) {
  char what[32];
  char *bare = ld_packing_bare_name(path);
  const size_t i = known_format(bare, options, what);
  free(bare);
  return i < n_formats && formats[i]->source == ld_data_map_text && form_for(formats[i], options);
}

int ld_dataset_join_rule(const char *path, bool several, const ld_dataset_options *options, size_t *format,
                         ld_join_rule *rule, ld_error *err) {
  const ld_data_format *found = NULL;
  const int rc = find_format(path, options, &found, err);
  if (rc || !found) return rc;
  if (found->source != ld_data_map_text)
    return ld_fail(
        err, LD_EUNSUPPORTED,
        "%s: is neither compressed text nor one of several files of text: unpack it, and give it alone",
        path);
  if (several && !found->between)
    return ld_fail(err, LD_EUNSUPPORTED,
                   "%s: a %s file is a whole of its own and is not read with others: give it alone, or make "
                   ".jsonl of it",
                   path, *found->endings);
  *rule = (ld_join_rule){found->between ? found->between : "", found->header};
  for (*format = 0; formats[*format] != found;) ++*format;
  return 0;
}

/* Encodes a text without eos at its end, to see whether the tokenizer appends one. */
static int detect_eos(ld_dataset *dataset, ld_error *err) {
  const int32_t eos = dataset->options.eos;
  if (eos < 0 || !dataset->options.tokenizer) return 0;
  ld_ids bare = {0}, full = {0};
  int rc = ld_data_encode(dataset, "a", 1, false, &bare, err);
  if (!rc) rc = ld_data_encode(dataset, "a", 1, true, &full, err);
  const bool by_itself = bare.n && bare.ids[bare.n - 1] == eos;
  dataset->adds_eos = !by_itself && full.n && full.ids[full.n - 1] == eos;
  ld_ids_free(&bare);
  ld_ids_free(&full);
  return rc;
}

static ld_dataset *create(const ld_data_format *format, const ld_dataset_options *options) {
  ld_dataset *dataset = ld_alloc(1, sizeof *dataset);
  dataset->format = format;
  dataset->options = *options;
  dataset->form = form_for(format, options);
  return dataset;
}

/* Opens a data set whose source is open, unless `rc` says that it is not. */
static int finish(ld_dataset *dataset, int rc, ld_dataset **out, ld_error *err) {
  if (!rc) rc = detect_eos(dataset, err);
  if (!rc) dataset->first = dataset->source->begin;
  if (!rc && dataset->format->open) rc = dataset->format->open(dataset, err);
  if (!rc && dataset->form->open) rc = dataset->form->open(dataset, err);
  dataset->options.chat_template = NULL; /* the layout has been found, and this is the caller's */
  dataset->options.own_template = NULL;
  dataset->options.joined = dataset->options.joined_name = NULL;
  if (rc)
    ld_dataset_close(dataset);
  else
    *out = dataset;
  return rc;
}

int ld_dataset_open(const char *path, const ld_dataset_options *options, ld_dataset **out, ld_error *err) {
  *out = NULL;
  const ld_data_format *format = NULL;
  int rc = options->joined ? 0 : ld_foreign_check(path, err);
  if (!rc) rc = find_format(options->joined ? options->joined_name : path, options, &format, err);
  if (rc || !format) return rc;
  if (options->class_data && !format->captions)
    return ld_fail(err, LD_EUSAGE,
                   "--class-data: goes with a folder of images with captions, which %s is not", path);
  ld_dataset *dataset = create(format, options);
  rc = finish(dataset, format->source(dataset, path, err), out, err);
  if (!rc && format->scan) rc = format->scan(dataset, err);
  if (!rc) return 0;
  ld_dataset_close(*out);
  *out = NULL;
  return rc;
}

void ld_dataset_put_opening(const ld_dataset *dataset, ld_text *out) {
  uint64_t format = 0;
  while (formats[format] != dataset->format) format++;
  ld_text_append(out, &format, sizeof format);
  ld_source_put_opening(dataset->source, out);
}

int ld_dataset_open_received(const char *path, const ld_dataset_options *options, const char *bytes,
                             size_t length, ld_dataset **out, ld_error *err) {
  uint64_t format;
  *out = NULL;
  if (length >= sizeof format) memcpy(&format, bytes, sizeof format);
  if (length < sizeof format || format >= n_formats || !form_for(formats[format], options))
    return ld_fail(err, LD_EFORMAT, "%s: its opening was received incomplete", path);
  ld_dataset *dataset = create(formats[format], options);
  const int rc =
      ld_source_of_opening(path, bytes + sizeof format, length - sizeof format, &dataset->source, err);
  return finish(dataset, rc, out, err);
}

void ld_dataset_close(ld_dataset *dataset) {
  if (!dataset) return;
  if (dataset->own && dataset->format->close) dataset->format->close(dataset);
  ld_source_close(dataset->source);
  ld_data_keys_free(&dataset->keys);
  free(dataset);
}

const ld_data_form *ld_dataset_form(const ld_dataset *dataset) {
  return dataset->form;
}

const ld_dataset_options *ld_dataset_asked(const ld_dataset *dataset) {
  return &dataset->options;
}

void ld_dataset_set_lengths(ld_dataset *dataset, int seq_len, int target_len) {
  dataset->options.seq_len = seq_len;
  dataset->options.target_len = target_len;
}

const char *ld_dataset_text_key(const ld_dataset *dataset) {
  return dataset->keys.text;
}

const char *ld_dataset_pair_key(const ld_dataset *dataset) {
  return dataset->keys.pair;
}

ld_source *ld_dataset_source(const ld_dataset *dataset) {
  return dataset->source;
}

const char *ld_dataset_path(const ld_dataset *dataset) {
  return dataset->source->path;
}

void ld_dataset_warn_unused(const ld_dataset *dataset, const char *what, const ld_tally *unused) {
  ld_data_warn_unused(dataset, what, unused);
}

int ld_dataset_fail_at(const ld_dataset *dataset, const ld_record *record, int rc, ld_error *err) {
  const char *file = ld_source_name(dataset->source, record->offset);
  const char *path = ld_data_path_of(dataset, record);
  if (file) return ld_fail_prefix(err, rc, "%s/%s", path, file);
  const char *image = dataset->format->image;
  if (image) return ld_fail_prefix(err, rc, "%s: %s %" PRIu64, path, image, record->offset);
  return ld_data_fail_at(dataset, record->offset, rc, err);
}

static void clear(ld_sample *sample) {
  sample->tokens.n = sample->types.n = sample->n_whole = 0;
  sample->label_kind = LD_LABEL_NONE;
  sample->label_value = 0;
  sample->turned = sample->blended = false;
  sample->size = 0;
  ld_text_clear(&sample->label_name);
  sample->parts.n = 0;
  sample->n_parts = 0;
  ld_text_clear(&sample->sentences);
  sample->chosen.n = 0;
  ld_text_clear(&sample->tags);
  sample->listed = false;
  sample->cut = 0;
  sample->n_source = 0;
  ld_text_clear(&sample->references);
}

int ld_dataset_parse(const ld_dataset *dataset, const ld_record *record, ld_parsed *out, ld_error *err) {
  ld_bytes bytes;
  int rc = ld_source_read(dataset->source, record->offset, record->bytes, &bytes, err);
  if (!rc) rc = dataset->format->read(dataset, record, &bytes, out, err);
  ld_bytes_free(&bytes);
  return rc;
}

/* Makes the sample, not truncated except for labelled text; *there says whether there is a record at this
 * position. */
static int read_whole(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, bool *there,
                      ld_error *err) {
  ld_parsed parsed = {.unused = sample->unused};
  clear(sample);
  int rc = ld_dataset_parse(dataset, record, &parsed, err);
  *there = !rc && !ld_parsed_is_empty(&parsed);
  if (*there) {
    const bool asks = dataset->options.unlabelled && dataset->form->ask;
    rc = (asks ? dataset->form->ask : dataset->form->make)(dataset, record, &parsed, sample, err);
    if (rc && !parsed.place) ld_data_fail_at(dataset, record->offset, rc, err);
  }
  ld_parsed_free(&parsed);
  if (rc) return rc;
  if (sample->n_whole < sample->tokens.n) sample->n_whole = sample->tokens.n;
  if (sample->n_whole <= INT32_MAX) return 0;
  rc = ld_fail(err, LD_EUNSUPPORTED, "the record has more than 2^31 tokens, split it");
  return ld_dataset_fail_at(dataset, record, rc, err);
}

static void cut(const ld_dataset *dataset, ld_sample *sample) {
  const size_t most = (size_t)dataset->options.seq_len;
  if (dataset->form->continuous || dataset->form->apart || !most || ld_data_longest(&sample->tokens) <= most)
    return;
  sample->tokens.n = most;
  sample->cut |= LD_CUT_INPUT;
}

int ld_dataset_read(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err) {
  bool there;
  const int rc = read_whole(dataset, record, sample, &there, err);
  if (!rc) cut(dataset, sample);
  return rc;
}

/* The first offset after `offset` at which a record begins. A format that does not advance would never end. */
static uint64_t next(const ld_dataset *dataset, uint64_t offset) {
  const ld_data_format *format = dataset->format;
  const uint64_t at = format->next ? format->next(dataset, offset) : offset + 1;
  if (at > offset && at <= dataset->source->length) return at;
  fprintf(stderr,
          "lora_dist: internal error: the format of %s files finds the record after %" PRIu64 " at %" PRIu64
          ", in a length of %" PRIu64 "\n",
          *format->endings, offset, at, dataset->source->length);
  abort();
}

static uint64_t part_begin(const ld_dataset *dataset, int part, int n_parts) {
  const uint64_t n = (uint64_t)n_parts, k = (uint64_t)part;
  const uint64_t length = dataset->source->length, at = length / n * k + length % n * k / n;
  if (at <= dataset->first) return dataset->first;
  return at < length ? next(dataset, at - 1) : length;
}

/* Adds the names of the sample's tags to the set. */
static int add_tags(ld_label_set *labels, const ld_text *tags, ld_error *err) {
  int rc = 0;
  for (size_t at = 0; at < tags->length && !rc; at += strlen(tags->bytes + at) + 1)
    rc = ld_label_set_add_name(labels, tags->bytes + at, err);
  return rc;
}

/* Fills the record from the sample. */
static int measure(const ld_dataset *dataset, ld_sample *sample, ld_label_set *labels, ld_record *record,
                   ld_error *err) {
  if (!sample->n_whole) return 0;
  record->n_parts = sample->n_parts;
  if (dataset->options.unlabelled) sample->label_kind = LD_LABEL_NONE;
  int rc = ld_label_set_add(labels, sample, record, err);
  if (rc) return ld_dataset_fail_at(dataset, record, rc, err);
  cut(dataset, sample);
  record->n_tokens = (int32_t)(sample->tokens.n ? sample->tokens.n : sample->n_whole);
  record->cut = sample->cut;
  record->size = sample->size;
  for (size_t i = 0; i < sample->tokens.n; i++) record->n_targets += sample->target[i];
  record->n_targets += sample->listed;
  if (dataset->form->pictures) record->n_targets = 1;
  rc = add_tags(labels, &sample->tags, err);
  return rc ? ld_dataset_fail_at(dataset, record, rc, err) : 0;
}

/* Whether an image may be skipped. A file that cannot be opened at all is an error: it may be readable the
 * next time, and the data would change. */
static bool may_skip(const ld_dataset *dataset, int rc) {
  return dataset->format->image && !dataset->options.strict && (rc == LD_EFORMAT || rc == LD_EUNSUPPORTED);
}

static int add_record(const ld_dataset *dataset, ld_record record, ld_sample *scratch, ld_label_set *labels,
                      ld_index *out, ld_error *err) {
  ld_error broken = {0};
  bool there;
  int rc = read_whole(dataset, &record, scratch, &there, &broken);
  if (rc && may_skip(dataset, rc)) {
    if (!out->n_skipped++) out->first_skipped = broken;
    return 0;
  }
  if (rc) return ld_fail(err, rc, "%s", broken.text);
  rc = measure(dataset, scratch, labels, &record, err);
  if (rc) return rc;
  if (!record.n_tokens) {
    out->n_empty += there;
    return 0;
  }
  out->n_turned += scratch->turned;
  out->n_blended += scratch->blended;
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
  for (uint64_t at = part_begin(dataset, part, n_parts), end; !rc && at < stop; at = end) {
    end = next(dataset, at);
    const bool prior = dataset->first_prior && at >= dataset->first_prior;
    const ld_record record = {.offset = at, .bytes = end - at, .prior = prior};
    rc = add_record(dataset, record, &scratch, &labels, out, err);
  }
  ld_sample_free(&scratch);
  ld_label_set_free(&labels);
  if (rc) ld_index_free(out);
  return rc;
}

static void put_text(const char *name, const char *value, ld_text *out) {
  if (value) ld_text_printf(out, "%s ", name);
  if (value) ld_text_put_visible(out, value);
  if (value) ld_text_puts(out, "\n");
}

void ld_dataset_put_key(const ld_dataset *dataset, ld_text *out) {
  const ld_dataset_options *o = &dataset->options;
  const ld_image_rule *rule = o->image_rule;
  ld_text_printf(out, "format %s %s\n", *dataset->format->endings, dataset->form->name);
  put_text("layout", ld_dataset_layout(dataset), out);
  ld_text_printf(out, "lengths %d %d %d\n", o->seq_len, o->target_len, o->sentences);
  ld_text_printf(out, "end %d %d\n", o->eos, dataset->adds_eos);
  ld_text_printf(out, "choices %d %d %d %d\n", o->unlabelled, o->strict, o->mask_prompt, o->settled);
  put_text("source-prefix", o->source_prefix, out);
  put_text("source-lang", o->source_lang, out);
  put_text("target-lang", o->target_lang, out);
  put_text("caption", o->caption, out);
  put_text("class-data", o->class_data ? "yes" : NULL, out);
  put_text("class-caption", o->class_caption, out);
  if (rule) ld_text_printf(out, "image %d %d %d\n", rule->channels, rule->height, rule->width);
  for (int i = 0; i < o->n_sizes; i++)
    ld_text_printf(out, "size %d %d\n", o->sizes[i].height, o->sizes[i].width);
}

const char *ld_dataset_layout(const ld_dataset *dataset) {
  return dataset->layout ? ld_chat_name(dataset->layout) : NULL;
}

int ld_dataset_set_layout(ld_dataset *dataset, const char *name, ld_error *err) {
  if (!strcmp(ld_chat_name(dataset->layout), name)) return 0;
  dataset->layout = ld_chat_find(name, NULL, dataset->options.tokenizer, err);
  return dataset->layout ? 0 : err->code;
}
