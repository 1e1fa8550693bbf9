#include "model/encoder_decoder.h"

ld_tensor *ld_stack_attend(const ld_stack_pass *p, const ld_linear projections[LD_N_PROJECTIONS],
                           const ld_attention *shape, ld_tensor *h, bool cross) {
  ld_tape *t = p->tape;
  ld_tensor *from = cross ? p->memory : h;
  ld_tensor *q = ld_op_linear(t, h, &projections[LD_Q], p->batch);
  ld_tensor *k = from ? ld_op_linear(t, from, &projections[LD_K], p->batch) : NULL;
  ld_tensor *v = from ? ld_op_linear(t, from, &projections[LD_V], p->batch) : NULL;
  return ld_op_attention(t, q, k, v, shape, p->text, cross ? p->source : p->text);
}

ld_tensor *ld_stacks_run(ld_tape *tape, const ld_batch *batch, const void *own,
                         ld_tensor *(*run)(const ld_stack_pass *pass, const void *own)) {
  const ld_field *source = ld_batch_field(batch, LD_SOURCE);
  const ld_stack_pass reads = {.tape = tape, .batch = batch, .text = source};
  ld_tensor *memory = source->n_rows ? run(&reads, own) : NULL;
  const ld_stack_pass writes = {tape, batch, ld_batch_field(batch, LD_TEXT), source, memory};
  return run(&writes, own);
}
