#include <math.h>

#include "nn/ops.h"

typedef struct angles_op {
  ld_rotary rotary; /* first, so that it is the handle */
  const ld_batch *batch;
  const float *frequency;
  float scale;
} angles_op;

static void angles_forward(ld_tape *tape, void *self) {
  (void)tape;
  angles_op *op = self;
  const int half = op->rotary.half;
  for (int t = 0; t < op->batch->n_tokens; t++)
    for (int i = 0; i < half; i++) {
      /* The product in float32, as the models were trained; its cosine in double, so that the float does not
       * depend on whose libm this is. */
      const float angle = (float)op->batch->positions[t] * op->frequency[i];
      const size_t at = (size_t)t * (size_t)half + (size_t)i;
      op->rotary.cosine[at] = (float)cos((double)angle) * op->scale;
      op->rotary.sine[at] = (float)sin((double)angle) * op->scale;
    }
}

ld_rotary *ld_op_rotary_angles(ld_tape *tape, const ld_batch *batch, const float *frequency, int half,
                               float scale) {
  angles_op *op = ld_tape_record(tape, sizeof *op);
  const size_t count = (size_t)batch->n_tokens * (size_t)half;
  *op = (angles_op){.batch = batch, .frequency = frequency, .scale = scale};
  op->rotary = (ld_rotary){ld_tape_floats(tape, count), ld_tape_floats(tape, count), half};
  static const ld_op none;
  ld_op push = none;
  push.name = "rotary_angles";
  push.forward = angles_forward;
  push.self = op;
  push.out = ld_tape_record(tape, sizeof(ld_tensor)); /* untrained: nothing to do on the way back */
  ld_tape_push(tape, push);
  return &op->rotary;
}

typedef struct rotary_op {
  ld_tensor *x;
  const ld_rotary *rotary;
} rotary_op;

/* Turns by the angle, or back by it when `sign` is -1. */
static void turn(const ld_tensor *x, float *data, const ld_rotary *rotary, float sign) {
  const int half = rotary->half;
  for (int t = 0; t < x->rows; t++) {
    const float *cosine = rotary->cosine + (size_t)t * (size_t)half;
    const float *sine = rotary->sine + (size_t)t * (size_t)half;
    for (int c = 0; c < x->cols; c += 2 * half) {
      float *a = data + (size_t)t * (size_t)x->stride + c, *b = a + half;
      for (int i = 0; i < half; i++) {
        const float s = sign * sine[i], u = a[i], v = b[i];
        a[i] = u * cosine[i] - v * s;
        b[i] = v * cosine[i] + u * s;
      }
    }
  }
}

static void rotary_forward(ld_tape *tape, void *self) {
  (void)tape;
  rotary_op *op = self;
  turn(op->x, op->x->data, op->rotary, 1);
}

static void rotary_backward(ld_tape *tape, void *self) {
  (void)tape;
  rotary_op *op = self;
  turn(op->x, ld_grad(op->x), op->rotary, -1);
}

ld_tensor *ld_op_rotary(ld_tape *tape, ld_tensor *x, const ld_rotary *rotary) {
  rotary_op *op = ld_tape_record(tape, sizeof *op);
  *op = (rotary_op){x, rotary};
  ld_tape_push(tape, (ld_op){"rotary", rotary_forward, rotary_backward, op, x, {x}});
  return x;
}
