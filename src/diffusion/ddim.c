/* DDIM (Song et al. 2021, equation 12, with eta 0): back to the sample that the prediction means, and forward
 * again with the noise that it means. Without noise of its own. */
#include <math.h>

#include "base/memory.h"
#include "diffusion/spacing.h"

static const ld_key keys[] = {
    LD_SPACING_KEYS,
    {"clip_sample", LD_TAKES_FLAG, NULL},
    {"clip_sample_range", LD_TAKES_NUMBER, NULL},
    {"set_alpha_to_one", LD_TAKES_FLAG, NULL},
    {"thresholding", LD_TAKES_FLAG, NULL},
    {NULL, 0, NULL},
};

static const char *const off[] = {"thresholding", NULL};

typedef struct ddim {
  float range; /* clip_sample_range */
  float final_alpha_bar;
} ddim;

static int begin(ld_sampling *s, const ld_value *config, ld_error *err) {
  ddim *own = s->own = ld_alloc(1, sizeof *own);
  bool one;
  int rc = ld_spacing_begin(s, config, LD_SPACING_LEADING, true, err);
  if (!rc) rc = ld_sampling_read_clip(s, config, &own->range, err);
  if (!rc) rc = ld_value_bool(config, "set_alpha_to_one", true, &one, err);
  if (rc) return rc;
  own->final_alpha_bar = one ? 1 : s->schedule.alpha_bar[0];
  return ld_sampling_check_signal(s, err);
}

/* The noise that a prediction p means. */
static float predicted_noise(ld_prediction prediction, float signal, float noise, float x, float p) {
  switch (prediction) {
  case LD_PREDICTION_V:
    return signal * p + noise * x;
  case LD_PREDICTION_SAMPLE:
    return (x - signal * p) / noise;
  default:
    return p;
  }
}

static void step(ld_sampling *s, const float *prediction, const float *noise, float *sample) {
  (void)noise;
  const ddim *own = s->own;
  const ld_schedule *schedule = &s->schedule;
  const int64_t t = (int64_t)s->timesteps[s->at], next = t - schedule->n / s->settings.n_steps;
  const float signal = schedule->signal[t], level = schedule->noise[t];
  const float alpha_bar = next >= 0 ? schedule->alpha_bar[next] : own->final_alpha_bar;
  const float next_signal = sqrtf(alpha_bar), next_level = sqrtf(1 - alpha_bar);
  for (size_t i = 0; i < s->settings.n; i++) {
    const float x = sample[i], p = prediction[i];
    const float denoised = ld_clipped(ld_denoised(schedule->prediction, signal, level, x, p), own->range);
    sample[i] =
        next_signal * denoised + next_level * predicted_noise(schedule->prediction, signal, level, x, p);
  }
}

const ld_sampler ld_sampler_ddim = {
    .name = "ddim",
    .class_name = "DDIMScheduler",
    .keys = keys,
    .off = off,
    .predictions = 1 << LD_PREDICTION_EPSILON | 1 << LD_PREDICTION_V | 1 << LD_PREDICTION_SAMPLE,
    .begin = begin,
    .step = step,
};
