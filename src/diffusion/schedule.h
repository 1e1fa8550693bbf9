/* Noise schedules: how noise is mixed into a sample at each timestep, and what a model learns to predict, as
 * a scheduler_config.json of diffusers says it.
 *
 *   x_t = signal[t] x_0 + noise[t] e       t = 0 (almost no noise) to n - 1 (almost no signal), e ~ N(0, 1)
 *
 * For diffusion signal = sqrt(alpha_bar) and noise = sqrt(1 - alpha_bar), where alpha_bar is the running
 * product of 1 - beta (Ho et al. 2020, equation 4). For flow matching noise = sigma and signal = 1 - sigma.
 * All are rounded to float32 where diffusers rounds.
 *
 *   prediction    the model's target
 *   epsilon       e
 *   v_prediction  signal e - noise x_0     (Salimans and Ho 2022)
 *   sample        x_0
 *   flow          e - x_0
 *
 * Keys that say nothing about training are ignored here; the samplers check theirs. */
#ifndef LD_SCHEDULE_H
#define LD_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/value.h"

typedef enum ld_prediction {
  LD_PREDICTION_EPSILON,
  LD_PREDICTION_V,
  LD_PREDICTION_SAMPLE,
  LD_PREDICTION_FLOW
} ld_prediction;

typedef struct ld_schedule {
  int64_t n; /* num_train_timesteps */
  ld_prediction prediction;
  bool zero_snr;    /* rescale_betas_zero_snr: no signal at t = n - 1 */
  float *signal;    /* (n); the first of one allocation */
  float *noise;     /* (n) */
  float *alpha_bar; /* (n); NULL for flow matching */
} ld_schedule;

/* Reads the members of scheduler_config.json; what is missing has diffusers' default. Without a config (NULL)
 * all have that of DDPMScheduler. `source` is the file, for errors: LD_EFORMAT for wrong values,
 * LD_EUNSUPPORTED for a class, a beta_schedule or another value that this program does not know. The caller
 * frees it, after an error as well. */
int ld_schedule_read(const ld_value *config, const char *source, ld_schedule *out, ld_error *err);

/* The same; a config that does not name its class is taken for one of `class_name`. */
int ld_schedule_read_as(const ld_value *config, const char *class_name, const char *source, ld_schedule *out,
                        ld_error *err);

void ld_schedule_free(ld_schedule *schedule);

/* "epsilon", as in prediction_type; "flow" for flow matching. */
const char *ld_prediction_name(ld_prediction prediction);

/* What the model is told of timestep t: t itself, or sigma n for flow matching. */
float ld_schedule_timestep(const ld_schedule *schedule, int64_t t);

/* The signal-to-noise ratio, (signal / noise)^2. */
double ld_schedule_snr(const ld_schedule *schedule, int64_t t);

/* The weight of the squared error at t (Hang et al. 2023), from snr: min(snr, gamma) / snr for epsilon,
 * min(snr, gamma) / (snr + 1) for v, min(snr, gamma) for sample. Flow matching has no such weight: 1. */
double ld_schedule_min_snr(const ld_schedule *schedule, int64_t t, double gamma);

/* x_t and the target, of n floats each; `out` may be one of the inputs. */
void ld_schedule_noised(const ld_schedule *schedule, int64_t t, const float *sample, const float *noise,
                        size_t n, float *out);
void ld_schedule_target(const ld_schedule *schedule, int64_t t, const float *sample, const float *noise,
                        size_t n, float *out);

#endif
