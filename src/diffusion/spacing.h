/* Which timesteps a sampler visits: timestep_spacing and steps_offset of scheduler_config.json (Lin et al.
 * 2024, table 2). For 5 steps of 1000:
 *
 *   linspace   999 749.25 499.5 249.75 0    both ends
 *   leading    800 600 400 200 0            plus steps_offset
 *   trailing   999 799 599 399 199 */
#ifndef LD_SPACING_H
#define LD_SPACING_H

#include "diffusion/sampler.h"

typedef enum ld_spacing_kind { LD_SPACING_LINSPACE, LD_SPACING_LEADING, LD_SPACING_TRAILING } ld_spacing_kind;

typedef struct ld_spacing {
  ld_spacing_kind kind;
  int64_t offset;
} ld_spacing;

/* The lines of a sampler's `keys` for it. */
#define LD_SPACING_KEYS                                                                                      \
  {"timestep_spacing", LD_TAKES_STRING, NULL}, {                                                             \
    "steps_offset", LD_TAKES_INTEGER, NULL                                                                   \
  }

/* `fallback` is the spacing of a config that names none. */
int ld_spacing_read(ld_sampling *s, const ld_value *config, ld_spacing_kind fallback, ld_spacing *out,
                    ld_error *err);

/* The steps' timesteps, falling, which all lie below `top`, to s->timesteps; `rounded` to integers or as they
 * are. `n_points` is n_steps, or n_steps + 1 for a spacing that leaves out the last point of linspace and
 * leading. Sets n_calls, which can be less than n_steps where `top` is less than num_train_timesteps.
 * LD_EFORMAT for a steps_offset that leads out of the schedule. */
int ld_spacing_fill(ld_sampling *s, const ld_spacing *spacing, int64_t top, int64_t n_points, bool rounded,
                    ld_error *err);

/* Both of them, for n_steps of the whole schedule. */
int ld_spacing_begin(ld_sampling *s, const ld_value *config, ld_spacing_kind fallback, bool rounded,
                     ld_error *err);

#endif
