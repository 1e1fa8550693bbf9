#include <stddef.h>
#include <stdlib.h>

#include "base/memory.h"
#include "generate/picture.h"
#include "io/image/size.h"
#include "model/diffusion.h"
#include "options/resolve.h"

enum { USUAL_STEPS = 50 };

static int64_t usual_steps(const ld_sampler *sampler, const ld_schedule *schedule) {
  return sampler->every_timestep || schedule->n < USUAL_STEPS ? schedule->n : USUAL_STEPS;
}

static int find_size(const ld_diffusion *d, const char *text, ld_picture_settings *out, ld_error *err) {
  ld_image_size size = {d->size, d->size};
  const int rc = text ? ld_image_size_parse(text, d->multiple, &size, err) : 0;
  out->height = size.height;
  out->width = size.width;
  return rc ? ld_fail_prefix(err, rc, "--size") : 0;
}

int ld_picture_settings_find(const ld_base *base, const ld_options *options, ld_picture_settings *out,
                             ld_error *err) {
  const ld_diffusion *d = base->model->diffusion;
  char *source = ld_format("%s/scheduler/scheduler_config.json", options->model);
  *out = (ld_picture_settings){.guidance = options->guidance > 0 ? options->guidance : (double)d->guidance,
                               .seed = (uint64_t)options->seed};
  int rc = ld_sampler_choose(d->scheduler, options->scheduler, source, &out->sampler, err);
  free(source);
  if (!rc) rc = find_size(d, options->size, out, err);
  if (!rc && !d->n_texts && !d->null_class && ld_options_given(options, offsetof(ld_options, guidance)))
    rc =
        ld_fail(err, LD_EUSAGE, "--guidance does not apply to %s, which was not trained for it: leave it out",
                options->model);
  if (rc) return rc;
  out->n_steps = options->sampling_steps ? options->sampling_steps : usual_steps(out->sampler, &d->schedule);
  return 0;
}
