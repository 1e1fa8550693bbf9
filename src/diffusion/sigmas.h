/* Noise levels sigma = noise / signal, in which some samplers count (Karras et al. 2022): at a timestep, back
 * to a timestep, and the curves along which a sampler may go down instead of evenly in time. */
#ifndef LD_SIGMAS_H
#define LD_SIGMAS_H

#include "diffusion/sampler.h"

/* At a timestep that need not be an integer; linear between two, and constant outside. A schedule without
 * signal at its last timestep has 4096 there, as in diffusers. */
double ld_sigma_at(const ld_schedule *schedule, double t);

/* The timestep of a sigma, linear in its logarithm between two. */
double ld_sigma_timestep(const ld_schedule *schedule, double sigma);

typedef enum ld_sigma_curve_kind {
  LD_SIGMA_CURVE_NONE,
  LD_SIGMA_CURVE_KARRAS,
  LD_SIGMA_CURVE_EXPONENTIAL
} ld_sigma_curve_kind;

typedef struct ld_sigma_curve {
  ld_sigma_curve_kind kind;
  double highest, lowest; /* sigma_max, sigma_min; 0 where the config has none */
} ld_sigma_curve;

/* The lines of a sampler's `keys` for the curve and for final_sigmas_type. */
#define LD_SIGMA_KEYS                                                                                        \
  {"use_karras_sigmas", LD_TAKES_FLAG | LD_TAKES_NULL, NULL},                                                \
      {"use_exponential_sigmas", LD_TAKES_FLAG | LD_TAKES_NULL, NULL},                                       \
      {"use_beta_sigmas", LD_TAKES_FLAG | LD_TAKES_NULL, NULL},                                              \
      {"sigma_min", LD_TAKES_NUMBER | LD_TAKES_NULL, NULL},                                                  \
      {"sigma_max", LD_TAKES_NUMBER | LD_TAKES_NULL, NULL}, {                                                \
    "final_sigmas_type", LD_TAKES_STRING, NULL                                                               \
  }

int ld_sigma_curve_read(const ld_value *config, ld_sigma_curve *out, ld_error *err);

/* The i-th of n sigmas, from `highest` to `lowest` where the config gives no others. */
double ld_sigma_curve_at(const ld_sigma_curve *curve, double highest, double lowest, int64_t i, int64_t n);

/* The sigma after the last call: 0, or that of timestep 0 if final_sigmas_type is "sigma_min". */
int ld_sigma_read_final(const ld_sampling *s, const ld_value *config, double *out, ld_error *err);

/* For samplers that start from noise of the first sigma: init_noise_sigma. */
void ld_sigma_set_init_noise(ld_sampling *s, bool leading);

/* `scale` for models that were trained on samples of variance 1: x / sqrt(sigma^2 + 1). */
void ld_sigma_scale(const ld_sampling *s, const float *sample, float *input);

/* d x / d sigma at x = x_0 + sigma e: the noise that a prediction p means. */
float ld_sigma_slope(ld_prediction prediction, float sigma, float x, float p);

#endif
