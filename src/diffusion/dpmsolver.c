/* DPM-Solver++ (Lu et al. 2022): steps in lambda = log(signal / noise), of first order, or of second order
 * with the last two samples that predictions meant (2M, algorithm 2); and with noise of its own, as an SDE.
 *
 *   h = lambda_next - lambda      m0, m1: what this prediction and the one before it mean
 *   x = a x + b m0 + c (m0 - m1) + d noise */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "diffusion/scheduler_config.h"
#include "diffusion/sigmas.h"
#include "diffusion/spacing.h"

static const ld_key keys[] = {
    LD_SPACING_KEYS,
    LD_SIGMA_KEYS,
    {"solver_order", LD_TAKES_INTEGER, NULL},
    {"solver_type", LD_TAKES_STRING, NULL},
    {"algorithm_type", LD_TAKES_STRING, NULL},
    {"lower_order_final", LD_TAKES_FLAG, NULL},
    {"euler_at_final", LD_TAKES_FLAG, NULL},
    {"lambda_min_clipped", LD_TAKES_NUMBER, NULL},
    {"thresholding", LD_TAKES_FLAG, NULL},
    {"use_lu_lambdas", LD_TAKES_FLAG | LD_TAKES_NULL, NULL},
    {NULL, 0, NULL},
};

static const char *const off[] = {"thresholding",    "use_beta_sigmas",      "use_lu_lambdas",
                                  "use_flow_sigmas", "use_dynamic_shifting", NULL};

typedef struct dpmsolver {
  int64_t order;
  bool heun, sde;
  bool first_order_at_final;
  float previous[]; /* (n), m1 */
} dpmsolver;

/* Few steps end with a step of first order, which is more stable. */
enum { FEW_STEPS = 15 };

static int read_method(const ld_value *config, dpmsolver *own, ld_error *err) {
  /* As the class does, those of DEIS and UniPC are taken for the first of each list. */
  static const char *const algorithms[] = {"dpmsolver++", "sde-dpmsolver++", "deis", NULL};
  static const char *const types[] = {"midpoint", "heun", "logrho", "bh1", "bh2", NULL};
  int algorithm, type, rc = ld_scheduler_choice(config, "algorithm_type", algorithms, 0, &algorithm, err);
  if (!rc) rc = ld_scheduler_choice(config, "solver_type", types, 0, &type, err);
  if (!rc) rc = ld_value_int(config, "solver_order", 2, &own->order, err);
  if (rc) return rc;
  own->sde = algorithm == 1;
  own->heun = type == 1;
  return own->order == 1 || own->order == 2
             ? 0
             : ld_fail(err, LD_EUNSUPPORTED, "solver_order: %lld is not supported (1, 2)",
                       (long long)own->order);
}

static int read_final(const ld_sampling *s, const ld_value *config, double final_sigma, dpmsolver *own,
                      ld_error *err) {
  bool euler, lower;
  int rc = ld_value_bool(config, "euler_at_final", false, &euler, err);
  if (!rc) rc = ld_value_bool(config, "lower_order_final", true, &lower, err);
  if (!rc) own->first_order_at_final = euler || (lower && s->n_calls < FEW_STEPS) || final_sigma == 0;
  return rc;
}

/* How many timesteps have a lambda of at least lambda_min_clipped. */
static int read_top(const ld_sampling *s, const ld_value *config, int64_t *top, ld_error *err) {
  double least;
  const int rc = ld_value_real(config, "lambda_min_clipped", -INFINITY, &least, err);
  *top = s->schedule.n;
  while (!rc && *top > 1 && -log(ld_sigma_at(&s->schedule, (double)(*top - 1))) < least) --*top;
  return rc;
}

/* Along the curve, over the whole schedule. Timesteps become integers: rounded, but cut off with a cosine. */
static int follow(ld_sampling *s, const ld_value *config, const ld_sigma_curve *curve, ld_error *err) {
  const double highest = ld_sigma_at(&s->schedule, (double)s->schedule.n);
  const double lowest = ld_sigma_at(&s->schedule, 0);
  const char *betas;
  const int rc = ld_value_string(config, "beta_schedule", "linear", &betas, err);
  if (rc) return rc;
  const bool cosine = !strcmp(betas, "squaredcos_cap_v2");
  for (int64_t i = 0; i < s->n_calls; i++) {
    const double sigma = ld_sigma_curve_at(curve, highest, lowest, i, s->n_calls);
    const double t = ld_sigma_timestep(&s->schedule, sigma);
    s->sigmas[i] = (float)sigma;
    s->timesteps[i] = (float)(cosine || curve->kind == LD_SIGMA_CURVE_EXPONENTIAL ? trunc(t) : rint(t));
  }
  return 0;
}

static int begin(ld_sampling *s, const ld_value *config, ld_error *err) {
  dpmsolver *own = s->own = ld_alloc(1, sizeof *own + s->settings.n * sizeof *own->previous);
  const int64_t n_points = s->settings.n_steps + 1;
  ld_spacing spacing;
  ld_sigma_curve curve;
  int64_t top;
  double last;
  int rc = read_method(config, own, err);
  if (!rc) rc = read_top(s, config, &top, err);
  if (!rc) rc = ld_spacing_read(s, config, LD_SPACING_LINSPACE, &spacing, err);
  if (!rc) rc = ld_spacing_fill(s, &spacing, top, n_points, true, err);
  if (!rc) rc = ld_sigma_curve_read(config, &curve, err);
  if (!rc) rc = ld_sigma_read_final(s, config, &last, err);
  if (!rc) rc = read_final(s, config, last, own, err);
  if (rc) return rc;
  for (int64_t i = 0; i < s->n_calls; i++) s->sigmas[i] = (float)ld_sigma_at(&s->schedule, s->timesteps[i]);
  s->sigmas[s->n_calls] = (float)last;
  s->needs_noise = own->sde;
  return curve.kind == LD_SIGMA_CURVE_NONE ? 0 : follow(s, config, &curve, err);
}

static double signal_of(double sigma) {
  return 1 / sqrt(sigma * sigma + 1);
}

typedef struct factors {
  float a, b, c, d;
} factors;

static factors find_factors(const ld_sampling *s) {
  const dpmsolver *own = s->own;
  const double sigma = s->sigmas[s->at], next = s->sigmas[s->at + 1];
  const double signal = signal_of(next), h = log(sigma) - log(next); /* infinite if the next is 0 */
  const bool final = s->at == s->n_calls - 1 && own->first_order_at_final;
  const bool second = own->order == 2 && s->at > 0 && !final;
  const double ratio = second ? (log(s->sigmas[s->at - 1]) - log(sigma)) / h : 1;
  const double twice = own->sde ? 2 * h : h, less = -expm1(-twice);
  const double heun = twice > 0 ? 1 - less / twice : 0;
  return (factors){
      .a = (float)(next * signal / (sigma * signal_of(sigma)) * (own->sde ? exp(-h) : 1)),
      .b = (float)(signal * less),
      .c = second ? (float)(signal * (own->heun ? heun : less / 2) / ratio) : 0,
      .d = own->sde ? (float)(next * signal * sqrt(-expm1(-2 * h))) : 0,
  };
}

static void step(ld_sampling *s, const float *prediction, const float *noise, float *sample) {
  dpmsolver *own = s->own;
  const factors f = find_factors(s);
  const double sigma = s->sigmas[s->at];
  const float signal = (float)signal_of(sigma), level = (float)(sigma * signal_of(sigma));
  if (s->at == 0) memset(own->previous, 0, s->settings.n * sizeof *own->previous);
  for (size_t i = 0; i < s->settings.n; i++) {
    const float m0 = ld_denoised(s->schedule.prediction, signal, level, sample[i], prediction[i]);
    sample[i] = f.a * sample[i] + f.b * m0 + f.c * (m0 - own->previous[i]);
    if (own->sde) sample[i] += f.d * noise[i];
    own->previous[i] = m0;
  }
}

const ld_sampler ld_sampler_dpmsolver = {
    .name = "dpmsolver++",
    .class_name = "DPMSolverMultistepScheduler",
    .keys = keys,
    .off = off,
    .predictions = 1 << LD_PREDICTION_EPSILON | 1 << LD_PREDICTION_V | 1 << LD_PREDICTION_SAMPLE,
    .begin = begin,
    .step = step,
};
