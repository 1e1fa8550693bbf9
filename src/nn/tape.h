/* The tape: a forward pass as a list of coarse operations, walked from its end for the backward pass.
 *
 * An operation is a forward and a backward function over a small record of its own, and describes itself to
 * the tape: ld_op. Outside of blocks it runs when it is pushed, and its output stays for the whole pass. A
 * block (a transformer layer) is recorded first. At its end the planner knows who reads what, allocates the
 * block's tensors, and runs it:
 *
 *   an output of the block                                stays
 *   read in the backward pass, costly to compute again    stays
 *   read in the backward pass, cheap to compute again     transient; computed again when the backward pass
 *                                                         enters the block
 *   not read in the backward pass                         transient
 *
 * Transient tensors last until the block has run. A pass that recomputes treats everything as cheap; a pass
 * without training reads nothing in a backward pass. So a family says what its network computes, and nothing
 * about memory.
 *
 * A dry pass runs nothing and counts memory; ld_tape_reserve then takes exactly that much, so that a real
 * pass allocates nothing. Gradients of activations live from their first use to their last and share memory;
 * scratch is shared by all operations. */
#ifndef LD_TAPE_H
#define LD_TAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "nn/keep.h"
#include "nn/profile.h"
#include "nn/tensor.h"

typedef struct ld_tape ld_tape;

/* Lists, which end with NULL. They are borrowed until the call returns. */
#define LD_TENSORS(...) ((ld_tensor *const[]){__VA_ARGS__, NULL})
#define LD_LAYERS(...) ((const ld_linear *const[]){__VA_ARGS__, NULL})

/* Multiply-adds: of the forward pass, and of the backward pass for the gradients that exist. */
typedef struct ld_op_work {
  double forward, backward;
} ld_op_work;

/* Floats that an operation's forward leaves for its backward, few compared with its output. */
typedef struct ld_kept {
  float **place; /* set before forward runs */
  size_t count;  /* 0 for none */
} ld_kept;

/* Members that do not apply are left out. */
typedef struct ld_op {
  const char *name;
  const char *module; /* a path, to tell it from others of its name in a profile, which borrows it */

  void *self; /* its record, from ld_tape_record */
  void (*forward)(ld_tape *tape, void *self);

  /* Adds to ld_grad of its inputs, where they have one, and to the gradients of its layers' parameters. */
  void (*backward)(ld_tape *tape, void *self);

  /* What forward writes; NULL for a loss, which ends the tape. */
  ld_tensor *out;

  /* What forward reads. If `out` is among them, the operation works in place: it must be in the block that
   * made the tensor, before any other operation has read it. */
  ld_tensor *const *in;

  /* Out is this tensor plus something, so it receives out's gradient, as backward leaves it; backward adds nothing to it.
   * It has out's shape, is not a view, and is not among `in`. */
  ld_tensor *accumulate;

  /* Those of `in` and `out` whose data backward reads. */
  ld_tensor *const *backward_reads;

  /* The layers whose weights it reads, and whose changes it trains. */
  const ld_linear *const *layers;

  /* NULL: gradients begin with zeros, and backward adds to them. Otherwise one for each of `in`, which before backward says
   * whether its gradient is fresh: not zeroed, so that backward writes all of it. */
  bool *fresh;

  ld_kept kept;
  size_t scratch; /* floats at ld_tape_scratch while it runs */
  bool cheap; /* its forward costs little compared with a product of layers: a pass or two over its inputs */
  ld_op_work work;
} ld_op;

/* Where backward adds number by number, it zeroes so many of a fresh gradient at a time: they are still in the cache. */
enum { LD_GRAD_STRIP = 2048 };

enum ld_pass { LD_PASS_INFER, LD_PASS_TRAIN };

ld_tape *ld_tape_create(void);
void ld_tape_free(ld_tape *tape);

/* Starts a pass and drops the previous one. A dry pass runs nothing. `recompute` keeps only the blocks'
 * outputs, and the backward pass runs each block's forward again as far as it reads it. */
void ld_tape_begin(ld_tape *tape, enum ld_pass pass, bool dry, bool recompute);

/* After a dry pass: the bytes that the pass needs in all. */
size_t ld_tape_bytes(const ld_tape *tape);

/* After a dry pass: makes the tape count as much memory as that pass and those before it need, of which `most` is
 * the record. It is zeroed before the first. So passes of several shapes find room. */
typedef struct ld_tape_room {
  size_t data, grads, scratch_floats;
} ld_tape_room;

void ld_tape_need_most(ld_tape *tape, ld_tape_room *most);

/* After a dry pass: takes the memory for passes up to that size. False when the system does not have enough. */
bool ld_tape_reserve(ld_tape *tape) __attribute__((warn_unused_result));

/* After a forward pass, dry or not: the floating-point operations of its layers' products and, in training,
 * of those in the backward pass. */
double ld_tape_work(const ld_tape *tape);

bool ld_tape_training(const ld_tape *tape);

/* For operations. A tensor has its data when the first operation that reads it runs, not before. */
ld_tensor *ld_tape_tensor(ld_tape *tape, int rows, int cols); /* not zeroed */

/* A view of some columns of `base`. */
ld_tensor *ld_tape_columns(ld_tape *tape, ld_tensor *base, int column, int cols);

/* The caller's data, which must outlive the pass; without a gradient. */
ld_tensor *ld_tape_input(ld_tape *tape, const float *data, int rows, int cols);

void *ld_tape_record(ld_tape *tape, size_t bytes); /* small, zeroed, allocated in a dry pass too */
float *ld_tape_scratch(ld_tape *tape);
void ld_tape_push(ld_tape *tape, ld_op op);

/* A block of the model: what is pushed between begin and end. Of the tensors that it makes, later operations
 * may read only its outputs, which stay for the whole pass. */
void ld_tape_block_begin(ld_tape *tape);
void ld_tape_block_end(ld_tape *tape, ld_tensor *const *outputs);

/* A part of a pass: what is pushed between begin and end, blocks too. It runs at its end, and later operations may read
 * only its outputs, so that the memory of the rest is free again, unless something in it is trained. With a keeper,
 * outputs that depend on nothing but one field of the batch (`samples`; NULL: on all that the model reads) are kept, and
 * it does not run where all of them are. */
void ld_tape_part_begin(ld_tape *tape);
void ld_tape_part_end(ld_tape *tape, const ld_batch *batch, const ld_field *samples,
                      ld_tensor *const *outputs);

/* The same for what is pushed up to the first operation or block that training changes: with a keeper, and keys of
 * the batch. Its outputs are what that one reads. */
void ld_tape_prefix_begin(ld_tape *tape, const ld_batch *batch);

/* Keeps the outputs of parts of later passes; NULL, the default, keeps nothing. The keeper is borrowed. */
void ld_tape_keep(ld_tape *tape, const ld_keeper *keeper);

/* After a forward pass, dry or not: the numbers of its batch that are kept, and the floating-point operations that a
 * later pass over it saves by that, which are part of ld_tape_work. */
size_t ld_tape_kept_floats(const ld_tape *tape);
double ld_tape_kept_work(const ld_tape *tape);

/* Walks the tape from its end. The last operation must be one that needs no gradient of its output (a loss). */
void ld_tape_backward(ld_tape *tape);

/* Measures each operation of later passes; NULL, the default, measures nothing. The profile is borrowed. */
void ld_tape_profile(ld_tape *tape, ld_profile *profile);

/* Called between operations, forward and backward, to advance work such as network transfers. */
void ld_tape_on_poll(ld_tape *tape, void (*poll)(void *user), void *user);

/* Called in a backward pass when nothing on the tape will add to the gradients of a layer's parameters any
 * more. */
void ld_tape_on_trained(ld_tape *tape, void (*trained)(void *user, const ld_linear *layer), void *user);

#endif
