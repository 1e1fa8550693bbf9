#include "diffusion/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "diffusion/scheduler_config.h"

static int check_steps(const ld_sampling *s, ld_error *err) {
  const int64_t n_steps = s->settings.n_steps;
  return n_steps > 0 && n_steps <= s->schedule.n
             ? 0
             : ld_fail(err, LD_EUSAGE,
                       "the number of steps must be from 1 to num_train_timesteps, %lld, not %lld",
                       (long long)s->schedule.n, (long long)n_steps);
}

static int check_prediction(const ld_sampling *s, ld_error *err) {
  const ld_prediction prediction = s->schedule.prediction;
  return s->sampler->predictions & 1u << prediction
             ? 0
             : ld_fail(err, LD_EUNSUPPORTED,
                       "prediction_type: the scheduler %s cannot sample from a model that predicts \"%s\": "
                       "choose another one",
                       s->sampler->name, ld_prediction_name(prediction));
}

static int check_finite(const ld_sampling *s, ld_error *err) {
  bool good = isfinite(s->init_noise_sigma);
  for (int64_t i = 0; i < s->n_calls; i++)
    good = good && isfinite(s->timesteps[i]) && isfinite(s->sigmas[i]) && isfinite(s->sigmas[i + 1]);
  return good ? 0
              : ld_fail(err, LD_ENUMERIC, "the scheduler %s has no finite noise levels for %lld steps",
                        s->sampler->name, (long long)s->settings.n_steps);
}

/* Sigmas fall; the last step may change nothing, from sigma_min to sigma_min. */
static int check_falling(const ld_sampling *s, ld_error *err) {
  for (int64_t i = 0; i < s->n_calls && s->sigmas[0] > 0; i++)
    if (!(s->sigmas[i] > s->sigmas[i + 1] || (i == s->n_calls - 1 && s->sigmas[i] == s->sigmas[i + 1])))
      return ld_fail(
          err, LD_EFORMAT,
          "the noise does not fall from step %lld of %lld to the next with the scheduler %s: choose "
          "fewer steps, and check sigma_min and sigma_max",
          (long long)i + 1, (long long)s->settings.n_steps, s->sampler->name);
  return 0;
}

static int begin(ld_sampling *s, const ld_value *config, ld_error *err) {
  static const char *const none[] = {NULL};
  int rc = s->sampler->keys ? ld_keys_check(config, s->sampler->keys, err) : 0;
  if (!rc) rc = ld_scheduler_off(config, s->sampler->off ? s->sampler->off : none, err);
  if (!rc) rc = check_prediction(s, err);
  if (!rc) rc = check_steps(s, err);
  if (rc) return rc;
  const size_t room = (size_t)s->settings.n_steps + 1;
  s->timesteps = ld_alloc(room, sizeof *s->timesteps);
  s->sigmas = ld_alloc(room + 1, sizeof *s->sigmas);
  s->init_noise_sigma = 1;
  rc = s->sampler->begin(s, config, err);
  if (!rc) rc = check_finite(s, err);
  return rc ? rc : check_falling(s, err);
}

int ld_sampling_begin(ld_sampling *s, const ld_sampler *sampler, const ld_value *config, const char *source,
                      const ld_sampling_settings *settings, ld_error *err) {
  *s = (ld_sampling){.sampler = sampler, .settings = *settings};
  int rc = ld_schedule_read_as(config, sampler->class_name, source, &s->schedule, err);
  if (rc) return rc;
  rc = begin(s, config, err);
  return rc && rc != LD_EUSAGE ? ld_fail_prefix(err, rc, "%s", source) : rc;
}

void ld_sampling_end(ld_sampling *s) {
  ld_schedule_free(&s->schedule);
  free(s->timesteps);
  free(s->sigmas);
  free(s->own);
  *s = (ld_sampling){0};
}

void ld_sampling_restart(ld_sampling *s) {
  s->at = 0;
}

void ld_sampling_scale(const ld_sampling *s, const float *sample, float *input) {
  if (s->sampler->scale)
    s->sampler->scale(s, sample, input);
  else
    memmove(input, sample, s->settings.n * sizeof *input);
}

void ld_sampling_step(ld_sampling *s, const float *prediction, const float *noise, float *sample) {
  s->sampler->step(s, prediction, noise, sample);
  s->at++;
}

int ld_sampling_check_signal(const ld_sampling *s, ld_error *err) {
  return s->schedule.zero_snr && s->schedule.prediction == LD_PREDICTION_EPSILON
             ? ld_fail(err, LD_EUNSUPPORTED,
                       "rescale_betas_zero_snr: the scheduler %s cannot sample from it with prediction_type "
                       "\"epsilon\": choose euler or dpmsolver++",
                       s->sampler->name)
             : 0;
}

bool ld_sampling_overrules(const ld_sampling *s, const ld_value *config, const char *key) {
  const ld_value *class_name = ld_value_get(config, "_class_name");
  const bool own = class_name && class_name->string && !strcmp(class_name->string, s->sampler->class_name);
  return s->settings.overrule && (own || ld_value_get(config, key));
}

int ld_sampling_read_clip(ld_sampling *s, const ld_value *config, float *range, ld_error *err) {
  bool clip;
  double limit = 1;
  int rc = ld_value_bool(config, "clip_sample", true, &clip, err);
  if (!rc && clip && ld_sampling_overrules(s, config, "clip_sample")) clip = false, s->overruled = true;
  if (!rc) rc = ld_scheduler_positive(config, "clip_sample_range", &limit, err);
  *range = clip ? (float)limit : INFINITY;
  return rc;
}
