/* The tape: a forward pass as a list of coarse operations, walked from its end for the backward pass.
 *
 * An operation is a forward and a backward function over a small record of its own. Pushing it runs the
 * forward at once, unless the pass is dry: a dry pass only counts memory, and ld_tape_reserve then takes just
 * that much. So a real pass allocates nothing. Gradients of activations live from their first use to their
 * last and share places; scratch is shared by all operations.
 */
#ifndef LD_TAPE_H
#define LD_TAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "nn/profile.h"
#include "nn/tensor.h"

typedef struct ld_tape ld_tape;

typedef struct ld_op {
  const char *name;
  void (*forward)(ld_tape *tape, void *self);
  void (*backward)(ld_tape *tape, void *self); /* adds to ld_grad of its inputs */
  void *self;
  ld_tensor *out;
  ld_tensor *in[4]; /* those whose gradients backward adds to; NULL fills up */
} ld_op;

enum ld_pass { LD_PASS_INFER, LD_PASS_TRAIN };

ld_tape *ld_tape_create(void);
void ld_tape_free(ld_tape *tape);

/* Starts a pass: forgets the one before. A dry pass runs nothing. `recompute` keeps only the blocks' outputs
 * and runs each block's forward again in the backward pass. */
void ld_tape_begin(ld_tape *tape, enum ld_pass pass, bool dry, bool recompute);

/* After a dry pass: the bytes that it needs in all. */
size_t ld_tape_bytes(const ld_tape *tape);

/* After a dry pass: takes the memory for passes up to that size. Returns false when the system has not
 * enough. */
bool ld_tape_reserve(ld_tape *tape) __attribute__((warn_unused_result));

/* After a forward pass, dry or not: the floating-point operations of its layers' products and, in training,
 * of those that the backward pass will do. */
double ld_tape_work(const ld_tape *tape);

bool ld_tape_training(const ld_tape *tape);

/* For operations. */
ld_tensor *ld_tape_tensor(ld_tape *tape, int rows, int cols, bool trained);       /* not zeroed */
ld_tensor *ld_tape_columns(ld_tape *tape, ld_tensor *base, int column, int cols); /* a view */
ld_tensor *ld_tape_input(ld_tape *tape, const float *data, int rows,
                         int cols);                 /* of the caller's; no gradient */
void *ld_tape_record(ld_tape *tape, size_t bytes);  /* small, zeroed, real in a dry pass too */
float *ld_tape_floats(ld_tape *tape, size_t count); /* kept until the backward pass */
void ld_tape_need_scratch(ld_tape *tape, size_t floats);
float *ld_tape_scratch(ld_tape *tape);
void ld_tape_push(ld_tape *tape, ld_op op);

/* Of the operation that is pushed next: its multiply-adds, and what tells it from others of its name in a
 * profile (a module's path; borrowed until the profile is freed). */
void ld_tape_add_work(ld_tape *tape, double forward, double backward);
void ld_tape_role(ld_tape *tape, const char *role);

/* Of the operation that is pushed next: its backward adds to the gradients of this layer's parameters. */
void ld_tape_trains(ld_tape *tape, const ld_linear *layer);

/* The output of the next operation is brief: only the rest of its block reads it on the way forward. It lies
 * in memory that all blocks share, and the operation runs again on the way back where ld_tape_want says that
 * its output is read there: for what is cheap to make and large to keep (norms, activations). Outside of
 * blocks it changes nothing. Returns the tape. */
ld_tape *ld_tape_brief(ld_tape *tape);
void ld_tape_want(ld_tensor *tensor); /* by the constructor of an operation whose backward reads its data */

/* Of the operation that is pushed next: its output is `base` plus something, so that base (no view, of the
 * same shape, and not among its inputs) gets the output's gradient as it is. */
void ld_tape_onto(ld_tape *tape, ld_tensor *base);

/* Marks a block of the model (a transformer layer) whose output will be (rows, cols). `trained` says that
 * something in it or below it is. When it is not, or when blocks are recomputed, all that was made inside is
 * dropped at its end. ld_tape_block_end gives the tensor with which the model goes on. */
void ld_tape_block_begin(ld_tape *tape, int rows, int cols, bool trained);
ld_tensor *ld_tape_block_end(ld_tape *tape, ld_tensor *output);

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
