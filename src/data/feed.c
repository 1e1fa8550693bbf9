#include "data/feed.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "data/augment.h"
#include "io/dataset/tokens.h"

void ld_feed_free(ld_feed *feed) {
  ld_lane_free(&feed->input);
  ld_lane_free(&feed->targets);
  ld_sample_free(&feed->sample);
  *feed = (ld_feed){0};
}

/* Numbers of an image; 0 for text. */
static size_t pixels_of(const ld_corpus *corpus) {
  const ld_image_rule *rule = &corpus->base->image_rule;
  return (size_t)rule->channels * (size_t)rule->height * (size_t)rule->width;
}

/* Empties the lanes and makes room for so many tokens (images). */
static void clear(const ld_corpus *corpus, size_t tokens, ld_feed *feed) {
  ld_lane_clear(&feed->input);
  ld_lane_clear(&feed->targets);
  ld_lane_reserve(&feed->input, tokens, pixels_of(corpus));
  ld_lane_reserve(&feed->targets, tokens, 0);
}

static void lay_token(ld_lane *lane, int32_t id, int32_t type) {
  const int at = ld_lane_add(lane, 1, 0);
  lane->ids[at] = id;
  lane->types[at] = type;
  lane->positions[at] = at - lane->segment[lane->n_segments - 1];
}

static void lay_tokens(ld_lane *lane, const ld_laid *laid) {
  const ld_sample *sample = laid->sample;
  if (!laid->continues) ld_lane_begin_segment(lane);
  for (int i = laid->first; i < laid->first + laid->count; i++)
    lay_token(lane, sample->tokens.ids[i], sample->types.n ? sample->types.ids[i] : 0);
}

/* Lays the image of a record beside those of the other n_images. */
static void lay_image(const ld_corpus *corpus, const ld_laid *laid, int64_t epoch, int n_images,
                      ld_lane *lane) {
  const ld_options *options = corpus->options;
  ld_augment augment = {0};
  if (epoch >= 0)
    augment = ld_augment_draw(options->flip, (int)options->crop, (uint64_t)options->seed, (uint64_t)epoch,
                              (uint64_t)(laid->record - corpus->records));
  ld_lane_begin_segment(lane);
  const int at = ld_lane_add(lane, 1, 0);
  ld_image_put(&laid->sample->image, &corpus->base->image_rule, &augment, at, n_images, lane->numbers);
}

/* Continuous text begins with the beginning-of-text token, which nothing predicts. */
static void lay_beginning(const ld_corpus *corpus, ld_feed *feed) {
  ld_lane_begin_segment(&feed->input);
  lay_token(&feed->input, corpus->base->bos, 0);
  const int at = ld_lane_add(&feed->targets, 1, 0);
  feed->targets.ids[at] = -1;
}

static int read_piece(const ld_corpus *corpus, const ld_row_piece *piece, ld_sample *sample, ld_error *err) {
  const int rc = ld_dataset_read(corpus->dataset, &corpus->records[piece->record], sample, err);
  if (rc || pixels_of(corpus)) return rc;
  const size_t end = (size_t)piece->first + (size_t)piece->count;
  if (corpus->plan->continuous ? end <= sample->tokens.n : end == sample->tokens.n) return 0;
  return ld_fail(err, LD_EMISMATCH, "%s: changed while it was in use", ld_dataset_path(corpus->dataset));
}

static int lay_row(const ld_corpus *corpus, const ld_row *row, int64_t epoch, int n_rows, ld_feed *feed,
                   ld_error *err) {
  const ld_plan *plan = corpus->plan;
  const bool begins = plan->continuous && plan->bos;
  if (begins) lay_beginning(corpus, feed);
  for (int p = 0; p < row->n_pieces; p++) {
    const ld_row_piece *piece = &plan->pieces[row->first_piece + (size_t)p];
    const int rc = read_piece(corpus, piece, &feed->sample, err);
    if (rc) return rc;
    const ld_laid laid = {.sample = &feed->sample,
                          .record = &corpus->records[piece->record],
                          .labels = &corpus->base->labels,
                          .first = piece->first,
                          .count = piece->count,
                          .continues = plan->continuous && (p || begins)};
    if (pixels_of(corpus))
      lay_image(corpus, &laid, epoch, n_rows, &feed->input);
    else
      lay_tokens(&feed->input, &laid);
    corpus->base->objective->lay(&laid, &feed->targets);
  }
  return 0;
}

static ld_batch batch_of(const ld_corpus *corpus, const ld_feed *feed) {
  const ld_image_rule *rule = &corpus->base->image_rule;
  const ld_lane *lane = &feed->input, *targets = &feed->targets;
  ld_field input = {.name = LD_TEXT,
                    .n_rows = lane->n_rows,
                    .n_segments = lane->n_segments,
                    .segment = lane->segment,
                    .ids = lane->ids,
                    .positions = lane->positions,
                    .types = lane->types};
  if (pixels_of(corpus))
    input = (ld_field){.name = LD_IMAGE,
                       .n_rows = lane->n_rows,
                       .numbers = lane->numbers,
                       .channels = rule->channels,
                       .height = rule->height,
                       .width = rule->width};
  lane->segment[lane->n_segments] = lane->n_rows;
  return (ld_batch){.fields = {input,
                               {.name = LD_TARGETS,
                                .n_rows = targets->n_rows,
                                .ids = targets->ids,
                                .positions = targets->positions,
                                .numbers = targets->numbers}}};
}

int ld_corpus_batch(const ld_corpus *corpus, const int64_t *rows, int n_rows, int64_t epoch, ld_feed *feed,
                    ld_batch *batch, ld_error *err) {
  size_t tokens = 0;
  for (int i = 0; i < n_rows; i++) tokens += (size_t)corpus->plan->rows[rows[i]].n_tokens;
  clear(corpus, tokens, feed);
  for (int i = 0; i < n_rows; i++) {
    const int rc = lay_row(corpus, &corpus->plan->rows[rows[i]], epoch, n_rows, feed, err);
    if (rc) return rc;
  }
  *batch = batch_of(corpus, feed);
  const ld_field *input = &batch->fields[0];
  return input->ids ? ld_base_check_ids(corpus->base, input->ids, input->types, tokens, err) : 0;
}

ld_row_shape ld_corpus_longest(const ld_corpus *corpus) {
  return (ld_row_shape){corpus->plan->longest, corpus->plan->longest};
}

/* Fills in a record of that shape. Its first tokens are the targets, if the objective has any. */
static void fill_blank(ld_row_shape shape, ld_sample *sample) {
  sample->tokens.n = sample->types.n = sample->parts.n = 0;
  for (int t = 0; t < shape.n_tokens; t++) {
    ld_ids_push(&sample->tokens, 0);
    ld_ids_push(&sample->parts, 0);
  }
  ld_text_clear(&sample->tags);
  ld_data_targets(sample, 0);
  memset(sample->target, 0, (size_t)shape.n_tokens);
  for (int t = 1; t < shape.n_tokens && t <= shape.n_targets; t++) sample->target[t] = 1;
}

int ld_corpus_blank(const ld_corpus *corpus, int64_t n_rows, ld_row_shape shape, ld_feed *feed,
                    ld_batch *batch, ld_error *err) {
  const size_t pixels = (size_t)n_rows * pixels_of(corpus);
  if (n_rows * shape.n_tokens > INT32_MAX / 2 || pixels > INT32_MAX / 2)
    return ld_fail(err, LD_EUSAGE, "--micro-batch %lld: that is too much for one pass", (long long)n_rows);
  clear(corpus, (size_t)(n_rows * shape.n_tokens), feed);
  fill_blank(shape, &feed->sample);
  const ld_record record = {.n_tokens = shape.n_tokens, .n_targets = shape.n_targets};
  const ld_laid laid = {
      .sample = &feed->sample, .record = &record, .labels = &corpus->base->labels, .count = shape.n_tokens};
  for (int64_t row = 0; row < n_rows; row++) {
    lay_tokens(&feed->input, &laid);
    corpus->base->objective->lay(&laid, &feed->targets);
  }
  *batch = batch_of(corpus, feed);
  return 0;
}
