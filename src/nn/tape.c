#include "nn/tape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linalg/rows.h"

enum { RECORD_BYTES = 64 << 20, MAX_FREE = 256 };

/* A block: operations [first, last) and where their activations lie. */
typedef struct block {
  size_t first, last;
  bool dropped; /* its inside was given up: run its forward again before its backward */
} block;

/* An operation on the tape, and what a profile tells of it. */
typedef struct entry {
  ld_op op;
  bool brief;             /* its output lies in memory that blocks share */
  ld_tensor *onto;        /* what its output was added to; NULL for nothing */
  const ld_linear *layer; /* whose parameters it trains; NULL for none */
  const char *role;
  double forward, backward; /* multiply-adds */
} entry;

struct ld_tape {
  enum ld_pass pass;
  bool dry, recompute;
  entry *ops;
  size_t n_ops, room_ops;
  block *blocks;
  size_t n_blocks, room_blocks;
  ld_tensor *block_output; /* of the open block */
  size_t block_mark;       /* where the inside of the open block begins in `data` */
  bool in_block;
  ld_arena records; /* op records and tensor heads: address space only until touched */
  ld_arena data;    /* activations */
  ld_arena brief;   /* activations that live no longer than their block's way forward, or back */
  ld_arena grads;   /* gradients of activations */
  ld_arena scratch;
  size_t scratch_floats; /* the largest need so far */
  double work;           /* multiply-adds */
  entry next;            /* what is known of the operation to be pushed next */
  ld_profile *profile;   /* NULL when nothing is measured */
  struct {
    size_t count;
    float *grad;
  } free_grads[MAX_FREE]; /* places in `grads` that may be used again by a tensor of the same size */
  int n_free;
  void (*poll)(void *user);
  void *poll_user;
  void (*trained)(void *user, const ld_linear *layer);
  void *trained_user;
};

float *ld_grad(const ld_tensor *tensor) {
  if (!tensor->base) return tensor->grad;
  return tensor->base->grad ? tensor->base->grad + tensor->column : NULL;
}

ld_tape *ld_tape_create(void) {
  ld_tape *tape = ld_alloc(1, sizeof *tape);
  if (!ld_arena_reserve(&tape->records, RECORD_BYTES)) ld_out_of_memory(RECORD_BYTES);
  return tape;
}

void ld_tape_free(ld_tape *tape) {
  if (!tape) return;
  ld_arena_free(&tape->records);
  ld_arena_free(&tape->data);
  ld_arena_free(&tape->brief);
  ld_arena_free(&tape->grads);
  ld_arena_free(&tape->scratch);
  free(tape->ops);
  free(tape->blocks);
  free(tape);
}

void ld_tape_begin(ld_tape *tape, enum ld_pass pass, bool dry, bool recompute) {
  tape->pass = pass;
  tape->dry = dry;
  tape->recompute = recompute && pass == LD_PASS_TRAIN;
  tape->n_ops = tape->n_blocks = 0;
  tape->block_output = NULL;
  tape->n_free = 0;
  tape->work = 0;
  tape->next = (entry){0};
  tape->records.used = 0;
  if (dry) {
    ld_arena_free(&tape->data);
    ld_arena_free(&tape->brief);
    ld_arena_free(&tape->grads);
    ld_arena_free(&tape->scratch);
    tape->scratch_floats = 0;
  }
  tape->data.used = tape->brief.used = tape->grads.used = 0;
  tape->in_block = false;
}

size_t ld_tape_bytes(const ld_tape *tape) {
  return tape->data.peak + tape->brief.peak + tape->grads.peak + tape->scratch_floats * sizeof(float);
}

bool ld_tape_reserve(ld_tape *tape) {
  return ld_arena_reserve(&tape->data, tape->data.peak) && ld_arena_reserve(&tape->brief, tape->brief.peak) &&
         ld_arena_reserve(&tape->grads, tape->grads.peak) &&
         ld_arena_reserve(&tape->scratch, tape->scratch_floats * sizeof(float));
}

bool ld_tape_training(const ld_tape *tape) {
  return tape->pass == LD_PASS_TRAIN;
}

void *ld_tape_record(ld_tape *tape, size_t bytes) {
  return memset(ld_arena_take(&tape->records, bytes), 0, bytes);
}

float *ld_tape_floats(ld_tape *tape, size_t count) {
  return ld_arena_take(&tape->data, count * sizeof(float));
}

ld_tensor *ld_tape_tensor(ld_tape *tape, int rows, int cols, bool trained) {
  ld_tensor *tensor = ld_tape_record(tape, sizeof *tensor);
  tensor->rows = rows;
  tensor->cols = tensor->stride = cols;
  tensor->trained = trained && tape->pass == LD_PASS_TRAIN;
  const size_t bytes = (size_t)rows * (size_t)cols * sizeof(float);
  tensor->data = ld_arena_take(tape->next.brief ? &tape->brief : &tape->data, bytes);
  return tensor;
}

ld_tape *ld_tape_brief(ld_tape *tape) {
  tape->next.brief = tape->in_block;
  return tape;
}

void ld_tape_want(ld_tensor *tensor) {
  if (tensor->base) tensor = tensor->base;
  tensor->wanted = true;
}

void ld_tape_onto(ld_tape *tape, ld_tensor *base) {
  tape->next.onto = base;
}

void ld_tape_trains(ld_tape *tape, const ld_linear *layer) {
  tape->next.layer = layer;
}

ld_tensor *ld_tape_input(ld_tape *tape, const float *data, int rows, int cols) {
  ld_tensor *tensor = ld_tape_record(tape, sizeof *tensor);
  *tensor = (ld_tensor){.data = (float *)data, .rows = rows, .cols = cols, .stride = cols};
  return tensor;
}

ld_tensor *ld_tape_columns(ld_tape *tape, ld_tensor *base, int column, int cols) {
  ld_tensor *view = ld_tape_record(tape, sizeof *view);
  *view = *base;
  view->base = base->base ? base->base : base;
  view->column = base->column + column;
  view->cols = cols;
  if (base->data) view->data = base->data + column;
  return view;
}

void ld_tape_add_work(ld_tape *tape, double forward, double backward) {
  tape->work += tape->recompute ? 2 * forward : forward;
  if (tape->pass == LD_PASS_TRAIN) tape->work += backward;
  tape->next.forward += forward;
  tape->next.backward += backward;
}

void ld_tape_role(ld_tape *tape, const char *role) {
  tape->next.role = role;
}

double ld_tape_work(const ld_tape *tape) {
  return 2 * tape->work;
}

void ld_tape_need_scratch(ld_tape *tape, size_t floats) {
  if (floats > tape->scratch_floats) tape->scratch_floats = floats;
}

float *ld_tape_scratch(ld_tape *tape) {
  return (float *)tape->scratch.memory;
}

void ld_tape_profile(ld_tape *tape, ld_profile *profile) {
  tape->profile = profile;
}

/* `part`: of the pass that is under way. */
static void run_forward(ld_tape *tape, const entry *e, enum ld_profile_part part) {
  double since = ld_profile_clock(tape->profile);
  e->op.forward(tape, e->op.self);
  ld_profile_lap(tape->profile, &since, e->op.name, e->role, part, e->forward);
  if (tape->poll) tape->poll(tape->poll_user);
}

void ld_tape_push(ld_tape *tape, ld_op op) {
  entry e = tape->next;
  e.op = op;
  tape->next = (entry){0};
  if (!tape->dry) run_forward(tape, &e, LD_PROFILE_FORWARD);
  if (tape->pass == LD_PASS_INFER) return;
  tape->ops = ld_grow(tape->ops, tape->n_ops, &tape->room_ops, sizeof *tape->ops);
  tape->ops[tape->n_ops++] = e;
}

void ld_tape_block_begin(ld_tape *tape, int rows, int cols, bool trained) {
  tape->blocks = ld_grow(tape->blocks, tape->n_blocks, &tape->room_blocks, sizeof *tape->blocks);
  const bool dropped = tape->recompute || tape->pass == LD_PASS_INFER || !trained;
  tape->blocks[tape->n_blocks] = (block){.first = tape->n_ops, .dropped = dropped};
  if (dropped) tape->block_output = ld_tape_tensor(tape, rows, cols, trained);
  tape->block_mark = tape->data.used;
  tape->brief.used = 0;
  tape->in_block = true;
}

static void copy_forward(ld_tape *tape, void *self) {
  (void)tape;
  ld_tensor **pair = self;
  memcpy(pair[0]->data, pair[1]->data, (size_t)pair[0]->rows * (size_t)pair[0]->cols * sizeof(float));
}

static void copy_backward(ld_tape *tape, void *self) {
  (void)tape;
  ld_tensor **pair = self;
  ld_row_add(pair[1]->grad, pair[0]->grad, (size_t)pair[0]->rows * (size_t)pair[0]->cols);
}

ld_tensor *ld_tape_block_end(ld_tape *tape, ld_tensor *output) {
  block *open = &tape->blocks[tape->n_blocks++];
  tape->in_block = false;
  if (!open->dropped) {
    open->last = tape->n_ops;
    return output;
  }
  ld_tensor *kept = tape->block_output;
  ld_tensor **pair = ld_tape_record(tape, 2 * sizeof *pair);
  pair[0] = kept;
  pair[1] = output;
  ld_tape_push(tape, (ld_op){"copy", copy_forward, copy_backward, pair, kept, {output}});
  open->last = tape->n_ops;
  tape->data.used = tape->block_mark;
  return kept;
}

void ld_tape_on_poll(ld_tape *tape, void (*poll)(void *user), void *user) {
  tape->poll = poll;
  tape->poll_user = user;
}

void ld_tape_on_trained(ld_tape *tape, void (*trained)(void *user, const ld_linear *layer), void *user) {
  tape->trained = trained;
  tape->trained_user = user;
}

/* Gives `tensor` a gradient of zeros if it has none yet. */
static void live_grad(ld_tape *tape, ld_tensor *tensor) {
  if (tensor->base) tensor = tensor->base;
  if (!tensor->trained || tensor->grad) return;
  const size_t count = (size_t)tensor->rows * (size_t)tensor->cols;
  for (int i = tape->n_free - 1; i >= 0; i--) {
    if (tape->free_grads[i].count != count) continue;
    tensor->grad = tape->free_grads[i].grad;
    tape->free_grads[i] = tape->free_grads[--tape->n_free];
    break;
  }
  if (!tensor->grad) tensor->grad = ld_arena_take(&tape->grads, count * sizeof(float));
  if (!tape->dry)
    memset(tensor->grad, 0, count * sizeof(float));
  else
    tensor->grad = (float *)&tape->grads; /* any address: a dry pass only asks whether there is one */
}

static void drop_grad(ld_tape *tape, ld_tensor *tensor) {
  if (tensor->base || !tensor->grad) return;
  if (tape->n_free < MAX_FREE) {
    tape->free_grads[tape->n_free].count = (size_t)tensor->rows * (size_t)tensor->cols;
    tape->free_grads[tape->n_free++].grad = tensor->grad;
  }
  tensor->grad = NULL;
}

static bool is_input(const ld_op *op, const ld_tensor *tensor) {
  for (int i = 0; i < 4 && op->in[i]; i++)
    if (op->in[i] == tensor) return true;
  return false;
}

/* Adds the gradient of `from`, which is no longer needed, to that of `to`: by giving it away where that has
 * none. */
static void hand_on(const ld_tape *tape, ld_tensor *from, ld_tensor *to) {
  if (!to->grad) {
    to->grad = from->grad;
    from->grad = NULL;
  } else if (!tape->dry) {
    ld_row_add(to->grad, from->grad, (size_t)to->rows * (size_t)to->cols);
  }
}

static void backward_op(ld_tape *tape, const entry *e) {
  const ld_op *op = &e->op;
  if (op->out && !op->out->trained) return;
  double since = ld_profile_clock(tape->profile);
  for (int i = 0; i < 4 && op->in[i]; i++) live_grad(tape, op->in[i]);
  ld_profile_lap(tape->profile, &since, "zero", NULL, LD_PROFILE_BACKWARD, 0);
  if (!tape->dry) op->backward(tape, op->self);
  ld_profile_lap(tape->profile, &since, op->name, e->role, LD_PROFILE_BACKWARD, e->backward);
  if (e->onto && e->onto->trained) hand_on(tape, op->out, e->onto);
  /* An operation in place hands its output's gradient on as its input's. */
  if (op->out && !is_input(op, op->out)) drop_grad(tape, op->out);
  if (tape->poll) tape->poll(tape->poll_user);
}

/* What a block's backward pass reads and is not there. */
static void make_again(ld_tape *tape, const block *entered) {
  for (size_t k = entered->first; k < entered->last; k++) {
    const entry *e = &tape->ops[k];
    if (entered->dropped || (e->brief && e->op.out->wanted)) run_forward(tape, e, LD_PROFILE_BACKWARD);
  }
}

/* Whether no operation before `at`, whose backward is still to come, trains the same layer. */
static bool is_last(const ld_tape *tape, size_t at) {
  for (size_t i = 0; i < at; i++)
    if (tape->ops[i].layer == tape->ops[at].layer) return false;
  return true;
}

void ld_tape_backward(ld_tape *tape) {
  size_t n_blocks = tape->n_blocks;
  for (size_t i = tape->n_ops; i-- > 0;) {
    if (n_blocks && i + 1 == tape->blocks[n_blocks - 1].last) {
      const block *entered = &tape->blocks[--n_blocks];
      if (tape->ops[i].op.out->trained && !tape->dry) make_again(tape, entered);
    }
    backward_op(tape, &tape->ops[i]);
    if (tape->trained && !tape->dry && tape->ops[i].layer && is_last(tape, i))
      tape->trained(tape->trained_user, tape->ops[i].layer);
  }
}
