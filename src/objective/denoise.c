/* Pictures out of noise: a picture is noised to a random degree, and the model learns to predict the noise (Ho et
 * al., "Denoising Diffusion Probabilistic Models", 2020, algorithm 1). For a picture with the caption "a cat":
 *
 *   image   the picture                          times   t = 412, with the weight of its loss
 *   text    <start> a cat <end> <end> ...        noise   numbers from N(0, 1)
 *
 * The loss of a picture is the mean over its numbers. All that is random depends on the seed, the epoch and the
 * record; in an evaluation on the seed and the record alone. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "model/diffusion.h"
#include "objective/objective.h"

static const ld_data_form *const forms[] = {&ld_form_picture, NULL};
static const ld_metric metrics[] = {{0}};

/* What the random numbers of a record are for. */
enum { TIME, CAPTION, OFFSET, NOISE };

static ld_stream stream_of(const ld_laid *laid, int what) {
  const uint64_t epoch = laid->epoch < 0 ? 0 : (uint64_t)laid->epoch + 1;
  return ld_rng_stream(laid->seed, LD_RNG_NOISE, epoch * (NOISE + 1) + (uint64_t)what,
                       (uint64_t)laid->number);
}

/* Evenly, or as in Esser et al., "Scaling Rectified Flow Transformers for High-Resolution Image Synthesis", 2024,
 * section 3.1: of flow matching, whose noise level is then shifted by the schedule. */
static int64_t draw_time(const ld_laid *laid, int64_t n) {
  const ld_stream stream = stream_of(laid, TIME);
  if (!laid->noising.logit_normal) return (int64_t)((double)ld_rng_uniform(&stream, 0) * (double)n);
  const float u = (float)(1 / (1 + exp(-(double)ld_rng_normal(&stream, 0))));
  const int64_t t = (int64_t)((double)u * (double)n);
  return t < n ? t : n - 1;
}

/* Of the loss, as in diffusers' train_dreambooth.py. */
static float weight_of(const ld_laid *laid, const ld_schedule *schedule, int64_t t) {
  const ld_noising *noising = &laid->noising;
  if (laid->record->prior) return (float)noising->prior_weight;
  return noising->min_snr > 0 ? (float)ld_schedule_min_snr(schedule, t, noising->min_snr) : 1;
}

static void lay_time(const ld_laid *laid, const ld_diffusion *d, ld_lanes *lanes) {
  ld_lane *times = ld_lane_of(lanes, LD_TIMES);
  const int at = ld_lane_add(times, 1, 1);
  const int64_t t = draw_time(laid, d->schedule.n);
  times->ids[at] = (int32_t)t;
  times->numbers[at] = weight_of(laid, &d->schedule, t);
}

/* The noise of a picture and, for a model with an autoencoder, that with which its latents are drawn. */
static void lay_noise(const ld_laid *laid, const ld_diffusion *d, int height, int width, ld_lanes *lanes) {
  const size_t map = (size_t)(height / d->factor) * (size_t)(width / d->factor);
  const size_t n = map * (size_t)d->channels, all = d->encode ? 2 * n : n;
  ld_lane *lane = ld_lane_of(lanes, LD_NOISE);
  const int at = ld_lane_add(lane, 1, all);
  float *noise = lane->numbers + (size_t)at * all;
  ld_stream stream = stream_of(laid, NOISE);
  for (size_t i = 0; i < all; i++) noise[i] = ld_rng_normal(&stream, i);
  if (laid->noising.offset <= 0) return;
  stream = stream_of(laid, OFFSET);
  for (size_t c = 0; c < (size_t)d->channels; c++) {
    const float offset = (float)laid->noising.offset * ld_rng_normal(&stream, c);
    for (size_t i = 0; i < map; i++) noise[c * map + i] += offset;
  }
}

static bool drops_condition(const ld_laid *laid) {
  const ld_stream stream = stream_of(laid, CAPTION);
  return laid->epoch >= 0 && (double)ld_rng_uniform(&stream, 0) < laid->noising.caption_dropout;
}

/* The caption's tokens, which have a first and an end token. */
static void lay_caption(const ld_laid *laid, const ld_diffusion *d, ld_lanes *lanes) {
  const ld_ids *tokens = &laid->sample->tokens;
  ld_diffusion_lay_text(d, tokens->ids, drops_condition(laid) ? 0 : tokens->n, ld_lane_of(lanes, LD_TEXT));
}

/* As in diffusers' train_text_to_image_lora_sdxl.py, which mirrors a picture before it is cut. */
static void lay_sizes(const ld_laid *laid, ld_lanes *lanes) {
  const ld_image_origin *o = &laid->sample->origin;
  const int sizes[LD_N_SIZES] = {o->height,    o->width,   o->down, laid->mirrored ? o->rest : o->right,
                                 laid->height, laid->width};
  ld_diffusion_lay_sizes(sizes, ld_lane_of(lanes, LD_SIZES));
}

static void lay_class(const ld_laid *laid, const ld_diffusion *d, ld_lanes *lanes) {
  ld_lane *lane = ld_lane_of(lanes, LD_CLASSES);
  const int at = ld_lane_add(lane, 1, 0);
  const bool none = laid->record->label < 0 || (d->null_class && drops_condition(laid));
  lane->ids[at] = none ? d->null_class : laid->record->label;
}

static void lay(const ld_laid *laid, ld_lanes *lanes) {
  const ld_diffusion *d = laid->model->diffusion;
  lay_time(laid, d, lanes);
  lay_noise(laid, d, laid->height, laid->width, lanes);
  if (d->n_texts) lay_caption(laid, d, lanes);
  if (d->sizes) lay_sizes(laid, lanes);
  if (d->n_classes) lay_class(laid, d, lanes);
  ld_lane *targets = ld_lane_of(lanes, LD_TARGETS); /* the picture as a whole */
  const int at = ld_lane_add(targets, 1, 0);
  targets->ids[at] = 0;
}

static void put_target(const ld_field *targets, const ld_labels *labels, ld_text *out) {
  (void)targets;
  (void)labels;
  ld_text_puts(out, ", with noise");
}

/* The schedule's numbers for each picture of a batch. */
typedef struct levels {
  float *times, *signal, *noise, *target_signal, *target_noise; /* (B) each */
} levels;

/* The target is target_signal x + target_noise noise. */
static void set_target(const ld_schedule *s, const levels *l, int b) {
  l->target_signal[b] = s->prediction == LD_PREDICTION_V        ? -l->noise[b]
                        : s->prediction == LD_PREDICTION_SAMPLE ? 1
                        : s->prediction == LD_PREDICTION_FLOW   ? -1.0f
                                                                : 0;
  l->target_noise[b] = s->prediction == LD_PREDICTION_V        ? l->signal[b]
                       : s->prediction == LD_PREDICTION_SAMPLE ? 0
                                                               : 1.0f;
}

static levels find_levels(const ld_schedule *s, ld_tape *tape, const ld_field *times) {
  const size_t n = (size_t)times->n_rows;
  float *memory = ld_tape_record(tape, 5 * n * sizeof *memory);
  const levels l = {memory, memory + n, memory + 2 * n, memory + 3 * n, memory + 4 * n};
  for (int b = 0; b < times->n_rows; b++) {
    const int32_t t = times->ids[b];
    l.times[b] = ld_schedule_timestep(s, t);
    l.signal[b] = s->signal[t];
    l.noise[b] = s->noise[t];
    set_target(s, &l, b);
  }
  return l;
}

static ld_tensor *loss(const ld_model *model, ld_tape *tape, const ld_batch *batch, double *sum) {
  const ld_diffusion *d = model->diffusion;
  const ld_field *times = ld_batch_field(batch, LD_TIMES);
  const float *noise = ld_batch_field(batch, LD_NOISE)->numbers;
  ld_maps x = ld_op_images(tape, ld_batch_field(batch, LD_IMAGE));
  const size_t n = (size_t)d->channels * (size_t)(x.height / d->factor) * (size_t)(x.width / d->factor);
  const size_t stride = d->encode ? 2 * n : n;
  const levels l = find_levels(&d->schedule, tape, times);
  if (d->encode) {
    ld_tape_part_begin(tape);
    x = d->encode(model, tape, x, batch);
    ld_tape_part_end(tape, batch, ld_batch_field(batch, LD_IMAGE), LD_TENSORS(x.x));
    x = ld_op_draw(tape, x, noise + n, stride, d->scaling, d->shift);
  }
  const ld_maps target = ld_op_mix_noise(tape, x, noise, stride, l.target_signal, l.target_noise);
  const ld_maps noised = ld_op_mix_noise(tape, x, noise, stride, l.signal, l.noise);
  ld_tape_part_begin(tape);
  const ld_condition condition = d->condition(model, tape, batch);
  ld_tape_part_end(tape, batch, d->n_texts ? ld_batch_field(batch, LD_TEXT) : NULL,
                   LD_TENSORS(condition.states ? condition.states : condition.pooled,
                              condition.states ? condition.pooled : NULL));
  const ld_maps y = d->denoise(model, tape, noised, l.times, &condition, batch);
  ld_op_weighted_error(tape, y, target.x->data, times->numbers, d->channels, sum);
  return NULL;
}

const ld_objective ld_objective_denoise = {
    .name = "denoise",
    .model = "a model that makes pictures out of noise",
    .forms = forms,
    .metrics = metrics,
    .head = LD_HEAD_NOISE,
    .lay = lay,
    .put_target = put_target,
    .loss = loss,
};
