/* DDPM (Ho et al. 2020, equations 6 and 7): the mean of the sample one step before, given this one and the
 * sample without noise that the prediction means, plus noise of the variance that variance_type names. */
#include <math.h>

#include "base/memory.h"
#include "diffusion/scheduler_config.h"
#include "diffusion/spacing.h"

static const ld_key keys[] = {
    LD_SPACING_KEYS,
    {"clip_sample", LD_TAKES_FLAG, NULL},
    {"clip_sample_range", LD_TAKES_NUMBER, NULL},
    {"variance_type", LD_TAKES_STRING, NULL},
    {"thresholding", LD_TAKES_FLAG, NULL},
    {NULL, 0, NULL},
};

static const char *const off[] = {"thresholding", NULL};

/* "fixed_small_log" is the same number as "fixed_small". */
typedef enum variance_type { FIXED_SMALL, FIXED_LARGE, LEARNED_RANGE, FIXED_SMALL_LOG } variance_type;
static const char *const variance_types[] = {"fixed_small", "fixed_large", "learned_range", "fixed_small_log",
                                             NULL};

typedef struct ddpm {
  float range; /* clip_sample_range */
  variance_type variance;
} ddpm;

static int begin(ld_sampling *s, const ld_value *config, ld_error *err) {
  ddpm *own = s->own = ld_alloc(1, sizeof *own);
  int variance, rc = ld_spacing_begin(s, config, LD_SPACING_LEADING, true, err);
  if (!rc) rc = ld_sampling_read_clip(s, config, &own->range, err);
  if (!rc) rc = ld_scheduler_choice(config, "variance_type", variance_types, FIXED_SMALL, &variance, err);
  if (rc) return rc;
  own->variance = (variance_type)variance;
  s->needs_noise = true;
  if (own->variance == LEARNED_RANGE && !s->settings.learned_variance)
    return ld_fail(err, LD_EMISMATCH,
                   "variance_type: \"learned_range\" needs a model that predicts the variance, with twice as "
                   "many channels as the sample");
  return ld_sampling_check_signal(s, err);
}

/* The numbers of one step. */
typedef struct moments {
  float of_denoised, of_sample; /* the mean is a mix */
  float beta;
  float variance; /* the smallest that is possible */
} moments;

static moments find_moments(const ld_sampling *s, int64_t t) {
  const float *alpha_bar = s->schedule.alpha_bar;
  const float now = alpha_bar[t];
  const float next = s->at + 1 < s->n_calls ? alpha_bar[(int64_t)s->timesteps[s->at + 1]] : 1;
  const float alpha = now / next, beta = 1 - alpha;
  return (moments){.of_denoised = sqrtf(next) * beta / (1 - now),
                   .of_sample = sqrtf(alpha) * (1 - next) / (1 - now),
                   .beta = beta,
                   .variance = fmaxf((1 - next) / (1 - now) * beta, 1e-20f)};
}

/* Nichol and Dhariwal 2021, equation 15: the logarithm lies between those of both variances. */
static float learned_deviation(float smallest, float largest, float v) {
  const float share = (v + 1) / 2;
  return (float)exp(0.5 * (share * largest + (1 - share) * smallest));
}

static void add_noise(const ld_sampling *s, const moments *m, const float *variance, const float *noise,
                      float *sample) {
  const ddpm *own = s->own;
  const float smallest = (float)log(m->variance), largest = (float)log(m->beta);
  const float deviation = sqrtf(own->variance == FIXED_LARGE ? m->beta : m->variance);
  for (size_t i = 0; i < s->settings.n; i++)
    sample[i] +=
        noise[i] *
        (own->variance == LEARNED_RANGE ? learned_deviation(smallest, largest, variance[i]) : deviation);
}

static void step(ld_sampling *s, const float *prediction, const float *noise, float *sample) {
  const ddpm *own = s->own;
  const int64_t t = (int64_t)s->timesteps[s->at];
  const float signal = s->schedule.signal[t], level = s->schedule.noise[t];
  const moments m = find_moments(s, t);
  for (size_t i = 0; i < s->settings.n; i++) {
    const float x = sample[i];
    const float denoised =
        ld_clipped(ld_denoised(s->schedule.prediction, signal, level, x, prediction[i]), own->range);
    sample[i] = m.of_denoised * denoised + m.of_sample * x;
  }
  if (t > 0) add_noise(s, &m, prediction + s->settings.n, noise, sample);
}

const ld_sampler ld_sampler_ddpm = {
    .name = "ddpm",
    .class_name = "DDPMScheduler",
    .every_timestep = true,
    .keys = keys,
    .off = off,
    .predictions = 1 << LD_PREDICTION_EPSILON | 1 << LD_PREDICTION_V | 1 << LD_PREDICTION_SAMPLE,
    .begin = begin,
    .step = step,
};
