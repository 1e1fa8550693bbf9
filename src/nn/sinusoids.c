#include <math.h>

#include "nn/ops.h"

typedef struct sinusoids_op {
  const float *times;
  bool cosines_first;
  float shift, scale;
  ld_tensor *y;
} sinusoids_op;

/* Rounded to float where diffusers rounds: at 1000 steps an angle that is not may differ by 1e-4. */
static float angle(const sinusoids_op *op, float time, int k, int half) {
  const float exponent = (float)-log(10000) * (float)k / ((float)half - op->shift);
  const float frequency = (float)exp((double)exponent);
  return op->scale * (time * frequency);
}

static void sinusoids_forward(ld_tape *tape, void *self) {
  (void)tape;
  const sinusoids_op *op = self;
  const int half = op->y->cols / 2;
  for (int i = 0; i < op->y->rows; i++) {
    float *y = op->y->data + (size_t)i * (size_t)op->y->stride;
    float *sines = op->cosines_first ? y + half : y, *cosines = op->cosines_first ? y : y + half;
    for (int k = 0; k < half; k++) {
      const double a = (double)angle(op, op->times[i], k, half);
      sines[k] = (float)sin(a);
      cosines[k] = (float)cos(a);
    }
    if (op->y->cols % 2) y[op->y->cols - 1] = 0;
  }
}

ld_tensor *ld_op_sinusoids(ld_tape *tape, const float *times, int n, int width, bool cosines_first,
                           float shift, float scale) {
  sinusoids_op *op = ld_tape_record(tape, sizeof *op);
  *op = (sinusoids_op){times, cosines_first, shift, scale, ld_tape_tensor(tape, n, width)};
  ld_tape_push(
      tape,
      (ld_op){.name = "sinusoids", .self = op, .forward = sinusoids_forward, .out = op->y, .cheap = true});
  return op->y;
}
