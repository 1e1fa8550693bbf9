#include "diffusion/spacing.h"

#include <math.h>

#include "diffusion/scheduler_config.h"

int ld_spacing_read(ld_sampling *s, const ld_value *config, ld_spacing_kind fallback, ld_spacing *out,
                    ld_error *err) {
  static const char *const names[] = {"linspace", "leading", "trailing", NULL};
  int kind, rc = ld_scheduler_choice(config, "timestep_spacing", names, fallback, &kind, err);
  if (rc) return rc;
  out->kind = (ld_spacing_kind)kind;
  rc = ld_value_int(config, "steps_offset", 0, &out->offset, err);
  if (!rc && out->offset != 1 && ld_sampling_overrules(s, config, "steps_offset"))
    out->offset = 1, s->overruled = true;
  return rc;
}

/* The i-th timestep of numpy's linspace and arange, which round in these places. */
static double spaced(const ld_sampling *s, const ld_spacing *spacing, int64_t top, int64_t n_points,
                     int64_t i) {
  const double first = (double)top, from_end = (double)(n_points - 1 - i);
  const int64_t stride = top / n_points;
  switch (spacing->kind) {
  case LD_SPACING_LINSPACE:
    if (n_points == 1) return 0;
    return i ? from_end * ((first - 1) / (double)(n_points - 1)) : first - 1;
  case LD_SPACING_LEADING:
    return from_end * (double)stride + (double)spacing->offset;
  case LD_SPACING_TRAILING:
    break;
  }
  const double step = first - (double)s->schedule.n / (double)s->settings.n_steps - first;
  return rint(first + (double)i * step) - 1;
}

/* numpy may make a step too many of trailing, at timestep -1, by rounding: it is not made here. */
static int64_t count_calls(const ld_sampling *s, const ld_spacing *spacing, int64_t top) {
  const int64_t n_steps = s->settings.n_steps;
  if (spacing->kind != LD_SPACING_TRAILING || top == s->schedule.n) return n_steps;
  const double n = ceil((double)top / ((double)s->schedule.n / (double)n_steps));
  return n < (double)n_steps ? (int64_t)n : n_steps;
}

int ld_spacing_fill(ld_sampling *s, const ld_spacing *spacing, int64_t top, int64_t n_points, bool rounded,
                    ld_error *err) {
  s->n_calls = count_calls(s, spacing, top);
  for (int64_t i = 0; i < s->n_calls; i++) {
    const double t = spaced(s, spacing, top, n_points, i);
    if (!(t >= 0 && t <= (double)(s->schedule.n - 1)))
      return ld_fail(err, LD_EFORMAT,
                     "steps_offset: %lld leads to timestep %.9g of %lld with %lld steps: choose fewer steps",
                     (long long)spacing->offset, t, (long long)s->schedule.n, (long long)s->settings.n_steps);
    s->timesteps[i] = (float)(rounded ? rint(t) : t);
  }
  return 0;
}

int ld_spacing_begin(ld_sampling *s, const ld_value *config, ld_spacing_kind fallback, bool rounded,
                     ld_error *err) {
  ld_spacing spacing;
  const int rc = ld_spacing_read(s, config, fallback, &spacing, err);
  return rc ? rc : ld_spacing_fill(s, &spacing, s->schedule.n, s->settings.n_steps, rounded, err);
}
