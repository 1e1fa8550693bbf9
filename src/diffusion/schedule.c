#include "diffusion/schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/keys.h"
#include "base/memory.h"
#include "diffusion/scheduler_config.h"

enum { MOST_TIMESTEPS = 1000000 };

static const char flow_class[] = "FlowMatchEulerDiscreteScheduler";

/* The classes that share the keys below: whichever a config names, training means the same. */
static const char *const diffusion_classes[] = {"DDPMScheduler",
                                                "DDIMScheduler",
                                                "PNDMScheduler",
                                                "EulerDiscreteScheduler",
                                                "EulerAncestralDiscreteScheduler",
                                                "DPMSolverMultistepScheduler",
                                                "DPMSolverSinglestepScheduler",
                                                "DPMSolverSDEScheduler",
                                                "DEISMultistepScheduler",
                                                "UniPCMultistepScheduler",
                                                "HeunDiscreteScheduler",
                                                "LMSDiscreteScheduler",
                                                "KDPM2DiscreteScheduler",
                                                "KDPM2AncestralDiscreteScheduler"};

static const ld_key keys[] = {
    {"_class_name", LD_TAKES_STRING, NULL},
    {"num_train_timesteps", LD_TAKES_INTEGER, NULL},
    {"beta_start", LD_TAKES_NUMBER, NULL},
    {"beta_end", LD_TAKES_NUMBER, NULL},
    {"beta_schedule", LD_TAKES_STRING, NULL},
    {"trained_betas", LD_TAKES_NUMBERS | LD_TAKES_NULL, NULL},
    {"rescale_betas_zero_snr", LD_TAKES_FLAG, NULL},
    {"prediction_type", LD_TAKES_STRING, NULL},
    {"predict_epsilon", LD_TAKES_FLAG | LD_TAKES_NULL, NULL},
    {"use_flow_sigmas", LD_TAKES_FLAG | LD_TAKES_NULL, NULL},
    {"shift", LD_TAKES_NUMBER, NULL},
    {"use_dynamic_shifting", LD_TAKES_FLAG, NULL},
    {"invert_sigmas", LD_TAKES_FLAG, NULL},
    {NULL, 0, NULL},
};

enum { LINEAR, SCALED_LINEAR, SQUAREDCOS_CAP_V2 };
static const char *const beta_schedules[] = {"linear", "scaled_linear", "squaredcos_cap_v2", NULL};

/* In the order of ld_prediction. */
static const char *const predictions[] = {"epsilon", "v_prediction", "sample", NULL};

const char *ld_prediction_name(ld_prediction prediction) {
  return prediction == LD_PREDICTION_FLOW ? "flow" : predictions[prediction];
}

/* n numbers from `first` to `last`, between which torch's steps are float32. */
static void fill_evenly(double first, double last, int64_t n, float *out) {
  const float start = (float)first, end = (float)last, step = n > 1 ? (end - start) / (float)(n - 1) : 0;
  for (int64_t i = 0; i < n; i++)
    out[i] = i < n / 2 || n == 1 ? (float)(start + (double)step * (double)i)
                                 : (float)(end - (double)step * (double)(n - 1 - i));
}

/* Nichol and Dhariwal 2021, equation 17. */
static double cosine_alpha_bar(double t) {
  const double c = cos((t + 0.008) / 1.008 * M_PI / 2);
  return c * c;
}

static int fill_betas(const ld_value *config, int64_t n, float *betas, ld_error *err) {
  double start, end;
  int kind, rc = ld_value_real(config, "beta_start", 0.0001, &start, err);
  if (!rc) rc = ld_value_real(config, "beta_end", 0.02, &end, err);
  if (!rc) rc = ld_scheduler_choice(config, "beta_schedule", beta_schedules, LINEAR, &kind, err);
  if (rc) return rc;
  if (!(start > 0 && start < 1))
    return ld_fail(err, LD_EFORMAT, "beta_start: expected a number between 0 and 1, found %.9g", start);
  if (!(end > 0 && end < 1))
    return ld_fail(err, LD_EFORMAT, "beta_end: expected a number between 0 and 1, found %.9g", end);
  if (kind == LINEAR) fill_evenly(start, end, n, betas);
  if (kind == SCALED_LINEAR) fill_evenly(sqrt(start), sqrt(end), n, betas);
  for (int64_t i = 0; i < n; i++) {
    if (kind == SCALED_LINEAR) betas[i] *= betas[i];
    if (kind == SQUAREDCOS_CAP_V2)
      betas[i] = (float)fmin(
          1 - cosine_alpha_bar((double)(i + 1) / (double)n) / cosine_alpha_bar((double)i / (double)n), 0.999);
  }
  return 0;
}

static int take_trained_betas(const ld_value *list, int64_t n, float *betas, ld_error *err) {
  if ((int64_t)list->n_items != n)
    return ld_fail(err, LD_EFORMAT, "trained_betas: has %zu numbers, but num_train_timesteps is %lld",
                   list->n_items, (long long)n);
  for (int64_t i = 0; i < n; i++) {
    betas[i] = (float)list->items[i].real;
    if (!(betas[i] > 0 && betas[i] <= 1))
      return ld_fail(err, LD_EFORMAT, "trained_betas: expected numbers between 0 and 1, found %.9g",
                     list->items[i].real);
  }
  return 0;
}

/* torch multiplies in double, and rounds each product. */
static void multiply_up(const float *betas, int64_t n, float *alpha_bar) {
  double product = 1;
  for (int64_t t = 0; t < n; t++) {
    product *= 1.0f - betas[t];
    alpha_bar[t] = (float)product;
  }
}

/* Lin et al. 2024, algorithm 1: shifts and scales sqrt(alpha_bar) so that the last is 0 and the first stays.
 * `work` has room for n. */
static void rescale_betas(float *betas, int64_t n, float *work) {
  multiply_up(betas, n, work);
  const float first = sqrtf(work[0]), last = sqrtf(work[n - 1]), scale = first / (first - last);
  float before = 1;
  for (int64_t t = 0; t < n; t++) {
    const float root = (sqrtf(work[t]) - last) * scale, now = root * root;
    betas[t] = 1 - (t ? now / before : now);
    before = now;
  }
}

/* Every timestep has some signal (but for the last of a rescaled schedule) and some noise. */
static int check_alpha_bar(const ld_schedule *s, ld_error *err) {
  for (int64_t t = 0; t < s->n; t++) {
    const bool last = s->zero_snr && t == s->n - 1;
    if (!(s->alpha_bar[t] > 0 || (last && s->alpha_bar[t] == 0)))
      return ld_fail(err, LD_EFORMAT, "the betas leave no signal at timestep %lld: check beta_end and %s",
                     (long long)t, "num_train_timesteps");
    if (!(s->alpha_bar[t] < 1))
      return ld_fail(err, LD_EFORMAT, "the betas make no noise at timestep %lld: check beta_start",
                     (long long)t);
  }
  return 0;
}

static int read_diffusion(const ld_value *config, ld_schedule *out, ld_error *err) {
  static const char *const off[] = {"use_flow_sigmas", NULL};
  const ld_value *trained = ld_value_get(config, "trained_betas");
  bool epsilon;
  int prediction, rc = ld_scheduler_off(config, off, err);
  if (!rc) rc = ld_value_bool(config, "predict_epsilon", true, &epsilon, err);
  if (!rc && !epsilon)
    rc = ld_fail(err, LD_EUNSUPPORTED,
                 "predict_epsilon: false is not supported: replace it by \"prediction_type\": \"sample\"");
  if (!rc) rc = ld_scheduler_choice(config, "prediction_type", predictions, 0, &prediction, err);
  if (!rc) rc = ld_value_bool(config, "rescale_betas_zero_snr", false, &out->zero_snr, err);
  if (rc) return rc;
  out->prediction = (ld_prediction)prediction;
  out->alpha_bar = out->noise + out->n;
  float *betas = out->signal;
  rc = trained ? take_trained_betas(trained, out->n, betas, err) : fill_betas(config, out->n, betas, err);
  if (rc) return rc;
  if (out->zero_snr) rescale_betas(betas, out->n, out->alpha_bar);
  multiply_up(betas, out->n, out->alpha_bar);
  for (int64_t t = 0; t < out->n; t++) {
    out->signal[t] = sqrtf(out->alpha_bar[t]);
    out->noise[t] = sqrtf(1 - out->alpha_bar[t]);
  }
  return check_alpha_bar(out, err);
}

static int read_flow(const ld_value *config, ld_schedule *out, ld_error *err) {
  static const char *const off[] = {"use_dynamic_shifting", "invert_sigmas", NULL};
  double shift = 1;
  int rc = ld_scheduler_off(config, off, err);
  if (!rc) rc = ld_scheduler_positive(config, "shift", &shift, err);
  if (rc) return rc;
  out->prediction = LD_PREDICTION_FLOW;
  const float factor = (float)shift, less = (float)(shift - 1);
  for (int64_t t = 0; t < out->n; t++) {
    const float even = (float)(t + 1) / (float)out->n;
    out->noise[t] = factor * even / (1 + less * even);
    out->signal[t] = 1 - out->noise[t];
  }
  return 0;
}

static int check_class(const char *name, bool *flow, ld_error *err) {
  *flow = !strcmp(name, flow_class);
  if (*flow) return 0;
  for (size_t i = 0; i < sizeof diffusion_classes / sizeof *diffusion_classes; i++)
    if (!strcmp(name, diffusion_classes[i])) return 0;
  return ld_fail(
      err, LD_EUNSUPPORTED,
      "_class_name: the noise schedule of \"%.64s\" is not supported: use the file of %s, %s or %s", name,
      "DDPMScheduler", "a class like it", flow_class);
}

static int read_schedule(const ld_value *config, const char *class_name, ld_schedule *out, ld_error *err) {
  bool flow;
  int rc = ld_keys_check(config, keys, err);
  if (!rc) rc = ld_value_string(config, "_class_name", class_name, &class_name, err);
  if (!rc) rc = check_class(class_name, &flow, err);
  if (!rc) rc = ld_value_int(config, "num_train_timesteps", 1000, &out->n, err);
  if (rc) return rc;
  if (out->n < 1 || out->n > MOST_TIMESTEPS)
    return ld_fail(err, LD_EFORMAT, "num_train_timesteps: expected a number from 1 to %d, found %lld",
                   MOST_TIMESTEPS, (long long)out->n);
  out->signal = ld_alloc(3 * (size_t)out->n, sizeof *out->signal);
  out->noise = out->signal + out->n;
  return flow ? read_flow(config, out, err) : read_diffusion(config, out, err);
}

int ld_schedule_read_as(const ld_value *config, const char *class_name, const char *source, ld_schedule *out,
                        ld_error *err) {
  *out = (ld_schedule){0};
  const int rc = read_schedule(config, class_name, out, err);
  return rc ? ld_fail_prefix(err, rc, "%s", source) : 0;
}

int ld_schedule_read(const ld_value *config, const char *source, ld_schedule *out, ld_error *err) {
  return ld_schedule_read_as(config, diffusion_classes[0], source, out, err);
}

void ld_schedule_free(ld_schedule *schedule) {
  free(schedule->signal);
  *schedule = (ld_schedule){0};
}

float ld_schedule_timestep(const ld_schedule *s, int64_t t) {
  return s->prediction == LD_PREDICTION_FLOW ? s->noise[t] * (float)s->n : (float)t;
}

double ld_schedule_snr(const ld_schedule *s, int64_t t) {
  const double ratio = (double)s->signal[t] / s->noise[t];
  return ratio * ratio;
}

double ld_schedule_min_snr(const ld_schedule *s, int64_t t, double gamma) {
  const double snr = ld_schedule_snr(s, t);
  switch (s->prediction) {
  case LD_PREDICTION_EPSILON:
    return snr > gamma ? gamma / snr : 1;
  case LD_PREDICTION_V:
    return fmin(snr, gamma) / (snr + 1);
  case LD_PREDICTION_SAMPLE:
    return fmin(snr, gamma);
  case LD_PREDICTION_FLOW:
    break;
  }
  return 1;
}

void ld_schedule_noised(const ld_schedule *s, int64_t t, const float *sample, const float *noise, size_t n,
                        float *out) {
  const float a = s->signal[t], b = s->noise[t];
  for (size_t i = 0; i < n; i++) out[i] = a * sample[i] + b * noise[i];
}

/* Each target is a mix of noise and sample. */
static void mix_target(const ld_schedule *s, int64_t t, float *of_noise, float *of_sample) {
  *of_noise = 1;
  *of_sample = 0;
  switch (s->prediction) {
  case LD_PREDICTION_EPSILON:
    break;
  case LD_PREDICTION_V:
    *of_noise = s->signal[t];
    *of_sample = -s->noise[t];
    break;
  case LD_PREDICTION_SAMPLE:
    *of_noise = 0;
    *of_sample = 1;
    break;
  case LD_PREDICTION_FLOW:
    *of_sample = -1;
    break;
  }
}

void ld_schedule_target(const ld_schedule *s, int64_t t, const float *sample, const float *noise, size_t n,
                        float *out) {
  float a, b;
  mix_target(s, t, &a, &b);
  for (size_t i = 0; i < n; i++) out[i] = a * noise[i] + b * sample[i];
}
