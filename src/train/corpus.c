#include "train/corpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "train/augment.h"

static int seq_len_of(const ld_base *base, const ld_options *options) {
  const int most = base->model->max_positions;
  return !most || options->seq_len < most ? (int)options->seq_len : most;
}

static bool classifies(const ld_corpus *corpus) {
  return corpus->base->model->family->classifies;
}

static ld_data_use use_of(const ld_model *model) {
  return model->family->takes_images ? LD_USE_IMAGES
         : model->family->classifies ? LD_USE_CLASSES
                                     : LD_USE_LANGUAGE;
}

/* Every rank learns every part's labels; this rank's records then count names by their union. */
static int join_labels(ld_corpus *corpus, ld_index *index, ld_comm *comm, ld_error *err) {
  ld_text mine = {0};
  void *all;
  size_t bytes, n = 0;
  ld_labels_put(&index->labels, &mine);
  ld_comm_gather_all(comm, mine.bytes, mine.length, &all, &bytes);
  ld_text_free(&mine);
  ld_labels *parts = ld_alloc((size_t)ld_comm_size(comm), sizeof *parts);
  int rc = 0;
  for (const char *at = all, *end = at + bytes; !rc && at < end && n < (size_t)ld_comm_size(comm); n++)
    rc = ld_labels_take(&at, end, &parts[n], err);
  if (!rc) rc = ld_labels_merge(parts, n, &corpus->labels, err);
  if (rc) ld_fail_prefix(err, rc, "%s", ld_dataset_path(corpus->dataset));
  if (!rc) rc = ld_index_renumber(index, &corpus->labels, err);
  for (size_t i = 0; i < n; i++) ld_labels_free(&parts[i]);
  free(parts);
  free(all);
  return ld_comm_agree(comm, rc, err);
}

static int join_index(ld_corpus *corpus, ld_comm *comm, ld_error *err) {
  ld_index index;
  int rc = ld_dataset_index(corpus->dataset, ld_comm_rank(comm), ld_comm_size(comm), &index, err);
  rc = ld_comm_agree(comm, rc, err);
  if (!rc && classifies(corpus)) rc = join_labels(corpus, &index, comm, err);
  if (!rc) {
    void *all;
    size_t bytes;
    ld_comm_gather_all(comm, index.records, index.n * sizeof *index.records, &all, &bytes);
    corpus->records = all;
    corpus->n_records = (int64_t)(bytes / sizeof *index.records);
    corpus->n_skipped = (int64_t)index.n_skipped;
    ld_comm_sum_i64(comm, &corpus->n_skipped, 1);
    if (index.n_skipped) ld_warn("passed over: %s", index.first_skipped.text);
    if (corpus->n_skipped)
      ld_warn("%s: %lld broken images in all are passed over (--strict makes them errors)",
              ld_dataset_path(corpus->dataset), (long long)corpus->n_skipped);
  }
  ld_index_free(&index);
  return rc;
}

static void share_digest(ld_corpus *corpus, ld_comm *comm) {
  if (ld_comm_rank(comm) == 0)
    snprintf(corpus->digest, sizeof corpus->digest, "%s", ld_dataset_digest(corpus->dataset));
  ld_comm_broadcast(comm, corpus->digest, sizeof corpus->digest, 0);
}

static int plan_rows(ld_corpus *corpus, ld_error *err) {
  const ld_options *options = corpus->options;
  const int seq_len = seq_len_of(corpus->base, options);
  ld_length *lengths = ld_alloc((size_t)corpus->n_records, sizeof *lengths);
  for (int64_t i = 0; i < corpus->n_records; i++)
    lengths[i] = (ld_length){corpus->records[i].n_tokens, corpus->records[i].n_targets};
  const ld_data_form form = ld_dataset_form(corpus->dataset);
  const bool raw = form == LD_DATA_RAW || form == LD_DATA_TEXT;
  const bool pack =
      !classifies(corpus) && (strcmp(options->pack, "auto") ? !strcmp(options->pack, "yes") : raw);
  corpus->plan = form == LD_DATA_RAW
                     ? ld_plan_stream(lengths, corpus->n_records, seq_len, corpus->base->bos >= 0)
                     : ld_plan_records(lengths, corpus->n_records, seq_len, pack);
  free(lengths);
  if (corpus->plan->n_targets) return 0;
  if (classifies(corpus))
    return ld_fail(err, LD_EFORMAT, "%s: of %lld records none has a label", ld_dataset_path(corpus->dataset),
                   (long long)corpus->n_records);
  return ld_fail(
      err, LD_EFORMAT,
      "%s: trains no token: of %lld records none has a target within --seq-len %d (are the completions "
      "empty, or all prompts longer than that?)",
      ld_dataset_path(corpus->dataset), (long long)corpus->n_records, seq_len);
}

int ld_corpus_open(const char *path, const ld_base *base, const ld_options *options, ld_comm *comm,
                   ld_corpus **out, ld_error *err) {
  const ld_dataset_options data_options = {.use = use_of(base->model),
                                           .tokenizer = base->tokenizer,
                                           .image_rule = &base->image_rule,
                                           .strict = options->strict,
                                           .eos = base->eos,
                                           .seq_len = seq_len_of(base, options),
                                           .mask_prompt = options->mask_prompt,
                                           .chat_template = options->chat_template};
  ld_corpus *corpus = ld_alloc(1, sizeof *corpus);
  corpus->base = base;
  corpus->options = options;
  int rc = ld_comm_agree(comm, ld_dataset_open(path, &data_options, &corpus->dataset, err), err);
  if (!rc) rc = join_index(corpus, comm, err);
  if (!rc) {
    share_digest(corpus, comm);
    if (!classifies(corpus)) rc = plan_rows(corpus, err);
  }
  if (rc) {
    ld_corpus_close(corpus);
    return rc;
  }
  *out = corpus;
  return 0;
}

/* Names become the base's classes. */
static int map_names(ld_corpus *corpus, ld_error *err) {
  ld_index view = {.records = corpus->records, .n = (size_t)corpus->n_records, .labels = corpus->labels};
  const int rc = ld_index_renumber(&view, &corpus->base->labels, err);
  corpus->labels = view.labels;
  return rc ? ld_fail_prefix(err, rc, "%s", ld_dataset_path(corpus->dataset)) : 0;
}

static int check_labels(const ld_corpus *corpus, ld_error *err) {
  const ld_model *model = corpus->base->model;
  const ld_labels *labels = &corpus->labels;
  const char *path = ld_dataset_path(corpus->dataset);
  if (model->task == LD_TASK_VALUE)
    return labels->kind != LD_LABEL_NAME ? 0
                                         : ld_fail(err, LD_EMISMATCH,
                                                   "%s: the label '%s' is a name, but the model has one "
                                                   "output, for numbers",
                                                   path, labels->names[0]);
  if (labels->kind == LD_LABEL_REAL)
    return ld_fail(err, LD_EMISMATCH,
                   "%s: has labels with fractions, but the model has %d classes: for numbers give "
                   "--labels 1 when training",
                   path, model->head->out);
  if (labels->kind == LD_LABEL_INTEGER && labels->largest >= model->head->out)
    return ld_fail(err, LD_EMISMATCH, "%s: has the label %lld, but the model's classes are 0 to %d", path,
                   (long long)labels->largest, model->head->out - 1);
  return 0;
}

int ld_corpus_plan(ld_corpus *corpus, bool every, ld_error *err) {
  int rc = classifies(corpus) ? check_labels(corpus, err) : 0;
  if (!rc && classifies(corpus) && corpus->labels.kind == LD_LABEL_NAME) rc = map_names(corpus, err);
  for (int64_t i = 0; every && i < corpus->n_records; i++) corpus->records[i].n_targets = 1;
  if (rc || corpus->plan) return rc;
  return plan_rows(corpus, err);
}

void ld_corpus_close(ld_corpus *corpus) {
  if (!corpus) return;
  ld_plan_free(corpus->plan);
  ld_labels_free(&corpus->labels);
  free(corpus->records);
  ld_dataset_close(corpus->dataset);
  free(corpus);
}

const ld_record *ld_corpus_record(const ld_corpus *corpus, int64_t row) {
  return &corpus->records[corpus->plan->pieces[corpus->plan->rows[row].first_piece].record];
}

int32_t ld_corpus_class(const ld_corpus *corpus, int64_t row) {
  return ld_corpus_record(corpus, row)->label;
}

float ld_corpus_value(const ld_corpus *corpus, int64_t row) {
  return ld_corpus_record(corpus, row)->value;
}

void ld_feed_free(ld_feed *feed) {
  free(feed->ids);
  free(feed->positions);
  free(feed->types);
  free(feed->targets);
  free(feed->segment);
  free(feed->values);
  free(feed->pixels);
  ld_sample_free(&feed->sample);
  *feed = (ld_feed){0};
}

static void make_room(ld_feed *feed, size_t tokens, size_t segments, size_t pixels) {
  if (tokens > feed->room) {
    feed->room = tokens;
    feed->ids = ld_realloc(feed->ids, tokens, sizeof *feed->ids);
    feed->positions = ld_realloc(feed->positions, tokens, sizeof *feed->positions);
    feed->types = ld_realloc(feed->types, tokens, sizeof *feed->types);
    feed->targets = ld_realloc(feed->targets, tokens, sizeof *feed->targets);
  }
  if (segments + 1 > feed->segment_room) {
    feed->segment_room = segments + 1;
    feed->segment = ld_realloc(feed->segment, segments + 1, sizeof *feed->segment);
    feed->values = ld_realloc(feed->values, segments + 1, sizeof *feed->values);
  }
  if (pixels > feed->pixel_room) {
    feed->pixel_room = pixels;
    feed->pixels = ld_realloc(feed->pixels, pixels, sizeof *feed->pixels);
  }
}

static size_t pixels_of(const ld_corpus *corpus) {
  const ld_image_rule *rule = &corpus->base->image_rule;
  return (size_t)rule->channels * (size_t)rule->height * (size_t)rule->width;
}

/* Where the batch stands while it is filled. */
typedef struct cursor {
  int n_tokens, n_segments, position;
} cursor;

static void begin_segment(ld_feed *feed, cursor *at) {
  feed->segment[at->n_segments++] = at->n_tokens;
  at->position = 0;
}

/* A token is the target of the row before it, when that is of the same segment. */
static void put_token(ld_feed *feed, cursor *at, int32_t id, bool target) {
  feed->ids[at->n_tokens] = id;
  feed->types[at->n_tokens] = 0;
  feed->positions[at->n_tokens] = at->position;
  feed->targets[at->n_tokens] = -1;
  if (at->position && target) feed->targets[at->n_tokens - 1] = id;
  at->n_tokens++;
  at->position++;
}

static int put_tokens(const ld_corpus *corpus, const ld_row *row, ld_feed *feed, cursor *at, ld_error *err) {
  const ld_plan *plan = corpus->plan;
  for (int p = 0; p < row->n_pieces; p++) {
    const ld_piece *piece = &plan->pieces[row->first_piece + (size_t)p];
    const int rc = ld_dataset_read(corpus->dataset, &corpus->records[piece->record], &feed->sample, err);
    if (rc) return rc;
    if ((size_t)piece->first + (size_t)piece->count > feed->sample.tokens.n)
      return ld_fail(err, LD_EMISMATCH, "%s: changed while it was in use", ld_dataset_path(corpus->dataset));
    if (!p || !plan->continuous) begin_segment(feed, at);
    if (!p && plan->continuous && plan->bos) put_token(feed, at, corpus->base->bos, false);
    for (int32_t i = piece->first; i < piece->first + piece->count; i++)
      put_token(feed, at, feed->sample.tokens.ids[i], feed->sample.target[i]);
  }
  return 0;
}

/* A sample of a classifier is a segment; targets and values stand by segment. */
static int put_text(const ld_corpus *corpus, int64_t row, ld_feed *feed, cursor *at, ld_error *err) {
  const ld_record *record = ld_corpus_record(corpus, row);
  ld_sample *sample = &feed->sample;
  const int rc = ld_dataset_read(corpus->dataset, record, sample, err);
  if (rc) return rc;
  if (sample->tokens.n != (size_t)corpus->plan->rows[row].n_tokens)
    return ld_fail(err, LD_EMISMATCH, "%s: changed while it was in use", ld_dataset_path(corpus->dataset));
  feed->targets[at->n_segments] = record->label;
  feed->values[at->n_segments] = record->value;
  begin_segment(feed, at);
  for (size_t i = 0; i < sample->tokens.n; i++, at->n_tokens++) {
    feed->ids[at->n_tokens] = sample->tokens.ids[i];
    feed->types[at->n_tokens] = sample->types.ids[i];
    feed->positions[at->n_tokens] = (int32_t)i;
  }
  return 0;
}

static ld_augment augment_of(const ld_corpus *corpus, int64_t epoch, const ld_record *record) {
  const ld_options *options = corpus->options;
  if (epoch < 0) return (ld_augment){0};
  return ld_augment_draw(options->flip, (int)options->crop, (uint64_t)options->seed, (uint64_t)epoch,
                         (uint64_t)(record - corpus->records));
}

static int put_image(const ld_corpus *corpus, const ld_record *record, int64_t epoch, int n_rows,
                     ld_feed *feed, cursor *at, ld_error *err) {
  const int rc = ld_dataset_read(corpus->dataset, record, &feed->sample, err);
  if (rc) return rc;
  const ld_augment augment = augment_of(corpus, epoch, record);
  ld_image_put(&feed->sample.image, &corpus->base->image_rule, &augment, at->n_segments, n_rows,
               feed->pixels);
  feed->targets[at->n_segments] = record->label;
  feed->values[at->n_segments] = record->value;
  begin_segment(feed, at);
  at->n_tokens++;
  return 0;
}

static int put_row(const ld_corpus *corpus, int64_t row, int64_t epoch, int n_rows, ld_feed *feed, cursor *at,
                   ld_error *err) {
  switch (use_of(corpus->base->model)) {
  case LD_USE_IMAGES:
    return put_image(corpus, ld_corpus_record(corpus, row), epoch, n_rows, feed, at, err);
  case LD_USE_CLASSES:
    return put_text(corpus, row, feed, at, err);
  default:
    return put_tokens(corpus, &corpus->plan->rows[row], feed, at, err);
  }
}

static void make_batch(const ld_corpus *corpus, const ld_feed *feed, int n_tokens, int n_segments,
                       ld_batch *batch) {
  const ld_image_rule *rule = &corpus->base->image_rule;
  const bool images = corpus->base->model->family->takes_images;
  feed->segment[n_segments] = n_tokens;
  *batch = (ld_batch){.n_tokens = n_tokens,
                      .ids = feed->ids,
                      .positions = feed->positions,
                      .types = classifies(corpus) ? feed->types : NULL,
                      .targets = feed->targets,
                      .n_segments = n_segments,
                      .segment = feed->segment};
  if (classifies(corpus)) batch->values = feed->values;
  if (!images) return;
  batch->pixels = feed->pixels;
  batch->channels = rule->channels;
  batch->height = rule->height;
  batch->width = rule->width;
}

int ld_corpus_batch(const ld_corpus *corpus, const int64_t *rows, int n_rows, int64_t epoch, ld_feed *feed,
                    ld_batch *batch, ld_error *err) {
  size_t tokens = 0, segments = 0;
  for (int i = 0; i < n_rows; i++) {
    const ld_row *row = &corpus->plan->rows[rows[i]];
    tokens += (size_t)row->n_tokens;
    segments += corpus->plan->continuous ? 1 : (size_t)row->n_pieces;
  }
  make_room(feed, tokens, segments, (size_t)n_rows * pixels_of(corpus));
  cursor at = {0};
  for (int i = 0; i < n_rows; i++) {
    const int rc = put_row(corpus, rows[i], epoch, n_rows, feed, &at, err);
    if (rc) return rc;
  }
  make_batch(corpus, feed, at.n_tokens, at.n_segments, batch);
  if (batch->pixels) return 0;
  return ld_base_check_ids(corpus->base, feed->ids, batch->types, (size_t)at.n_tokens, err);
}

int ld_corpus_blank(const ld_corpus *corpus, int64_t n_rows, ld_feed *feed, ld_batch *batch, ld_error *err) {
  const int64_t longest = corpus->plan->longest;
  const size_t pixels = (size_t)n_rows * pixels_of(corpus);
  if (n_rows * longest > INT32_MAX / 2 || pixels > INT32_MAX / 2)
    return ld_fail(err, LD_EUSAGE, "--micro-batch %lld: that is too much for one pass", (long long)n_rows);
  const int n_tokens = (int)(n_rows * longest);
  make_room(feed, (size_t)n_tokens, (size_t)n_rows, pixels);
  for (int t = 0; t < n_tokens; t++) {
    feed->ids[t] = feed->types[t] = feed->targets[t] = 0;
    feed->positions[t] = t % (int)longest;
    if (t % longest == 0) feed->segment[t / longest] = t;
  }
  make_batch(corpus, feed, n_tokens, (int)n_rows, batch);
  return 0;
}
