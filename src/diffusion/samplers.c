#include "diffusion/samplers.h"

#include <string.h>

#include "base/suggest.h"
#include "base/text.h"

static const ld_sampler *const samplers[] = {
    &ld_sampler_ddim,      &ld_sampler_ddpm, &ld_sampler_pndm, &ld_sampler_euler, &ld_sampler_euler_ancestral,
    &ld_sampler_dpmsolver, &ld_sampler_flow};

enum { N_SAMPLERS = sizeof samplers / sizeof *samplers };

const ld_sampler *ld_sampler_at(size_t i) {
  return i < N_SAMPLERS ? samplers[i] : NULL;
}

const ld_sampler *ld_sampler_find(const char *name) {
  for (size_t i = 0; i < N_SAMPLERS; i++)
    if (!strcmp(samplers[i]->name, name) || !strcmp(samplers[i]->class_name, name)) return samplers[i];
  return NULL;
}

/* "ddim, ddpm" to `out`, and each name to `names`. */
static void list_names(const char **names, ld_text *out) {
  for (size_t i = 0; i < N_SAMPLERS; i++) {
    names[i] = samplers[i]->name;
    ld_text_printf(out, "%s%s", i ? ", " : "", names[i]);
  }
}

static int fail_unknown(const char *name, const char *class_name, const char *source, ld_error *err) {
  const char *names[N_SAMPLERS];
  ld_text known = {0};
  list_names(names, &known);
  const int rc = name ? ld_fail(err, LD_EUSAGE, "--scheduler: '%.64s' is not one of %s%s", name, known.bytes,
                                ld_suggest(name, names, N_SAMPLERS, "").text)
                 : class_name
                     ? ld_fail(err, LD_EUNSUPPORTED,
                               "%s: _class_name: \"%.64s\" is not supported: choose --scheduler (%s)", source,
                               class_name, known.bytes)
                     : ld_fail(err, LD_EFORMAT, "%s: _class_name: is missing: choose --scheduler (%s)",
                               source, known.bytes);
  ld_text_free(&known);
  return rc;
}

int ld_sampler_choose(const ld_value *config, const char *name, const char *source, const ld_sampler **out,
                      ld_error *err) {
  const char *class_name = NULL;
  const int rc = name ? 0 : ld_value_string(config, "_class_name", NULL, &class_name, err);
  if (rc) return ld_fail_prefix(err, rc, "%s", source);
  *out = name ? ld_sampler_find(name) : class_name ? ld_sampler_find(class_name) : NULL;
  return *out ? 0 : fail_unknown(name, class_name, source, err);
}
