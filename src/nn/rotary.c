#include <math.h>

#include "nn/ops.h"

typedef struct angles_op {
  const ld_field *text;
  const float *frequency;
  float scale;
  ld_tensor *y;
} angles_op;

static void angles_forward(ld_tape *tape, void *self) {
  (void)tape;
  const angles_op *op = self;
  const int half = op->y->cols / 2;
  for (int t = 0; t < op->y->rows; t++) {
    float *cosine = op->y->data + (size_t)t * (size_t)op->y->stride, *sine = cosine + half;
    for (int i = 0; i < half; i++) {
      /* The product in float32, as the models were trained; its cosine in double, so that the float does not
       * depend on the libm in use. */
      const float angle = (float)op->text->positions[t] * op->frequency[i];
      cosine[i] = (float)cos((double)angle) * op->scale;
      sine[i] = (float)sin((double)angle) * op->scale;
    }
  }
}

ld_tensor *ld_op_rotary_angles(ld_tape *tape, const ld_field *text, const float *frequency, int half,
                               float scale) {
  angles_op *op = ld_tape_record(tape, sizeof *op);
  *op = (angles_op){text, frequency, scale, ld_tape_tensor(tape, text->n_rows, 2 * half)};
  op->y->rows_of = text;
  ld_tape_push(tape, (ld_op){.name = "rotary_angles", .self = op, .forward = angles_forward, .out = op->y});
  return op->y;
}

typedef struct rotary_op {
  ld_tensor *x, *angles;
} rotary_op;

/* Rotates by the angle, or back if `sign` is -1. */
static void turn(const ld_tensor *x, float *data, const ld_tensor *angles, float sign) {
  const int half = angles->cols / 2;
  for (int t = 0; t < x->rows; t++) {
    const float *cosine = angles->data + (size_t)t * (size_t)angles->stride, *sine = cosine + half;
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
  turn(op->x, op->x->data, op->angles, 1);
}

static void rotary_backward(ld_tape *tape, void *self) {
  (void)tape;
  rotary_op *op = self;
  turn(op->x, ld_grad(op->x), op->angles, -1);
}

ld_tensor *ld_op_rotary(ld_tape *tape, ld_tensor *x, ld_tensor *angles) {
  rotary_op *op = ld_tape_record(tape, sizeof *op);
  *op = (rotary_op){x, angles};
  ld_tape_push(tape, (ld_op){.name = "rotary",
                             .self = op,
                             .forward = rotary_forward,
                             .backward = rotary_backward,
                             .out = x,
                             .in = LD_TENSORS(x, angles),
                             .backward_reads = LD_TENSORS(angles),
                             .cheap = true});
  return x;
}
