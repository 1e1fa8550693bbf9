#include "data/feed.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "data/augment.h"

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
    const ld_row_piece *piece = &plan->pieces[row->first_piece + (size_t)p];
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

/* The class of a name; -1 for one that the base does not have. */
static int32_t class_of(const ld_labels *labels, const char *name) {
  for (size_t i = 0; i < labels->n_names; i++)
    if (!strcmp(labels->names[i], name)) return (int32_t)i;
  return -1;
}

/* The targets of tagged text stand by token. Without tags, of data that is only predicted, each is 0. */
static void put_tags(const ld_corpus *corpus, const ld_sample *sample, int32_t *targets) {
  const char *tag = sample->tags.length ? sample->tags.bytes : NULL;
  for (size_t i = 0; i < sample->tokens.n; i++) {
    targets[i] = sample->target[i] ? 0 : -1;
    if (!sample->target[i] || !tag) continue;
    targets[i] = class_of(&corpus->base->labels, tag);
    tag += strlen(tag) + 1;
  }
}

/* A sample of a classifier is a segment; targets and values stand by segment. */
static int put_text(const ld_corpus *corpus, int64_t row, ld_feed *feed, cursor *at, ld_error *err) {
  const ld_record *record = ld_corpus_record(corpus, row);
  ld_sample *sample = &feed->sample;
  const int rc = ld_dataset_read(corpus->dataset, record, sample, err);
  if (rc) return rc;
  if (sample->tokens.n != (size_t)corpus->plan->rows[row].n_tokens)
    return ld_fail(err, LD_EMISMATCH, "%s: changed while it was in use", ld_dataset_path(corpus->dataset));
  if (ld_dataset_form(corpus->dataset)->tagged)
    put_tags(corpus, sample, feed->targets + at->n_tokens);
  else
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
  const ld_data_form *form = ld_dataset_form(corpus->dataset);
  if (form->images) return put_image(corpus, ld_corpus_record(corpus, row), epoch, n_rows, feed, at, err);
  return form->labelled ? put_text(corpus, row, feed, at, err)
                        : put_tokens(corpus, &corpus->plan->rows[row], feed, at, err);
}

static void make_batch(const ld_corpus *corpus, const ld_feed *feed, int n_tokens, int n_segments,
                       ld_batch *batch) {
  const ld_image_rule *rule = &corpus->base->image_rule;
  const ld_data_form *form = ld_dataset_form(corpus->dataset);
  feed->segment[n_segments] = n_tokens;
  *batch = (ld_batch){.n_tokens = n_tokens,
                      .ids = feed->ids,
                      .positions = feed->positions,
                      .types = form->labelled && !form->images ? feed->types : NULL,
                      .targets = feed->targets,
                      .n_segments = n_segments,
                      .segment = feed->segment};
  if (form->labelled) batch->values = feed->values;
  if (!form->images) return;
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
