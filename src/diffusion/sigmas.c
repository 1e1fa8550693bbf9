#include "diffusion/sigmas.h"

#include <math.h>

#include "diffusion/scheduler_config.h"

static float sigma_of(const ld_schedule *schedule, int64_t t) {
  const bool last = schedule->zero_snr && t == schedule->n - 1;
  const float alpha_bar = last ? 0x1p-24f : schedule->alpha_bar[t];
  return sqrtf((1 - alpha_bar) / alpha_bar);
}

double ld_sigma_at(const ld_schedule *schedule, double t) {
  const int64_t below = (int64_t)t;
  if (t <= 0) return sigma_of(schedule, 0);
  if (below >= schedule->n - 1) return sigma_of(schedule, schedule->n - 1);
  const double low = sigma_of(schedule, below), high = sigma_of(schedule, below + 1);
  return (high - low) * (t - (double)below) + low;
}

static double log_sigma_of(const ld_schedule *schedule, int64_t t) {
  return (float)log(sigma_of(schedule, t));
}

double ld_sigma_timestep(const ld_schedule *schedule, double sigma) {
  const double wanted = log(fmax(sigma, 1e-10));
  int64_t below = 0, above = schedule->n - 1; /* the timesteps around it */
  if (above == 0) return 0;
  while (above - below > 1) {
    const int64_t middle = below + (above - below) / 2;
    if (log_sigma_of(schedule, middle) <= wanted)
      below = middle;
    else
      above = middle;
  }
  const double low = log_sigma_of(schedule, below), high = log_sigma_of(schedule, above);
  const double share = fmin(fmax((low - wanted) / (low - high), 0), 1);
  return (1 - share) * (double)below + share * (double)above;
}

int ld_sigma_curve_read(const ld_value *config, ld_sigma_curve *out, ld_error *err) {
  bool karras, exponential;
  *out = (ld_sigma_curve){0};
  int rc = ld_value_bool(config, "use_karras_sigmas", false, &karras, err);
  if (!rc) rc = ld_value_bool(config, "use_exponential_sigmas", false, &exponential, err);
  if (!rc) rc = ld_scheduler_positive(config, "sigma_min", &out->lowest, err);
  if (!rc) rc = ld_scheduler_positive(config, "sigma_max", &out->highest, err);
  if (rc) return rc;
  if (karras && exponential)
    return ld_fail(err, LD_EFORMAT, "use_karras_sigmas and use_exponential_sigmas: only one may be true");
  out->kind = karras ? LD_SIGMA_CURVE_KARRAS : exponential ? LD_SIGMA_CURVE_EXPONENTIAL : LD_SIGMA_CURVE_NONE;
  return 0;
}

/* Karras et al. 2022, equation 5. */
double ld_sigma_curve_at(const ld_sigma_curve *curve, double highest, double lowest, int64_t i, int64_t n) {
  const double rho = 7, share = n > 1 ? (double)i * (1 / (double)(n - 1)) : 0;
  if (curve->highest > 0) highest = curve->highest;
  if (curve->lowest > 0) lowest = curve->lowest;
  if (curve->kind == LD_SIGMA_CURVE_EXPONENTIAL)
    return exp(log(highest) + share * (log(lowest) - log(highest)));
  const double first = pow(highest, 1 / rho), last = pow(lowest, 1 / rho);
  return pow(first + share * (last - first), rho);
}

int ld_sigma_read_final(const ld_sampling *s, const ld_value *config, double *out, ld_error *err) {
  static const char *const names[] = {"zero", "sigma_min", NULL};
  int kind;
  const int rc = ld_scheduler_choice(config, "final_sigmas_type", names, 0, &kind, err);
  if (!rc) *out = kind ? sigma_of(&s->schedule, 0) : 0;
  return rc;
}

void ld_sigma_set_init_noise(ld_sampling *s, bool leading) {
  float most = 0;
  for (int64_t i = 0; i <= s->n_calls; i++) most = fmaxf(most, s->sigmas[i]);
  s->init_noise_sigma = leading ? sqrtf(most * most + 1) : most;
}

void ld_sigma_scale(const ld_sampling *s, const float *sample, float *input) {
  const float sigma = s->sigmas[s->at], size = sqrtf(sigma * sigma + 1);
  for (size_t i = 0; i < s->settings.n; i++) input[i] = sample[i] / size;
}

float ld_sigma_slope(ld_prediction prediction, float sigma, float x, float p) {
  float denoised = p;
  const float square = sigma * sigma + 1;
  if (prediction == LD_PREDICTION_EPSILON) denoised = x - sigma * p;
  if (prediction == LD_PREDICTION_V) denoised = p * (-sigma / sqrtf(square)) + x / square;
  return (x - denoised) / sigma;
}
