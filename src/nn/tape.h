/* The tape: a forward pass as a list of coarse operations, walked from its end for the backward pass.
 *
 * An operation is a forward and a backward function over a small record of its own, and says of itself
 * what the tape must know: ld_op. Outside of blocks it runs when it is pushed, and its output stays for
 * the whole pass. A block (a transformer layer) is recorded first. At its end the planner knows who reads
 * what, gives the block's tensors their memory, and runs it:
 *
 *   an output of the block                         stays
 *   read on the way back, costly to make again     stays
 *   read on the way back, cheap to make again      transient; made again when the way back enters the block
 *   not read on the way back                       transient
 *
 * What is transient lasts until the block has run. A pass that recomputes takes everything for cheap; a
 * pass without training reads nothing on the way back. So a family says what its network computes, and
 * nothing about memory.
 *
 * A dry pass runs nothing and counts memory; ld_tape_reserve then takes just that much, so that a real
 * pass allocates nothing. Gradients of activations live from their first use to their last and share
 * places; scratch is shared by all operations.
 */
#ifndef LD_TAPE_H
#define LD_TAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "nn/profile.h"
#include "nn/tensor.h"

typedef struct ld_tape ld_tape;

/* Lists, which end with NULL. They are borrowed until the call returns. */
#define LD_TENSORS(...) ((ld_tensor *const[]){__VA_ARGS__, NULL})
#define LD_LAYERS(...) ((const ld_linear *const[]){__VA_ARGS__, NULL})

/* Multiply-adds: of the way forward, and of the way back to those gradients that exist. */
typedef struct ld_op_work {
  double forward, backward;
} ld_op_work;

/* Floats that an operation's forward leaves for its backward, few beside its output. */
typedef struct ld_kept {
  float **place; /* set before forward runs */
  size_t count;  /* 0 for none */
} ld_kept;

/* What does not apply is left out. */
typedef struct ld_op {
  const char *name;
  const char *module; /* a path, to tell it from others of its name in a profile, which borrows it */

  void *self; /* its record, from ld_tape_record */
  void (*forward)(ld_tape *tape, void *self);

  /* Adds to ld_grad of its inputs, where they have one, and to the gradients of its layers' parameters. */
  void (*backward)(ld_tape *tape, void *self);

  /* What forward writes; a loss has none, and ends the tape. */
  ld_tensor *out;

  /* What forward reads. With `out` among them the operation works in place: in the block that made the
   * tensor, and before any other operation has read it. */
  ld_tensor *const *in;

  /* Out is this tensor plus something, so that it gets out's gradient as it is; backward adds nothing to
   * it. Of out's shape, no view, and not among `in`. */
  ld_tensor *accumulate;

  /* Those of `in` and `out` whose data backward reads. */
  ld_tensor *const *backward_reads;

  /* The layers whose weights it reads, and whose changes it trains. */
  const ld_linear *const *layers;

  ld_kept kept;
  size_t scratch; /* floats at ld_tape_scratch while it runs */
  bool cheap;     /* its forward costs little beside a product of layers: a pass or two over what it reads */
  ld_op_work work;
} ld_op;

enum ld_pass { LD_PASS_INFER, LD_PASS_TRAIN };

ld_tape *ld_tape_create(void);
void ld_tape_free(ld_tape *tape);

/* Starts a pass: forgets the one before. A dry pass runs nothing. `recompute` keeps only the blocks' outputs
 * and runs each block's forward again in the backward pass, as far as that reads it. */
void ld_tape_begin(ld_tape *tape, enum ld_pass pass, bool dry, bool recompute);

/* After a dry pass: the bytes that it needs in all. */
size_t ld_tape_bytes(const ld_tape *tape);

/* After a dry pass: takes the memory for passes up to that size. Returns false when the system does not have
 * enough. */
bool ld_tape_reserve(ld_tape *tape) __attribute__((warn_unused_result));

/* After a forward pass, dry or not: the floating-point operations of its layers' products and, in training,
 * of those that the backward pass will do. */
double ld_tape_work(const ld_tape *tape);

bool ld_tape_training(const ld_tape *tape);

/* For operations. Tensors have their data when the first operation that reads them runs, not before. */
ld_tensor *ld_tape_tensor(ld_tape *tape, int rows, int cols); /* not zeroed */

/* A view of some columns of `base`. */
ld_tensor *ld_tape_columns(ld_tape *tape, ld_tensor *base, int column, int cols);

/* The caller's data, which must outlive the pass; without a gradient. */
ld_tensor *ld_tape_input(ld_tape *tape, const float *data, int rows, int cols);

void *ld_tape_record(ld_tape *tape, size_t bytes); /* small, zeroed, real in a dry pass too */
float *ld_tape_scratch(ld_tape *tape);
void ld_tape_push(ld_tape *tape, ld_op op);

/* A block of the model: what is pushed between begin and end. Of the tensors that it makes, operations
 * after it may read only its outputs, which stay for the whole pass. */
void ld_tape_block_begin(ld_tape *tape);
void ld_tape_block_end(ld_tape *tape, ld_tensor *const *outputs);

/* Walks the tape from its end. The last operation must be one that needs no gradient of its output (a loss).
 */
void ld_tape_backward(ld_tape *tape);

/* Measures each operation of the passes to come; NULL, as it begins, for none. The profile is borrowed. */
void ld_tape_profile(ld_tape *tape, ld_profile *profile);

/* Called between operations, forward and backward, to move what must move meanwhile (network). */
void ld_tape_on_poll(ld_tape *tape, void (*poll)(void *user), void *user);

/* Called in a backward pass when nothing on the tape adds any more to the gradients of a layer's parameters.
 */
void ld_tape_on_trained(ld_tape *tape, void (*trained)(void *user, const ld_linear *layer), void *user);

#endif
