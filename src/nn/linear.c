#include "nn/linear.h"

#include "base/rng.h"
#include "linalg/rows.h"
#include "nn/ops.h"

int ld_linear_kept(const ld_linear *layer) {
  return layer->change ? layer->change->kept : 0;
}

int ld_linear_spare(const ld_linear *layer) {
  return layer->change ? layer->change->spare : 0;
}

bool ld_linear_trains(const ld_linear *layer) {
  return layer->change != NULL;
}

void ld_linear_read(const ld_product *p) {
  const ld_change *change = p->layer->change;
  if (change && change->functions->read) change->functions->read(change, p);
}

void ld_linear_forward(const ld_product *p) {
  const ld_linear *layer = p->layer;
  const ld_part part = ld_frozen_part(layer, p->x);
  if (layer->change)
    layer->change->functions->forward(layer->change, p);
  else
    ld_product_sum(p, p->y, layer->out, &part, 1, p->start, layer->bias);
}

void ld_linear_gradients(const ld_product *p) {
  const ld_change *change = p->layer->change;
  if (change) change->functions->gradients(change, p);
}

void ld_linear_input(const ld_product *p, enum ld_through through) {
  const ld_linear *layer = p->layer;
  const ld_part part = ld_frozen_back(layer, p->y);
  if (layer->change)
    layer->change->functions->input(layer->change, p, through);
  else
    ld_product_sum(p, p->x, layer->in, &part, 1, p->start, NULL);
}

ld_op_work ld_linear_work(const ld_linear *layer, int T, bool input_trained) {
  const double frozen = (double)layer->in * layer->out;
  const ld_change_work work = layer->change ? layer->change->work : (ld_change_work){frozen, frozen, 0};
  return (ld_op_work){T * work.forward, T * ((input_trained ? work.input : 0) + work.params)};
}

bool ld_linear_drops(const ld_tape *tape, const ld_linear *layer) {
  return layer->change && layer->change->dropout > 0 && ld_tape_training(tape);
}

void ld_linear_dropout(const ld_linear *layer, const ld_batch *batch, int rows, int cols, ld_side in,
                       ld_side out, bool add) {
  const ld_change *change = layer->change;
  const ld_stream stream = ld_rng_stream(batch->seed, LD_RNG_DROPOUT, batch->number, change->id);
  const uint32_t threshold = (uint32_t)((double)change->dropout * 4294967296.0);
  const float keep = 1.0f / (1.0f - change->dropout);
  uint32_t words[4];
  size_t i = 0; /* counts all numbers, to index the random stream */
  for (int row = 0; row < rows; row++) {
    const float *from = in.data + (size_t)row * (size_t)in.ld;
    float *to = out.data + (size_t)row * (size_t)out.ld;
    for (int column = 0; column < cols; column++, i++) {
      if (i % 4 == 0) ld_rng_words(&stream, i / 4, words);
      const float dropped = (words[i % 4] < threshold ? 0.0f : keep) * from[column];
      to[column] = add ? to[column] + dropped : dropped;
    }
  }
}

typedef struct linear_op {
  const ld_linear *layer;
  const ld_batch *batch;
  ld_tensor *x, *residual, *y; /* residual: NULL for none */
  float *kept;
  bool fresh; /* x's gradient is */
} linear_op;

/* The product of the whole operation in the forward pass. */
static ld_product product_of(ld_tape *tape, const linear_op *op) {
  return (ld_product){.layer = op->layer,
                      .T = op->x->rows,
                      .dropped = ld_linear_drops(tape, op->layer),
                      .x = ld_side_at(op->x->data, op->x->stride),
                      .y = ld_side_at(op->y->data, op->y->stride),
                      .kept = ld_side_at(op->kept, ld_linear_kept(op->layer)),
                      .spare = ld_side_at(ld_tape_scratch(tape), ld_linear_spare(op->layer))};
}

/* x after dropout, (T, in), is placed after the product's spare. */
static ld_side dropped_place(const ld_product *p) {
  return ld_side_at(p->spare.data + (size_t)p->T * (size_t)p->spare.ld, p->layer->in);
}

static ld_side drop(const linear_op *op, const ld_product *p) {
  const ld_side to = dropped_place(p);
  ld_linear_dropout(op->layer, op->batch, p->T, op->x->cols, ld_side_at(op->x->data, op->x->stride),
                    ld_side_at(to.data, op->x->cols), false);
  return to;
}

static void linear_forward(ld_tape *tape, void *self) {
  const linear_op *op = self;
  ld_product p = product_of(tape, op), seen = p;
  if (p.dropped) seen.x = drop(op, &p);
  ld_linear_read(&seen);
  if (op->residual) p.start = ld_side_at(op->residual->data, op->residual->stride);
  ld_linear_forward(&p);
}

/* Adds to dx the gradient through the change and its dropout, then that through the frozen weight. */
static void dropped_input(const linear_op *op, const ld_product *p, ld_side dx) {
  ld_product way = *p;
  way.x = dropped_place(p);
  way.start = (ld_side){0};
  ld_linear_input(&way, LD_THROUGH_CHANGE);
  ld_linear_dropout(op->layer, op->batch, p->T, op->x->cols, ld_side_at(way.x.data, op->x->cols), dx, true);
  way.x = way.start = dx;
  ld_linear_input(&way, LD_THROUGH_BASE);
}

static void linear_backward(ld_tape *tape, void *self) {
  const linear_op *op = self;
  const ld_side dx = ld_side_at(ld_grad(op->x), op->x->stride);
  ld_product p = product_of(tape, op);
  p.y.data = op->y->grad;
  if (p.dropped) p.x = drop(op, &p);
  ld_linear_gradients(&p);
  if (!dx.data) return;
  if (p.dropped) {
    dropped_input(op, &p, dx);
  } else {
    p.x = dx;
    p.start = op->fresh ? (ld_side){0} : dx;
    ld_linear_input(&p, LD_THROUGH_ALL);
  }
}

ld_tensor *ld_op_linear_accumulate(ld_tape *tape, ld_tensor *residual, ld_tensor *x, const ld_linear *layer,
                                   const ld_batch *batch) {
  linear_op *op = ld_tape_record(tape, sizeof *op);
  const size_t T = (size_t)x->rows, dropped = ld_linear_drops(tape, layer) ? (size_t)layer->in : 0;
  *op = (linear_op){.layer = layer, .batch = batch, .x = x, .residual = residual};
  op->y = ld_tape_tensor(tape, x->rows, layer->out);
  ld_tape_push(tape, (ld_op){.name = "linear",
                             .module = layer->path,
                             .self = op,
                             .forward = linear_forward,
                             .backward = linear_backward,
                             .out = op->y,
                             .in = LD_TENSORS(x),
                             .accumulate = residual,
                             .backward_reads = LD_TENSORS(ld_linear_trains(layer) ? x : NULL),
                             .layers = LD_LAYERS(layer),
                             .fresh = dropped ? NULL : &op->fresh,
                             .kept = {&op->kept, T * (size_t)ld_linear_kept(layer)},
                             .scratch = T * ((size_t)ld_linear_spare(layer) + dropped),
                             .work = ld_linear_work(layer, x->rows, x->trained)});
  return op->y;
}

ld_tensor *ld_op_linear(ld_tape *tape, ld_tensor *x, const ld_linear *layer, const ld_batch *batch) {
  return ld_op_linear_accumulate(tape, NULL, x, layer, batch);
}
