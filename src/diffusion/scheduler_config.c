#include "diffusion/scheduler_config.h"

#include <math.h>
#include <string.h>

#include "base/text.h"

int ld_scheduler_choice(const ld_value *config, const char *key, const char *const *names, int fallback,
                        int *out, ld_error *err) {
  const char *name;
  const int rc = ld_value_string(config, key, names[fallback], &name, err);
  if (rc) return rc;
  for (*out = 0; names[*out]; ++*out)
    if (!strcmp(names[*out], name)) return 0;
  ld_text known = {0};
  for (size_t i = 0; names[i]; i++) ld_text_printf(&known, "%s%s", i ? ", " : "", names[i]);
  ld_fail(err, LD_EUNSUPPORTED, "%s: \"%.64s\" is not supported (%s)", key, name, known.bytes);
  ld_text_free(&known);
  return LD_EUNSUPPORTED;
}

int ld_scheduler_off(const ld_value *config, const char *const *flags, ld_error *err) {
  for (; *flags; flags++) {
    bool on;
    const int rc = ld_value_bool(config, *flags, false, &on, err);
    if (rc) return rc;
    if (on) return ld_fail(err, LD_EUNSUPPORTED, "%s: true is not supported", *flags);
  }
  return 0;
}

int ld_scheduler_positive(const ld_value *config, const char *key, double *out, ld_error *err) {
  const int rc = ld_value_real(config, key, *out, out, err);
  if (rc || !ld_value_get(config, key)) return rc;
  return *out > 0 && isfinite((float)*out)
             ? 0
             : ld_fail(err, LD_EFORMAT, "%s: expected a number above 0, found %.9g", key, *out);
}
