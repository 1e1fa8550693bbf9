/* PLMS, the linear multistep method of PNDM (Liu et al. 2022, equations 9 and 12): a DDIM step with a mix of
 * the last four predictions. The second timestep is visited twice: with the prediction there the first step
 * is made again. So there is one call more than steps.
 *
 *   call   step made          prediction
 *   0      first              p0
 *   1      first, once more   (p1 + p0) / 2, and p1 is not kept
 *   2      second             (3 p2 - p0) / 2
 *   ... */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "diffusion/spacing.h"

static const ld_key keys[] = {
    LD_SPACING_KEYS,
    {"set_alpha_to_one", LD_TAKES_FLAG, NULL},
    {"skip_prk_steps", LD_TAKES_FLAG, NULL},
    {NULL, 0, NULL},
};

/* The class does not know it, and would ignore it. */
static const char *const off[] = {"rescale_betas_zero_snr", NULL};

enum { KEPT = 4 };

typedef struct pndm {
  float final_alpha_bar;
  size_t n_kept;
  float *start;      /* (n), the sample before the first step */
  float *kept[KEPT]; /* (n) each, predictions, the newest first */
  float memory[];
} pndm;

/* Repeats the second timestep. */
static void repeat_second(ld_sampling *s) {
  if (s->n_calls < 2) return;
  memmove(s->timesteps + 2, s->timesteps + 1, (size_t)(s->n_calls - 1) * sizeof *s->timesteps);
  s->n_calls++;
}

static int begin(ld_sampling *s, const ld_value *config, ld_error *err) {
  const size_t n = s->settings.n;
  pndm *own = s->own = ld_alloc(1, sizeof *own + (KEPT + 1) * n * sizeof *own->memory);
  own->start = own->memory;
  for (size_t k = 0; k < KEPT; k++) own->kept[k] = own->memory + (k + 1) * n;
  bool one, skip;
  int rc = ld_spacing_begin(s, config, LD_SPACING_LEADING, true, err);
  if (!rc) rc = ld_value_bool(config, "set_alpha_to_one", false, &one, err);
  if (!rc) rc = ld_value_bool(config, "skip_prk_steps", false, &skip, err);
  if (rc) return rc;
  if (!skip)
    return ld_fail(err, LD_EUNSUPPORTED,
                   "skip_prk_steps: false, which is the default, is not supported: set it to true, or choose "
                   "another scheduler than pndm");
  own->final_alpha_bar = one ? 1 : s->schedule.alpha_bar[0];
  repeat_second(s);
  return 0;
}

static void keep(pndm *own, const float *prediction, size_t n) {
  float *oldest = own->kept[KEPT - 1];
  memmove(own->kept + 1, own->kept, (KEPT - 1) * sizeof *own->kept);
  own->kept[0] = oldest;
  memcpy(oldest, prediction, n * sizeof *oldest);
  own->n_kept += own->n_kept < KEPT;
}

/* The mix of predictions for a step. */
static float mixed(const pndm *own, size_t i) {
  float *const *p = own->kept;
  switch (own->n_kept) {
  case 1:
    return p[0][i];
  case 2:
    return (3 * p[0][i] - p[1][i]) / 2;
  case 3:
    return (23 * p[0][i] - 16 * p[1][i] + 5 * p[2][i]) / 12;
  default:
    return (float)(1.0 / 24) * (55 * p[0][i] - 59 * p[1][i] + 37 * p[2][i] - 9 * p[3][i]);
  }
}

/* The numbers of a step between two timesteps. */
typedef struct change {
  float signal, noise;       /* before */
  float of_sample, of_noise; /* of the sample after */
  bool v;
} change;

static change find_change(const ld_sampling *s, int64_t t, int64_t next) {
  const pndm *own = s->own;
  const ld_schedule *schedule = &s->schedule;
  const float a = schedule->alpha_bar[t], b = next >= 0 ? schedule->alpha_bar[next] : own->final_alpha_bar;
  return (change){.signal = schedule->signal[t],
                  .noise = schedule->noise[t],
                  .of_sample = sqrtf(b / a),
                  .of_noise = (b - a) / (a * sqrtf(1 - b) + sqrtf(a * (1 - a) * b)),
                  .v = schedule->prediction == LD_PREDICTION_V};
}

/* Equation 11. */
static float changed(const change *c, float x, float p) {
  const float noise = c->v ? c->signal * p + c->noise * x : p;
  return c->of_sample * x - c->of_noise * noise;
}

static void step(ld_sampling *s, const float *prediction, const float *noise, float *sample) {
  (void)noise;
  pndm *own = s->own;
  const size_t n = s->settings.n;
  const int64_t t = (int64_t)s->timesteps[s->at], stride = s->schedule.n / s->settings.n_steps;
  if (s->at == 1) {
    const change c = find_change(s, t + stride, t);
    for (size_t i = 0; i < n; i++)
      sample[i] = changed(&c, own->start[i], (prediction[i] + own->kept[0][i]) / 2);
    return;
  }
  if (s->at == 0) {
    own->n_kept = 0;
    memcpy(own->start, sample, n * sizeof *sample);
  }
  keep(own, prediction, n);
  const change c = find_change(s, t, t - stride);
  for (size_t i = 0; i < n; i++) sample[i] = changed(&c, sample[i], mixed(own, i));
}

const ld_sampler ld_sampler_pndm = {
    .name = "pndm",
    .class_name = "PNDMScheduler",
    .keys = keys,
    .off = off,
    .predictions = 1 << LD_PREDICTION_EPSILON | 1 << LD_PREDICTION_V,
    .begin = begin,
    .step = step,
};
