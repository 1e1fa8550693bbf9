#include <math.h>

#include "nn/ops.h"

typedef struct noise_op {
  ld_maps x, y;
  const float *noise;
  size_t stride;
  const float *signal, *level; /* (B); NULL: it draws latents */
  float scaling, shift;
} noise_op;

/* Where the numbers of channel c of image b are in a tensor of maps. */
static float *map_of(const ld_maps *maps, int c, int b) {
  const size_t size = (size_t)maps->height * (size_t)maps->width;
  return maps->x->data + ((size_t)c * (size_t)maps->n + (size_t)b) * size;
}

static float deviation(float log_variance) {
  const float kept = log_variance < -30 ? -30 : log_variance > 20 ? 20 : log_variance;
  return (float)exp((double)kept * 0.5);
}

static void draw_forward(ld_tape *tape, void *self) {
  (void)tape;
  const noise_op *op = self;
  const int C = op->y.x->rows, size = op->y.height * op->y.width;
  for (int c = 0; c < C; c++)
    for (int b = 0; b < op->y.n; b++) {
      const float *mean = map_of(&op->x, c, b), *variance = map_of(&op->x, C + c, b);
      const float *noise = op->noise ? op->noise + (size_t)b * op->stride + (size_t)c * (size_t)size : NULL;
      float *y = map_of(&op->y, c, b);
      for (int i = 0; i < size; i++) {
        const float latent = noise ? mean[i] + deviation(variance[i]) * noise[i] : mean[i];
        y[i] = (latent - op->shift) * op->scaling;
      }
    }
}

static void mix_forward(ld_tape *tape, void *self) {
  (void)tape;
  const noise_op *op = self;
  const int size = op->y.height * op->y.width;
  for (int c = 0; c < op->y.x->rows; c++)
    for (int b = 0; b < op->y.n; b++) {
      const float *x = map_of(&op->x, c, b), signal = op->signal[b], level = op->level[b];
      const float *noise = op->noise + (size_t)b * op->stride + (size_t)c * (size_t)size;
      float *y = map_of(&op->y, c, b);
      for (int i = 0; i < size; i++) y[i] = signal * x[i] + level * noise[i];
    }
}

static ld_maps push(ld_tape *tape, const char *name, void (*forward)(ld_tape *tape, void *self), int channels,
                    noise_op what) {
  noise_op *op = ld_tape_record(tape, sizeof *op);
  *op = what;
  op->y = what.x;
  op->y.x = ld_tape_maps(tape, channels, what.x.n, what.x.height, what.x.width);
  ld_tape_push(tape, (ld_op){.name = name,
                             .self = op,
                             .forward = forward,
                             .out = op->y.x,
                             .in = LD_TENSORS(what.x.x),
                             .cheap = true});
  return op->y;
}

ld_maps ld_op_draw(ld_tape *tape, ld_maps moments, const float *noise, size_t stride, float scaling,
                   float shift) {
  return push(tape, "draw latents", draw_forward, moments.x->rows / 2,
              (noise_op){.x = moments, .noise = noise, .stride = stride, .scaling = scaling, .shift = shift});
}

ld_maps ld_op_mix_noise(ld_tape *tape, ld_maps x, const float *noise, size_t stride, const float *signal,
                        const float *level) {
  return push(tape, "mix noise", mix_forward, x.x->rows,
              (noise_op){.x = x, .noise = noise, .stride = stride, .signal = signal, .level = level});
}
