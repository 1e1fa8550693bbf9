/* Samplers: how a model that predicts noise makes a picture, step by step. One file each; samplers.c has the
 * table.
 *
 *   ld_sampling s;
 *   rc = ld_sampling_begin(&s, sampler, config, "scheduler_config.json", &settings, err);
 *   sample = noise * s.init_noise_sigma
 *   while (s.at < s.n_calls) {
 *     ld_sampling_scale(&s, sample, input);
 *     prediction = the model's output for `input` at s.timesteps[s.at]
 *     if (s.needs_noise) noise = n numbers from N(0, 1)
 *     ld_sampling_step(&s, prediction, noise, sample);
 *   }
 *   ld_sampling_end(&s);
 *
 * Nothing here draws random numbers, and a step allocates nothing: the same inputs give the same bits.
 * Guidance is the caller's: it mixes predictions before the step.
 *
 * To add one, write its file with an ld_sampler, and its line in samplers.c; docs/adding/sampler.md. */
#ifndef LD_SAMPLER_H
#define LD_SAMPLER_H

#include "base/keys.h"
#include "diffusion/schedule.h"

typedef struct ld_sampling ld_sampling;

typedef struct ld_sampler {
  const char *name;       /* a value of --scheduler: "ddim" */
  const char *class_name; /* of diffusers, in scheduler_config.json: "DDIMScheduler" */
  const ld_key *keys;     /* the types of the keys that only it, or not every class, reads */
  const char *const
      *off;             /* flags that change its numbers, and must be false or missing; NULL after the last */
  unsigned predictions; /* what the model may predict: a bit, 1 << LD_PREDICTION_..., for each */
  bool
      every_timestep; /* it is meant to visit every timestep of the training: so many steps are its default */
  /* Reads its keys, and sets n_calls, timesteps, and what else of ld_sampling it needs. The rest is set,
   * timesteps and sigmas have room for n_steps + 1 numbers, init_noise_sigma is 1. Errors name the key. */
  int (*begin)(ld_sampling *s, const ld_value *config, ld_error *err);
  /* The model's input from the sample; NULL: the sample itself. */
  void (*scale)(const ld_sampling *s, const float *sample, float *input);
  /* Changes the sample from s->timesteps[s->at] to the next. */
  void (*step)(ld_sampling *s, const float *prediction, const float *noise, float *sample);
} ld_sampler;

extern const ld_sampler ld_sampler_ddim, ld_sampler_ddpm, ld_sampler_pndm, ld_sampler_euler,
    ld_sampler_euler_ancestral, ld_sampler_dpmsolver, ld_sampler_flow;

typedef struct ld_sampling_settings {
  int64_t n_steps;       /* 1 to num_train_timesteps */
  size_t n;              /* numbers of a sample; several samples may run as one */
  bool learned_variance; /* the model predicts 2 n numbers: the second half is the variance */
  bool overrule; /* as StableDiffusionPipeline of diffusers: steps_offset is 1 and clip_sample false in the
                          * scheduler that it opens, and, where the file has them, in one that is made from it */
} ld_sampling_settings;

/* One run of a sampler. */
struct ld_sampling {
  const ld_sampler *sampler;
  ld_sampling_settings settings;
  ld_schedule schedule;
  int64_t n_calls;        /* of the model: n_steps, and one more with pndm */
  int64_t at;             /* calls so far */
  float *timesteps;       /* (n_calls), for the model; not all are integers */
  float *sigmas;          /* (n_calls + 1): noise over signal; only for samplers that count in it */
  float init_noise_sigma; /* what the noise from which it starts is multiplied by */
  bool needs_noise;       /* a step adds noise: n numbers from N(0, 1), new ones for each */
  bool overruled;         /* `overrule` changed a value */
  void *own;              /* the sampler's; freed with free() */
};

/* What is missing in `config` (or all, if it is NULL) has the default of the sampler's class, whichever class
 * the config names, as with from_config of diffusers; keys that the sampler's class does not have are
 * ignored. `source` is the file, for errors; LD_EUSAGE for n_steps. The caller ends it, after an error as
 * well. */
int ld_sampling_begin(ld_sampling *s, const ld_sampler *sampler, const ld_value *config, const char *source,
                      const ld_sampling_settings *settings, ld_error *err);
void ld_sampling_end(ld_sampling *s);

/* Back to the first call, for another sample. */
void ld_sampling_restart(ld_sampling *s);

/* The model's input, n numbers; it may be the sample itself. */
void ld_sampling_scale(const ld_sampling *s, const float *sample, float *input);

/* Takes the model's output (n numbers, or 2 n with a learned variance), and for samplers that need it noise;
 * changes the sample. */
void ld_sampling_step(ld_sampling *s, const float *prediction, const float *noise, float *sample);

/* For samplers: the sample without noise that a prediction p means, if x = signal x_0 + noise e. */
static inline float ld_denoised(ld_prediction prediction, float signal, float noise, float x, float p) {
  switch (prediction) {
  case LD_PREDICTION_EPSILON:
    return (x - noise * p) / signal;
  case LD_PREDICTION_V:
    return signal * x - noise * p;
  case LD_PREDICTION_SAMPLE:
    return p;
  case LD_PREDICTION_FLOW:
    break;
  }
  return x - noise * p;
}

/* For `begin`: LD_EUNSUPPORTED for a schedule without signal at its last timestep, if the model predicts
 * noise: from that alone no sample follows. */
int ld_sampling_check_signal(const ld_sampling *s, ld_error *err);

/* For `begin`: whether the settings overrule the config's key. */
bool ld_sampling_overrules(const ld_sampling *s, const ld_value *config, const char *key);

/* For `begin`: the limits of clip_sample, to *range; infinity if nothing is clipped. */
int ld_sampling_read_clip(ld_sampling *s, const ld_value *config, float *range, ld_error *err);
static inline float ld_clipped(float x, float range) {
  return x > range ? range : x < -range ? -range : x;
}

#endif
