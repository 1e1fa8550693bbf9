#include "data/feed.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "data/augment.h"
#include "io/dataset/tokens.h"
#include "io/hash.h"

void ld_feed_free(ld_feed *feed) {
  ld_lanes_free(&feed->lanes);
  ld_sample_free(&feed->sample);
  *feed = (ld_feed){0};
}

static bool has_images(const ld_corpus *corpus) {
  return corpus->image_rule.channels > 0;
}

/* Numbers of an image of that size; 0 for text. */
static size_t pixels_of(const ld_corpus *corpus, int size) {
  const ld_image_size sides = ld_corpus_size(corpus, size);
  return (size_t)corpus->image_rule.channels * (size_t)sides.height * (size_t)sides.width;
}

/* Empties the lanes and makes room for so many images. */
static void clear(const ld_corpus *corpus, size_t images, int size, ld_feed *feed) {
  ld_lanes_clear(&feed->lanes);
  if (has_images(corpus))
    ld_lane_reserve(ld_lane_of(&feed->lanes, LD_IMAGE), images, pixels_of(corpus, size));
}

/* Names what a model is given of an image: the record, and whether it is mirrored. */
static uint64_t image_key(const ld_corpus *corpus, int64_t record, bool flip) {
  return ld_hash_u64(ld_hash_string(flip, ld_dataset_path(corpus->dataset)), (uint64_t)record);
}

/* Names each text of a field by its tokens. */
static void set_text_keys(ld_lane *lane) {
  lane->is_input = true;
  for (int s = 0; s < lane->n_segments; s++) {
    const int first = lane->segment[s], end = s + 1 < lane->n_segments ? lane->segment[s + 1] : lane->n_rows;
    const size_t bytes = (size_t)(end - first) * sizeof *lane->ids;
    ld_lane_set_key(lane, s, ld_hash(ld_hash(0, lane->ids + first, bytes), lane->types + first, bytes));
  }
}

static bool is_text(const ld_lane *lane) {
  return !strcmp(lane->name, LD_TEXT) || !strcmp(lane->name, LD_SOURCE);
}

/* Lays the image of a record beside those of the other n_images. Returns whether it was mirrored. */
static bool lay_image(const ld_corpus *corpus, const ld_laid *laid, int64_t epoch, int n_images,
                      ld_lanes *lanes) {
  const ld_options *options = corpus->options;
  ld_lane *lane = ld_lane_of(lanes, LD_IMAGE);
  ld_augment augment = {0};
  if (epoch >= 0)
    augment = ld_augment_draw(options->flip, (int)options->crop, (uint64_t)options->seed, (uint64_t)epoch,
                              (uint64_t)(laid->record - corpus->records));
  ld_lane_begin_segment(lane);
  const int at = ld_lane_add(lane, 1, 0);
  ld_image_put(&laid->sample->image, &corpus->image_rule, &augment, at, n_images, lane->numbers);
  lane->is_input = true;
  if (!augment.down && !augment.right && !laid->sample->crop.drawn && (epoch < 0 || !options->crop))
    ld_lane_set_key(lane, at, image_key(corpus, laid->record - corpus->records, augment.flip));
  return augment.flip;
}

/* Continuous text begins with the beginning-of-text token, which nothing predicts. */
static void lay_beginning(const ld_corpus *corpus, ld_feed *feed) {
  ld_lane *text = ld_lane_of(&feed->lanes, LD_TEXT), *targets = ld_lane_of(&feed->lanes, LD_TARGETS);
  ld_lane_begin_segment(text);
  ld_lane_add_token(text, corpus->base->bos, 0);
  const int at = ld_lane_add(targets, 1, 0); /* which may move the ids */
  targets->ids[at] = -1;
}

/* Where the crop of a record's picture lies. */
static ld_crop crop_of(const ld_corpus *corpus, int64_t record, int64_t epoch) {
  const ld_options *options = corpus->options;
  const bool random = corpus->image_rule.cover && options->cut && !strcmp(options->cut, "random");
  if (!random || epoch < 0) return (ld_crop){0};
  return ld_crop_draw((uint64_t)options->seed, (uint64_t)epoch, (uint64_t)record);
}

static int read_piece(const ld_corpus *corpus, const ld_row_piece *piece, int64_t epoch, ld_sample *sample,
                      ld_error *err) {
  sample->crop = crop_of(corpus, piece->record, epoch);
  const int rc = ld_dataset_read(corpus->dataset, &corpus->records[piece->record], sample, err);
  if (rc || (has_images(corpus) && !sample->tokens.n)) return rc;
  const size_t end = (size_t)piece->first + (size_t)piece->count;
  if (corpus->plan->continuous ? end > sample->tokens.n : end != sample->tokens.n)
    return ld_fail(err, LD_EMISMATCH, "%s: changed while it was in use", ld_dataset_path(corpus->dataset));
  return ld_base_check_ids(corpus->base, sample->tokens.ids, sample->types.n ? sample->types.ids : NULL,
                           sample->tokens.n, err);
}

static ld_noising noising_of(const ld_corpus *corpus) {
  const ld_options *o = corpus->options;
  return (ld_noising){.min_snr = o->min_snr,
                      .prior_weight = o->prior_weight,
                      .offset = o->noise_offset,
                      .caption_dropout = o->caption_dropout,
                      .logit_normal = o->timesteps && !strcmp(o->timesteps, "logit-normal")};
}

static int lay_row(const ld_corpus *corpus, const ld_row *row, int64_t epoch, int n_rows, ld_feed *feed,
                   ld_error *err) {
  const ld_plan *plan = corpus->plan;
  const bool begins = plan->continuous && plan->bos;
  if (begins) lay_beginning(corpus, feed);
  for (int p = 0; p < row->n_pieces; p++) {
    const ld_row_piece *piece = &plan->pieces[row->first_piece + (size_t)p];
    const int rc = read_piece(corpus, piece, epoch, &feed->sample, err);
    if (rc) return rc;
    ld_laid laid = {.sample = &feed->sample,
                    .record = &corpus->records[piece->record],
                    .labels = &corpus->base->labels,
                    .model = corpus->base->model,
                    .first = piece->first,
                    .count = piece->count,
                    .height = feed->sample.image.height,
                    .width = feed->sample.image.width,
                    .continues = plan->continuous && (p || begins),
                    .seed = (uint64_t)corpus->options->seed,
                    .epoch = epoch,
                    .number = plan->paired ? piece - plan->pieces : piece->record,
                    .noising = noising_of(corpus)};
    if (has_images(corpus)) laid.mirrored = lay_image(corpus, &laid, epoch, n_rows, &feed->lanes);
    corpus->base->objective->lay(&laid, &feed->lanes);
  }
  return 0;
}

static ld_batch batch_of(const ld_corpus *corpus, int size, ld_feed *feed) {
  const ld_image_size sides = ld_corpus_size(corpus, size);
  ld_batch batch = {0};
  for (int i = 0; i < feed->lanes.n; i++) {
    ld_field *field = &batch.fields[i];
    if (is_text(&feed->lanes.list[i])) set_text_keys(&feed->lanes.list[i]);
    *field = ld_lane_field(&feed->lanes.list[i]);
    if (!strcmp(field->name, LD_TARGETS)) field->smoothing = (float)corpus->options->label_smoothing;
    if (strcmp(field->name, LD_IMAGE) != 0) continue;
    field->n_segments = 0;
    field->channels = corpus->image_rule.channels;
    field->height = sides.height;
    field->width = sides.width;
  }
  return batch;
}

/* A beginning-of-text token that the vocabulary lacks. */
static int check_beginning(const ld_corpus *corpus, ld_error *err) {
  const bool begins = corpus->plan->continuous && corpus->plan->bos;
  return begins ? ld_base_check_ids(corpus->base, &corpus->base->bos, NULL, 1, err) : 0;
}

int ld_corpus_batch(const ld_corpus *corpus, const int64_t *rows, int n_rows, int64_t epoch, ld_feed *feed,
                    ld_batch *batch, ld_error *err) {
  const int size = corpus->plan->sizes ? corpus->plan->sizes[rows[0]] : 0;
  clear(corpus, (size_t)n_rows, size, feed);
  int rc = check_beginning(corpus, err);
  for (int i = 0; i < n_rows && !rc; i++)
    rc = lay_row(corpus, &corpus->plan->rows[rows[i]], epoch, n_rows, feed, err);
  if (!rc) *batch = batch_of(corpus, size, feed);
  return rc;
}

/* Whether what is to be predicted is a text of its own, so that a row has as many targets as it has tokens
 * besides the input. */
static bool is_apart(const ld_corpus *corpus) {
  return ld_dataset_form(corpus->dataset)->apart;
}

ld_row_shape ld_corpus_shape_of(const ld_corpus *corpus, int n_tokens, int64_t n_targets, int size) {
  return (ld_row_shape){is_apart(corpus) ? n_tokens - (int)n_targets : n_tokens, (int)n_targets, size};
}

int ld_corpus_tokens_of(const ld_corpus *corpus, ld_row_shape shape) {
  return is_apart(corpus) ? shape.n_input + shape.n_targets : shape.n_input;
}

ld_row_shape ld_corpus_longest(const ld_corpus *corpus) {
  const ld_plan *plan = corpus->plan;
  const int most = plan->most_targets < plan->longest ? plan->most_targets : plan->longest;
  if (!is_apart(corpus)) return (ld_row_shape){plan->longest, most, 0};
  return (ld_row_shape){plan->longest_input, plan->most_targets, 0};
}

ld_row_shape ld_corpus_shape(const ld_corpus *corpus, int n_input) {
  const ld_row_shape longest = ld_corpus_longest(corpus);
  const int n_targets = (int)((int64_t)n_input * longest.n_targets / longest.n_input);
  const int size = corpus->plan->sizes ? corpus->plan->sizes[corpus->plan->n_rows / 2] : 0;
  return (ld_row_shape){n_input, n_targets > 1 ? n_targets : 1, size};
}

/* Fills in a record of that shape. Its first tokens are the targets, or its last ones where these are a text of
 * their own. */
static void fill_blank(const ld_corpus *corpus, ld_row_shape shape, ld_sample *sample) {
  const bool apart = is_apart(corpus);
  const bool captions = corpus->base->tokenizer != NULL; /* images may have none */
  const int n_tokens = has_images(corpus) && !captions ? 0 : ld_corpus_tokens_of(corpus, shape);
  sample->tokens.n = sample->types.n = sample->parts.n = 0;
  for (int t = 0; t < n_tokens; t++) {
    ld_ids_push(&sample->tokens, 0);
    ld_ids_push(&sample->parts, 0);
  }
  ld_text_clear(&sample->tags);
  sample->n_source = apart ? (size_t)shape.n_input : 0;
  ld_data_targets(sample, apart ? sample->n_source : SIZE_MAX);
  for (int t = 1; !apart && t < n_tokens && t <= shape.n_targets; t++) sample->target[t] = 1;
}

/* An image has a key where one of an epoch would have it. */
static void lay_blank(const ld_corpus *corpus, size_t pixels, ld_feed *feed) {
  const ld_options *options = corpus->options;
  ld_lane *lane = ld_lane_of(&feed->lanes, LD_IMAGE);
  const int at = ld_lane_add(lane, 1, pixels);
  lane->is_input = true;
  if (!options->crop && !(options->cut && !strcmp(options->cut, "random")))
    ld_lane_set_key(lane, at, (uint64_t)at);
}

int ld_corpus_blank(const ld_corpus *corpus, int64_t n_rows, ld_row_shape shape, ld_feed *feed,
                    ld_batch *batch, ld_error *err) {
  const size_t pixels = (size_t)n_rows * pixels_of(corpus, shape.size);
  const int n_tokens = ld_corpus_tokens_of(corpus, shape);
  if (n_rows * n_tokens > INT32_MAX / 2 || pixels > INT32_MAX / 2)
    return ld_fail(err, LD_EUSAGE, "--micro-batch %lld: that is too much for one pass", (long long)n_rows);
  clear(corpus, (size_t)n_rows, shape.size, feed);
  fill_blank(corpus, shape, &feed->sample);
  const ld_record record = {.n_tokens = n_tokens, .n_targets = shape.n_targets};
  const ld_image_size sides = ld_corpus_size(corpus, shape.size);
  const ld_laid laid = {.sample = &feed->sample,
                        .record = &record,
                        .labels = &corpus->base->labels,
                        .model = corpus->base->model,
                        .count = n_tokens,
                        .height = sides.height,
                        .width = sides.width};
  for (int64_t row = 0; row < n_rows; row++) {
    if (pixels) lay_blank(corpus, pixels_of(corpus, shape.size), feed);
    corpus->base->objective->lay(&laid, &feed->lanes);
  }
  *batch = batch_of(corpus, shape.size, feed);
  return 0;
}
