/* Euler's method on the probability flow (Karras et al. 2022, algorithm 2 without churn):
 * x += (sigma_next - sigma) dx/dsigma. */
#include "diffusion/scheduler_config.h"
#include "diffusion/sigmas.h"
#include "diffusion/spacing.h"

static const ld_key keys[] = {
    LD_SPACING_KEYS,
    LD_SIGMA_KEYS,
    {"interpolation_type", LD_TAKES_STRING, NULL},
    {"timestep_type", LD_TAKES_STRING, NULL},
    {NULL, 0, NULL},
};

static const char *const off[] = {"use_beta_sigmas", NULL};

static int check_types(const ld_value *config, ld_error *err) {
  static const char *const interpolations[] = {"linear", NULL}, *const times[] = {"discrete", NULL};
  int only;
  const int rc = ld_scheduler_choice(config, "interpolation_type", interpolations, 0, &only, err);
  return rc ? rc : ld_scheduler_choice(config, "timestep_type", times, 0, &only, err);
}

/* Along the curve from the first to the last sigma of the spacing. */
static void follow(ld_sampling *s, const ld_sigma_curve *curve) {
  const double highest = ld_sigma_at(&s->schedule, s->timesteps[0]);
  const double lowest = ld_sigma_at(&s->schedule, s->timesteps[s->n_calls - 1]);
  for (int64_t i = 0; i < s->n_calls; i++) {
    const double sigma = ld_sigma_curve_at(curve, highest, lowest, i, s->n_calls);
    s->sigmas[i] = (float)sigma;
    s->timesteps[i] = (float)ld_sigma_timestep(&s->schedule, sigma);
  }
}

static int begin(ld_sampling *s, const ld_value *config, ld_error *err) {
  ld_spacing spacing;
  ld_sigma_curve curve;
  double last;
  int rc = check_types(config, err);
  if (!rc) rc = ld_spacing_read(s, config, LD_SPACING_LINSPACE, &spacing, err);
  if (!rc) rc = ld_spacing_fill(s, &spacing, s->schedule.n, s->settings.n_steps, false, err);
  if (!rc) rc = ld_sigma_curve_read(config, &curve, err);
  if (!rc) rc = ld_sigma_read_final(s, config, &last, err);
  if (rc) return rc;
  for (int64_t i = 0; i < s->n_calls; i++) s->sigmas[i] = (float)ld_sigma_at(&s->schedule, s->timesteps[i]);
  if (curve.kind != LD_SIGMA_CURVE_NONE) follow(s, &curve);
  s->sigmas[s->n_calls] = (float)last;
  ld_sigma_set_init_noise(s, spacing.kind == LD_SPACING_LEADING);
  return 0;
}

static void step(ld_sampling *s, const float *prediction, const float *noise, float *sample) {
  (void)noise;
  const float sigma = s->sigmas[s->at], change = s->sigmas[s->at + 1] - sigma;
  for (size_t i = 0; i < s->settings.n; i++)
    sample[i] += ld_sigma_slope(s->schedule.prediction, sigma, sample[i], prediction[i]) * change;
}

const ld_sampler ld_sampler_euler = {
    .name = "euler",
    .class_name = "EulerDiscreteScheduler",
    .keys = keys,
    .off = off,
    .predictions = 1 << LD_PREDICTION_EPSILON | 1 << LD_PREDICTION_V | 1 << LD_PREDICTION_SAMPLE,
    .begin = begin,
    .scale = ld_sigma_scale,
    .step = step,
};
