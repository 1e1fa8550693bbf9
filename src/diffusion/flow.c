/* Euler's method for flow matching (Lipman et al. 2023): x += (sigma_next - sigma) p on the straight line
 * between sample and noise; with stochastic_sampling, to the sample that the prediction means and back with
 * new noise. */
#include <math.h>

#include "diffusion/scheduler_config.h"
#include "diffusion/sigmas.h"

static const ld_key keys[] = {
    LD_SIGMA_KEYS,
    {"shift_terminal", LD_TAKES_NUMBER | LD_TAKES_NULL, NULL},
    {"stochastic_sampling", LD_TAKES_FLAG, NULL},
    {NULL, 0, NULL},
};

static const char *const off[] = {"use_beta_sigmas", NULL};

/* From the largest to the smallest sigma of training, which are shifted once more. */
static double shifted(const ld_sampling *s, double shift, int64_t i) {
  const double n = (double)s->schedule.n, count = (double)(s->n_calls - 1);
  const double first = (double)s->schedule.noise[s->schedule.n - 1] * n,
               last = (double)s->schedule.noise[0] * n;
  double t = first;
  if (i > 0) t = i == s->n_calls - 1 ? last : first + (double)i * ((last - first) / count);
  return shift * (t / n) / (1 + (shift - 1) * (t / n));
}

static int read_terminal(const ld_value *config, double *terminal, ld_error *err) {
  const int rc = ld_value_real(config, "shift_terminal", 0, terminal, err);
  if (rc) return rc;
  return *terminal >= 0 && *terminal < 1
             ? 0
             : ld_fail(err, LD_EFORMAT, "shift_terminal: expected a number from 0 to 1, found %.9g",
                       *terminal);
}

static int begin(ld_sampling *s, const ld_value *config, ld_error *err) {
  double shift = 1, terminal;
  ld_sigma_curve curve;
  s->n_calls = s->settings.n_steps;
  int rc = ld_scheduler_positive(config, "shift", &shift, err);
  if (!rc) rc = read_terminal(config, &terminal, err);
  if (!rc) rc = ld_sigma_curve_read(config, &curve, err);
  if (!rc) rc = ld_value_bool(config, "stochastic_sampling", false, &s->needs_noise, err);
  if (rc) return rc;
  const double scale = terminal > 0 ? (1 - shifted(s, shift, s->n_calls - 1)) / (1 - terminal) : 1;
  const double highest = 1 - (1 - shifted(s, shift, 0)) / scale;
  const double lowest = 1 - (1 - shifted(s, shift, s->n_calls - 1)) / scale;
  for (int64_t i = 0; i < s->n_calls; i++) {
    const double sigma = curve.kind == LD_SIGMA_CURVE_NONE
                             ? 1 - (1 - shifted(s, shift, i)) / scale
                             : ld_sigma_curve_at(&curve, highest, lowest, i, s->n_calls);
    s->sigmas[i] = (float)sigma;
    s->timesteps[i] = s->sigmas[i] * (float)s->schedule.n;
  }
  s->sigmas[s->n_calls] = 0;
  return 0;
}

static void step(ld_sampling *s, const float *prediction, const float *noise, float *sample) {
  const float sigma = s->sigmas[s->at], next = s->sigmas[s->at + 1];
  for (size_t i = 0; i < s->settings.n; i++)
    sample[i] = s->needs_noise ? (1 - next) * (sample[i] - sigma * prediction[i]) + next * noise[i]
                               : sample[i] + (next - sigma) * prediction[i];
}

const ld_sampler ld_sampler_flow = {
    .name = "flow",
    .class_name = "FlowMatchEulerDiscreteScheduler",
    .keys = keys,
    .off = off,
    .predictions = 1 << LD_PREDICTION_FLOW,
    .begin = begin,
    .step = step,
};
