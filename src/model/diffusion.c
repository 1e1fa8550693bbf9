#include "model/diffusion.h"

#include <stdlib.h>

#include "base/text.h"
#include "model/build.h"
#include "model/vae.h"

/* Token i of a text of n, cut or padded. */
static int32_t token_at(const ld_diffusion *d, const int32_t *ids, size_t n, int i, int32_t padding) {
  if (!n) return i == 0 ? d->bos : i == 1 ? d->eos : padding;
  if ((size_t)i >= n) return padding;
  return n > (size_t)d->text_len && i == d->text_len - 1 ? d->eos : ids[i];
}

void ld_diffusion_lay_text(const ld_diffusion *d, const int32_t *ids, size_t n, ld_lane *text) {
  size_t first = 0;
  while (first < n && ids[first] != LD_SECOND_TEXT) first++;
  const size_t second = first < n ? n - first - 1 : 0;
  ld_lane_begin_segment(text);
  for (int i = 0; i < d->text_len; i++) {
    const int32_t also =
        d->n_texts > 1 ? token_at(d, second ? ids + first + 1 : NULL, second, i, d->padding[1]) : 0;
    ld_lane_add_token(text, token_at(d, ids, first, i, d->padding[0]), also);
  }
}

void ld_diffusion_lay_sizes(const int sizes[LD_N_SIZES], ld_lane *lane) {
  const int at = ld_lane_add(lane, 1, LD_N_SIZES); /* which may move the numbers */
  for (int i = 0; i < LD_N_SIZES; i++) lane->numbers[at * LD_N_SIZES + i] = (float)sizes[i];
}

static ld_maps encode(const ld_model *model, ld_tape *tape, ld_maps pictures, const ld_batch *batch) {
  return ld_vae_encode(model->diffusion->vae, tape, pictures, batch);
}

static ld_maps decode(const ld_model *model, ld_tape *tape, ld_maps latents, const ld_batch *batch) {
  return ld_vae_decode(model->diffusion->vae, tape, latents, batch);
}

static void read_schedule(ld_builder *b, ld_diffusion *d) {
  d->scheduler = ld_value_get(b->whole, "scheduler");
  if (b->failed) return;
  char *source = ld_format("%s/scheduler/scheduler_config.json", b->weights->source);
  const int rc = ld_schedule_read(d->scheduler, source, &d->schedule, b->err);
  free(source);
  if (rc) b->failed = rc;
  ld_build_own(b, d->schedule.signal);
}

void ld_build_diffusion(ld_builder *b, const ld_vae *vae, const ld_diffusion *known) {
  ld_model *model = b->model;
  ld_diffusion *d = model->diffusion = ld_build_alloc(b, 1, sizeof *d);
  *d = *known;
  d->vae = vae;
  d->factor = vae ? ld_vae_factor(vae) : 1;
  d->size *= d->factor;
  d->multiple *= d->factor;
  d->scaling = vae ? ld_vae_scaling(vae) : 1;
  d->shift = vae ? ld_vae_shift(vae) : 0;
  d->encode = vae ? encode : NULL;
  d->decode = vae ? decode : NULL;
  model->channels = vae ? 3 : d->channels;
  model->image_size = d->size;
  model->max_positions = d->text_len;
  read_schedule(b, d);
}

void ld_build_need(ld_builder *b, const void *part, const char *name) {
  if (part || b->failed) return;
  b->failed = ld_fail(b->err, LD_EFORMAT, "%s/model_index.json: the component '%s' is missing",
                      b->weights->source, name);
}
