#include "model/diffusion.h"

void ld_diffusion_lay_text(const ld_diffusion *d, const int32_t *ids, size_t n, ld_lane *text) {
  const size_t most = (size_t)d->text_len, kept = n < most ? n : most;
  ld_lane_begin_segment(text);
  if (!n) {
    ld_lane_add_token(text, d->bos, 0);
    ld_lane_add_token(text, d->eos, 0);
  }
  for (size_t i = 0; i < kept; i++) ld_lane_add_token(text, n > most && i == most - 1 ? d->eos : ids[i], 0);
  for (size_t i = n ? kept : 2; i < most; i++) ld_lane_add_token(text, d->padding[0], 0);
}

void ld_diffusion_lay_sizes(int height, int width, ld_lane *lane) {
  const int at = ld_lane_add(lane, 1, LD_N_SIZES); /* which may move the numbers */
  float *sizes = lane->numbers + (size_t)at * LD_N_SIZES;
  sizes[0] = sizes[4] = (float)height;
  sizes[1] = sizes[5] = (float)width;
  sizes[2] = sizes[3] = 0;
}
