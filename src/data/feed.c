#include "data/feed.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "data/augment.h"
#include "io/dataset/tokens.h"

static void free_lane(ld_lane *lane) {
  free(lane->ids);
  free(lane->positions);
  free(lane->types);
  free(lane->segment);
  free(lane->numbers);
}

void ld_feed_free(ld_feed *feed) {
  free_lane(&feed->input);
  free_lane(&feed->targets);
  ld_sample_free(&feed->sample);
  *feed = (ld_feed){0};
}

/* Empties a lane and makes room for so many rows, segments and numbers. */
static void begin_lane(ld_lane *lane, size_t rows, size_t segments, size_t numbers) {
  if (rows > lane->room) {
    lane->room = rows;
    lane->ids = ld_realloc(lane->ids, rows, sizeof *lane->ids);
    lane->positions = ld_realloc(lane->positions, rows, sizeof *lane->positions);
    lane->types = ld_realloc(lane->types, rows, sizeof *lane->types);
  }
  if (segments + 1 > lane->segment_room) {
    lane->segment_room = segments + 1;
    lane->segment = ld_realloc(lane->segment, segments + 1, sizeof *lane->segment);
  }
  if (numbers > lane->number_room) {
    lane->number_room = numbers;
    lane->numbers = ld_realloc(lane->numbers, numbers, sizeof *lane->numbers);
  }
  lane->n_rows = lane->n_segments = 0;
}

static bool reads_images(const ld_corpus *corpus) {
  return !strcmp(ld_dataset_form(corpus->dataset)->input, LD_IMAGE);
}

static size_t pixels_of(const ld_corpus *corpus) {
  const ld_image_rule *rule = &corpus->base->image_rule;
  return (size_t)rule->channels * (size_t)rule->height * (size_t)rule->width;
}

/* Begins a batch of so many tokens (images) in so many segments. */
static void begin(const ld_corpus *corpus, size_t tokens, size_t segments, ld_feed *feed) {
  begin_lane(&feed->input, tokens, segments, tokens * pixels_of(corpus));
  begin_lane(&feed->targets, tokens, 0, tokens);
}

static void begin_segment(ld_lane *lane) {
  lane->segment[lane->n_segments++] = lane->n_rows;
}

static void lay_token(ld_lane *lane, int32_t id, int32_t type) {
  lane->ids[lane->n_rows] = id;
  lane->types[lane->n_rows] = type;
  lane->positions[lane->n_rows] = lane->n_rows - lane->segment[lane->n_segments - 1];
  lane->n_rows++;
}

static void lay_tokens(ld_lane *lane, const ld_laid *laid) {
  const ld_sample *sample = laid->sample;
  if (!laid->continues) begin_segment(lane);
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
  ld_image_put(&laid->sample->image, &corpus->base->image_rule, &augment, lane->n_rows, n_images,
               lane->numbers);
  begin_segment(lane);
  lane->n_rows++;
}

static void lay_targets(const ld_objective *objective, ld_laid *laid, ld_lane *lane) {
  laid->targets = lane->ids + lane->n_rows;
  laid->values = lane->numbers + lane->n_rows;
  laid->parts = lane->positions + lane->n_rows;
  lane->n_rows += objective->lay(laid);
}

/* Continuous text begins with the beginning-of-text token, which nothing predicts. */
static void lay_beginning(const ld_corpus *corpus, ld_feed *feed) {
  begin_segment(&feed->input);
  lay_token(&feed->input, corpus->base->bos, 0);
  feed->targets.ids[feed->targets.n_rows++] = -1;
}

static int read_piece(const ld_corpus *corpus, const ld_row_piece *piece, ld_sample *sample, ld_error *err) {
  const int rc = ld_dataset_read(corpus->dataset, &corpus->records[piece->record], sample, err);
  if (rc || reads_images(corpus)) return rc;
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
    ld_laid laid = {.sample = &feed->sample,
                    .record = &corpus->records[piece->record],
                    .labels = &corpus->base->labels,
                    .first = piece->first,
                    .count = piece->count,
                    .continues = plan->continuous && (p || begins)};
    if (reads_images(corpus))
      lay_image(corpus, &laid, epoch, n_rows, &feed->input);
    else
      lay_tokens(&feed->input, &laid);
    lay_targets(corpus->base->objective, &laid, &feed->targets);
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
  if (reads_images(corpus))
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
  size_t tokens = 0, segments = 0;
  for (int i = 0; i < n_rows; i++) {
    const ld_row *row = &corpus->plan->rows[rows[i]];
    tokens += (size_t)row->n_tokens;
    segments += corpus->plan->continuous ? 1 : (size_t)row->n_pieces;
  }
  begin(corpus, tokens, segments, feed);
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
  begin(corpus, (size_t)(n_rows * shape.n_tokens), (size_t)n_rows, feed);
  fill_blank(shape, &feed->sample);
  const ld_record record = {.n_tokens = shape.n_tokens, .n_targets = shape.n_targets};
  ld_laid laid = {
      .sample = &feed->sample, .record = &record, .labels = &corpus->base->labels, .count = shape.n_tokens};
  for (int64_t row = 0; row < n_rows; row++) {
    lay_tokens(&feed->input, &laid);
    lay_targets(corpus->base->objective, &laid, &feed->targets);
  }
  *batch = batch_of(corpus, feed);
  return 0;
}
