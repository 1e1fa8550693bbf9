/* A picture is noise from which a model removes noise, step by step. For one with texts, guidance and latents:
 *
 *   texts        negative prompt, prompt       -> states (2 S, C), once per picture
 *   each step    sample (c, h w), twice        -> predictions (c, 2 h w) -> one (c, h w) -> the next sample
 *   the end      sample / scaling + shift      -> autoencoder -> pixels (3, H W)
 *
 * These are passes of their own over one tape, whose memory is taken once for all of them. */
#include "generate/picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "model/diffusion.h"

/* Numbers that stay from one pass to the next. */
typedef struct kept {
  float *data;
  int rows, cols; /* 0: there is none */
} kept;

struct ld_picture_maker {
  const ld_base *base;
  const ld_diffusion *d;
  const ld_picture_settings *settings;
  ld_tape *tape;
  ld_sampling sampling;
  int n;             /* pictures of a pass: 2 with guidance */
  int height, width; /* h, w */
  size_t size;       /* h w */
  int outputs;       /* channels of a prediction */
  float *sample;     /* (c, h w) */
  float *input;      /* (c, n h w) */
  float *prediction; /* (outputs, h w) */
  float *noise;      /* (c, h w) */
  float *pixels;     /* (channels, H W) */
  float times[2];
  kept states, pooled;
  ld_lanes lanes;
  ld_batch batch;
};

bool ld_picture_is_guided(const ld_base *base, const ld_picture_settings *settings) {
  const ld_diffusion *d = base->model->diffusion;
  return settings->guidance > 1 && (d->n_texts > 0 || d->null_class > 0);
}

/* Those of a picture that is whole. */
static void lay_sizes(const ld_picture_settings *s, ld_lanes *lanes) {
  const int sizes[LD_N_SIZES] = {s->height, s->width, 0, 0, s->height, s->width};
  ld_diffusion_lay_sizes(sizes, ld_lane_of(lanes, LD_SIZES));
}

static void lay(ld_picture_maker *m, const ld_picture_request *r) {
  const ld_diffusion *d = m->d;
  ld_lanes_clear(&m->lanes);
  for (int i = 0; i < m->n; i++) {
    const bool without = m->n == 2 && i == 0;
    const ld_ids *ids = without ? r->negative : r->prompt;
    if (d->n_texts)
      ld_diffusion_lay_text(d, ids ? ids->ids : NULL, ids ? ids->n : 0, ld_lane_of(&m->lanes, LD_TEXT));
    if (d->sizes) lay_sizes(m->settings, &m->lanes);
    if (!d->n_classes) continue;
    ld_lane *classes = ld_lane_of(&m->lanes, LD_CLASSES);
    const int at = ld_lane_add(classes, 1, 0);
    classes->ids[at] = without && d->null_class ? d->null_class : r->class;
  }
  m->batch = (ld_batch){.seed = 0};
  for (int i = 0; i < m->lanes.n; i++) m->batch.fields[i] = ld_lane_field(&m->lanes.list[i]);
}

/* The first pass: what the texts say. */
static ld_condition read_texts(ld_picture_maker *m, bool dry) {
  ld_tape_begin(m->tape, LD_PASS_INFER, dry, false);
  return m->d->condition(m->base->model, m->tape, &m->batch);
}

static ld_tensor *input_of(ld_tape *tape, const kept *k) {
  return k->rows ? ld_tape_input(tape, k->data, k->rows, k->cols) : NULL;
}

/* The pass of each step. */
static ld_maps predict(ld_picture_maker *m, bool dry) {
  const ld_batch *batch = &m->batch;
  ld_tape_begin(m->tape, LD_PASS_INFER, dry, false);
  ld_condition c = {.states = input_of(m->tape, &m->states), .pooled = input_of(m->tape, &m->pooled)};
  if (m->d->n_texts) c.text = ld_batch_field(batch, LD_TEXT);
  if (m->d->sizes) c.sizes = ld_batch_field(batch, LD_SIZES)->numbers;
  if (m->d->n_classes) c.classes = ld_batch_field(batch, LD_CLASSES)->ids;
  const ld_maps x = {ld_tape_input(m->tape, m->input, m->d->channels, m->n * (int)m->size), m->n, m->height,
                     m->width};
  return m->d->denoise(m->base->model, m->tape, x, m->times, &c, batch);
}

/* The last pass. */
static ld_maps decode(ld_picture_maker *m, bool dry) {
  ld_tape_begin(m->tape, LD_PASS_INFER, dry, false);
  const ld_maps x = {ld_tape_input(m->tape, m->sample, m->d->channels, (int)m->size), 1, m->height, m->width};
  return m->d->decode ? m->d->decode(m->base->model, m->tape, x, &m->batch) : x;
}

static void make_kept(kept *k, const ld_tensor *like) {
  if (!like) return;
  *k = (kept){ld_alloc((size_t)like->rows * (size_t)like->cols, sizeof(float)), like->rows, like->cols};
}

static void copy_rows(kept *k, const ld_tensor *from) {
  for (int i = 0; i < k->rows; i++)
    memcpy(k->data + (size_t)i * (size_t)k->cols, from->data + (size_t)i * (size_t)from->stride,
           (size_t)k->cols * sizeof *k->data);
}

/* Takes the memory of all passes. */
static int fit(ld_picture_maker *m, ld_error *err) {
  const ld_ids none = {0};
  ld_tape_room most = {0};
  const size_t sample = (size_t)m->d->channels * m->size;
  lay(m, &(ld_picture_request){.prompt = &none});
  const ld_condition c = read_texts(m, true);
  make_kept(&m->states, c.states);
  make_kept(&m->pooled, c.pooled);
  ld_tape_need_most(m->tape, &most);
  m->sample = ld_alloc(sample, sizeof *m->sample);
  m->noise = ld_alloc(sample, sizeof *m->noise);
  m->input = ld_alloc(sample * (size_t)m->n, sizeof *m->input);
  m->outputs = predict(m, true).x->rows;
  m->prediction = ld_alloc((size_t)m->outputs * m->size, sizeof *m->prediction);
  ld_tape_need_most(m->tape, &most);
  const ld_tensor *pixels = decode(m, true).x;
  m->pixels = ld_alloc((size_t)pixels->rows * (size_t)pixels->cols, sizeof *m->pixels);
  ld_tape_need_most(m->tape, &most);
  const double bytes = (double)ld_tape_bytes(m->tape);
  if (ld_tape_reserve(m->tape)) return 0;
  return ld_fail(
      err, LD_EMEMORY,
      "out of memory: a picture of %d x %d needs %.1f MiB per rank, more than is available: give a smaller "
      "--size, or " LD_MEMORY_REMEDY,
      m->settings->width, m->settings->height, bytes / 0x1p20);
}

static int begin_sampling(ld_picture_maker *m, ld_error *err) {
  const ld_sampling_settings settings = {.n_steps = m->settings->n_steps,
                                         .n = (size_t)m->d->channels * m->size,
                                         .learned_variance = m->outputs == 2 * m->d->channels,
                                         .overrule = m->d->overrule};
  char *source = ld_format("%s/scheduler/scheduler_config.json", ld_model_folder_path(m->base->folder));
  const int rc =
      ld_sampling_begin(&m->sampling, m->settings->sampler, m->d->scheduler, source, &settings, err);
  if (!rc && m->sampling.overruled)
    ld_warn(
        "%s: steps_offset is taken as 1 and clip_sample as false, as diffusers' StableDiffusionPipeline does",
        source);
  free(source);
  return rc;
}

static void poll_comm(void *user) {
  ld_comm_poll(user);
}

int ld_picture_maker_create(const ld_base *base, const ld_picture_settings *settings, ld_comm *comm,
                            ld_picture_maker **out, ld_error *err) {
  ld_picture_maker *m = *out = ld_alloc(1, sizeof *m);
  const ld_diffusion *d = base->model->diffusion;
  m->base = base;
  m->d = d;
  m->settings = settings;
  m->n = ld_picture_is_guided(base, settings) ? 2 : 1;
  m->height = settings->height / d->factor;
  m->width = settings->width / d->factor;
  m->size = (size_t)m->height * (size_t)m->width;
  m->tape = ld_tape_create();
  if (comm) ld_tape_on_poll(m->tape, poll_comm, comm);
  const int rc = fit(m, err);
  return rc ? rc : begin_sampling(m, err);
}

void ld_picture_maker_free(ld_picture_maker *m) {
  if (!m) return;
  ld_sampling_end(&m->sampling);
  ld_tape_free(m->tape);
  ld_lanes_free(&m->lanes);
  free(m->sample);
  free(m->input);
  free(m->prediction);
  free(m->noise);
  free(m->pixels);
  free(m->states.data);
  free(m->pooled.data);
  free(m);
}

static void draw(const ld_picture_maker *m, const ld_picture_request *r, int64_t call, float *x) {
  const size_t n = m->sampling.settings.n;
  if (r->draw) {
    r->draw(r->user, call, x, n);
    return;
  }
  const ld_stream stream = ld_rng_stream(m->settings->seed, LD_RNG_PICTURE, r->number, (uint64_t)call);
  for (size_t i = 0; i < n; i++) x[i] = ld_rng_normal(&stream, i);
}

/* The model's input: n times the same maps, side by side. */
static void put_input(ld_picture_maker *m) {
  ld_sampling_scale(&m->sampling, m->sample, m->prediction);
  for (int c = 0; c < m->d->channels; c++)
    for (int i = 0; i < m->n; i++)
      memcpy(m->input + ((size_t)c * (size_t)m->n + (size_t)i) * m->size, m->prediction + (size_t)c * m->size,
             m->size * sizeof *m->input);
}

/* Of channels that are no predictions, but variances, those for the prompt. */
static void take_prediction(ld_picture_maker *m, const float *y) {
  const float s = (float)m->settings->guidance;
  for (int c = 0; c < m->outputs; c++) {
    const float *without = y + (size_t)c * (size_t)m->n * m->size,
                *with = without + (size_t)(m->n - 1) * m->size;
    float *out = m->prediction + (size_t)c * m->size;
    const bool mixes = m->n == 2 && c < m->d->channels;
    for (size_t i = 0; i < m->size; i++) out[i] = mixes ? without[i] + s * (with[i] - without[i]) : with[i];
  }
}

static void step(ld_picture_maker *m, const ld_picture_request *r) {
  ld_sampling *s = &m->sampling;
  const int64_t call = s->at;
  if (r->name) ld_progress_line("%s  step %lld/%lld", r->name, (long long)call + 1, (long long)s->n_calls);
  put_input(m);
  m->times[0] = m->times[1] = s->timesteps[call];
  take_prediction(m, predict(m, false).x->data);
  if (s->needs_noise) draw(m, r, call + 1, m->noise);
  ld_sampling_step(s, m->prediction, m->noise, m->sample);
}

static void keep_texts(ld_picture_maker *m, const ld_picture_request *r) {
  const ld_condition c = read_texts(m, false);
  copy_rows(&m->states, c.states);
  copy_rows(&m->pooled, c.pooled);
  if (m->n == 1 || r->negative || !m->d->zero_empty) return;
  memset(m->states.data, 0, (size_t)m->states.rows * (size_t)m->states.cols / 2 * sizeof *m->states.data);
  memset(m->pooled.data, 0, (size_t)m->pooled.rows * (size_t)m->pooled.cols / 2 * sizeof *m->pooled.data);
}

/* Pixels from -1 to 1 as numbers from 0 to 1. */
static int take_pixels(ld_picture_maker *m, ld_error *err) {
  const ld_tensor *x = decode(m, false).x;
  const size_t n = (size_t)x->rows * (size_t)x->cols;
  for (size_t i = 0; i < n; i++) {
    const float value = x->data[i] * 0.5f + 0.5f;
    if (!isfinite(value))
      return ld_fail(
          err, LD_ENUMERIC,
          "%s: the picture has pixels that are not finite: the model or the adapter holds NaN or infinite "
          "values, or the scheduler does not suit it",
          ld_model_folder_path(m->base->folder));
    m->pixels[i] = value < 0 ? 0 : value > 1 ? 1 : value;
  }
  return 0;
}

int ld_picture_make(ld_picture_maker *m, const ld_picture_request *request, const float **pixels,
                    ld_error *err) {
  ld_sampling *s = &m->sampling;
  const ld_diffusion *d = m->d;
  lay(m, request);
  if (d->n_texts) keep_texts(m, request);
  ld_sampling_restart(s);
  draw(m, request, 0, m->sample);
  for (size_t i = 0; i < s->settings.n; i++) m->sample[i] *= s->init_noise_sigma;
  while (s->at < s->n_calls) step(m, request);
  for (size_t i = 0; d->decode && i < s->settings.n; i++) m->sample[i] = m->sample[i] / d->scaling + d->shift;
  if (request->name) ld_progress_clear();
  *pixels = m->pixels;
  return take_pixels(m, err);
}

int ld_picture_make_image(ld_picture_maker *m, const ld_picture_request *request, ld_image *image,
                          ld_error *err) {
  const float *pixels;
  const int height = m->settings->height, width = m->settings->width, channels = m->base->model->channels;
  int rc = ld_picture_make(m, request, &pixels, err);
  if (!rc) rc = ld_image_make(image, height, width, channels, "picture", err);
  if (rc) return rc;
  const size_t n = (size_t)height * (size_t)width;
  for (size_t i = 0; i < n; i++)
    for (size_t c = 0; c < (size_t)channels; c++)
      image->pixels[i * (size_t)channels + c] = (uint8_t)rintf(pixels[c * n + i] * 255);
  return 0;
}
