/* The table of samplers. */
#ifndef LD_SAMPLERS_H
#define LD_SAMPLERS_H

#include "diffusion/sampler.h"

/* The i-th of all; NULL after the last. */
const ld_sampler *ld_sampler_at(size_t i);

/* The sampler of that name, or of that class of diffusers; NULL for none. */
const ld_sampler *ld_sampler_find(const char *name);

/* The sampler `name`, a value of --scheduler; without one (NULL), that of the config's class. `source` is the
 * file of the config, for errors: LD_EUSAGE for an unknown name, LD_EUNSUPPORTED for an unknown class. */
int ld_sampler_choose(const ld_value *config, const char *name, const char *source, const ld_sampler **out,
                      ld_error *err);

#endif
