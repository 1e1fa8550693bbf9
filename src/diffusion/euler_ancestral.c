/* Euler's method that goes down further than to the next sigma, and adds new noise up to it (k-diffusion's
 * "euler_a"): sigma_next^2 = down^2 + up^2. */
#include <math.h>

#include "diffusion/sigmas.h"
#include "diffusion/spacing.h"

static const ld_key keys[] = {LD_SPACING_KEYS, {NULL, 0, NULL}};

static int begin(ld_sampling *s, const ld_value *config, ld_error *err) {
  ld_spacing spacing;
  int rc = ld_spacing_read(s, config, LD_SPACING_LINSPACE, &spacing, err);
  if (!rc) rc = ld_spacing_fill(s, &spacing, s->schedule.n, s->settings.n_steps, false, err);
  if (rc) return rc;
  for (int64_t i = 0; i < s->n_calls; i++) s->sigmas[i] = (float)ld_sigma_at(&s->schedule, s->timesteps[i]);
  s->sigmas[s->n_calls] = 0;
  s->needs_noise = true;
  ld_sigma_set_init_noise(s, spacing.kind == LD_SPACING_LEADING);
  return 0;
}

static void step(ld_sampling *s, const float *prediction, const float *noise, float *sample) {
  const float sigma = s->sigmas[s->at], next = s->sigmas[s->at + 1];
  const float up = sqrtf(next * next * (sigma * sigma - next * next) / (sigma * sigma));
  const float down = sqrtf(next * next - up * up);
  for (size_t i = 0; i < s->settings.n; i++) {
    const float slope = ld_sigma_slope(s->schedule.prediction, sigma, sample[i], prediction[i]);
    sample[i] = sample[i] + slope * (down - sigma) + noise[i] * up;
  }
}

const ld_sampler ld_sampler_euler_ancestral = {
    .name = "euler_ancestral",
    .class_name = "EulerAncestralDiscreteScheduler",
    .keys = keys,
    .predictions = 1 << LD_PREDICTION_EPSILON | 1 << LD_PREDICTION_V,
    .begin = begin,
    .scale = ld_sigma_scale,
    .step = step,
};
