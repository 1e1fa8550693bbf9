/* Values in scheduler_config.json that only a few names, or one, may have. */
#ifndef LD_SCHEDULER_CONFIG_H
#define LD_SCHEDULER_CONFIG_H

#include "base/error.h"
#include "base/value.h"

/* The place in `names` (NULL after the last) of the string `key`; `fallback` when it is missing.
 * LD_EUNSUPPORTED for another string: 'beta_schedule: "sigmoid" is not supported (linear, scaled_linear)'. */
int ld_scheduler_choice(const ld_value *config, const char *key, const char *const *names, int fallback,
                        int *out, ld_error *err);

/* Each of the flags (NULL after the last) must be false or missing: LD_EUNSUPPORTED. */
int ld_scheduler_off(const ld_value *config, const char *const *flags, ld_error *err);

/* A number above 0; *out is left unchanged when it is missing. */
int ld_scheduler_positive(const ld_value *config, const char *key, double *out, ld_error *err);

#endif
