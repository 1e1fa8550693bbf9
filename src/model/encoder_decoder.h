/* What the families of encoder-decoders share: two stacks of blocks, of which the second also attends to what
 * the first one made of the source. */
#ifndef LD_ENCODER_DECODER_H
#define LD_ENCODER_DECODER_H

#include "model/model.h"
#include "nn/ops.h"

/* A pass over one stack. */
typedef struct ld_stack_pass {
  ld_tape *tape;
  const ld_batch *batch;
  const ld_field *text;   /* what the stack reads: the source, or the text that is written */
  const ld_field *source; /* of the decoder's pass; NULL in the encoder's */
  ld_tensor
      *memory; /* what the encoder made of the source; NULL in the encoder's pass and, in generation, after
                             the first pass */
} ld_stack_pass;

/* The projections of an attention, in this order. */
enum { LD_Q, LD_K, LD_V, LD_O, LD_N_PROJECTIONS };

/* Attention of h (T, C) over itself or, with `cross`, over the memory, before the output projection. */
ld_tensor *ld_stack_attend(const ld_stack_pass *pass, const ld_linear projections[LD_N_PROJECTIONS],
                           const ld_attention *shape, ld_tensor *h, bool cross);

/* Runs the encoder over the source, where the batch has its rows, then the decoder over the text, and returns what
 * that made: `run` runs the family's encoder for a pass without a source, its decoder for one with it. */
ld_tensor *ld_stacks_run(ld_tape *tape, const ld_batch *batch, const void *own,
                         ld_tensor *(*run)(const ld_stack_pass *pass, const void *own));

#endif
