/* One number per channel and image, added to maps: in place, so that nothing is copied, except where only the
 * numbers are trained. There the maps have no gradient to pass on, and the sum is a tensor of its own. */
#include "base/vmath.h"
#include "linalg/rows.h"
#include "nn/ops.h"

typedef struct channels_op {
  ld_maps x;
  ld_tensor *values, *y; /* y: x itself, in place */
} channels_op;

LD_VECTOR static void add_to_channel(float *y, const float *x, float value, int n) {
  for (int i = 0; i < n; i++) y[i] = x[i] + value;
}

/* Where the map of a channel begins, and its number in values or their gradient. */
static size_t map_at(const channels_op *op, int channel, int image) {
  return ((size_t)channel * (size_t)op->x.n + (size_t)image) * (size_t)op->x.height * (size_t)op->x.width;
}

static size_t value_at(const channels_op *op, int channel, int image) {
  return (size_t)image * (size_t)op->values->stride + (size_t)channel;
}

static void channels_forward(ld_tape *tape, void *self) {
  (void)tape;
  const channels_op *op = self;
  for (int c = 0; c < op->y->rows; c++)
    for (int b = 0; b < op->x.n; b++)
      add_to_channel(op->y->data + map_at(op, c, b), op->x.x->data + map_at(op, c, b),
                     op->values->data[value_at(op, c, b)], op->x.height * op->x.width);
}

/* The gradient of x is that of y: the tape passes it on. */
static void channels_backward(ld_tape *tape, void *self) {
  (void)tape;
  const channels_op *op = self;
  float *grad = ld_grad(op->values);
  for (int c = 0; grad && c < op->y->rows; c++)
    for (int b = 0; b < op->x.n; b++)
      grad[value_at(op, c, b)] += ld_row_sum(op->y->grad + map_at(op, c, b), op->x.height * op->x.width);
}

ld_maps ld_op_add_channels(ld_tape *tape, ld_maps x, ld_tensor *values) {
  channels_op *op = ld_tape_record(tape, sizeof *op);
  const bool in_place = x.x->trained || !values->trained;
  *op = (channels_op){x, values, in_place ? x.x : ld_tape_maps(tape, x.x->rows, x.n, x.height, x.width)};
  ld_tape_push(tape, (ld_op){.name = "add_channels",
                             .self = op,
                             .forward = channels_forward,
                             .backward = channels_backward,
                             .out = op->y,
                             .in = in_place ? LD_TENSORS(x.x, values) : LD_TENSORS(values),
                             .accumulate = in_place ? NULL : x.x,
                             .cheap = true});
  x.x = op->y;
  return x;
}
