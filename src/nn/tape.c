/* The memory of activations is a stack. At its end a block takes memory for what stays, then for what is
 * transient, and releases the latter once it has run:
 *
 *   | input | block 1: stays | block 2: stays | block 3: stays | transient |  while block 3 runs
 *   | input | block 1: stays | transient |                                    in the backward pass, in block 1
 *
 * In the backward pass the space for a block's transient tensors is free, since nothing reads any more what
 * was stored above. */
#include "nn/tape.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "linalg/rows.h"
#include "nn/weight_store.h"

enum { RECORD_BYTES = 64 << 20, MAX_FREE = 256, MOST_OUTPUTS = 8 };

typedef struct entry {
  ld_op op;      /* its lists are the tape's */
  bool in_place; /* its output is one of its inputs */
} entry;

/* Operations [first, last), which read the weights of one block of a store. */
typedef struct block {
  size_t first, last;
  const ld_weight_store *store; /* NULL: all that they read is always there */
  int number;                   /* in the store */
  bool goes_back;               /* some of them have a backward to run */
} block;

enum part_kind { NO_PART, PART, PREFIX };

/* Operations from `first` on, which have not run yet. */
typedef struct recording {
  enum part_kind kind;
  size_t first, first_block;
  const ld_batch *batch; /* of a prefix */
} recording;

struct ld_tape {
  enum ld_pass pass;
  bool dry, recompute;
  entry *ops;
  size_t n_ops, room_ops;
  block *blocks;
  size_t n_blocks, room_blocks;
  bool in_block;
  recording part; /* that is being recorded */
  int n_parts;
  size_t released;    /* bytes, by the last part */
  size_t kept_floats; /* of all parts */
  double kept_work;   /* multiply-adds that made them */
  bool reads_late;    /* an operation reads of the prefix more than its outputs, so there is none */
  const ld_keeper *keeper;
  ld_arena records; /* op records, lists and tensor heads: address space only until touched */
  ld_arena data;    /* activations */
  ld_arena grads;   /* gradients of activations */
  ld_arena scratch;
  size_t scratch_floats; /* the largest need so far */
  double work;           /* multiply-adds */
  ld_profile *profile;   /* NULL when nothing is measured */
  struct {
    size_t count;
    float *grad;
  } free_grads[MAX_FREE]; /* memory in `grads` that a tensor of the same size may use again */
  int n_free;
  void (*poll)(void *user);
  void *poll_user;
  void (*trained)(void *user, const ld_linear *layer);
  void *trained_user;
};

ld_tape *ld_tape_create(void) {
  ld_tape *tape = ld_alloc(1, sizeof *tape);
  if (!ld_arena_reserve(&tape->records, RECORD_BYTES)) ld_out_of_memory(RECORD_BYTES);
  return tape;
}

void ld_tape_free(ld_tape *tape) {
  if (!tape) return;
  ld_arena_free(&tape->records);
  ld_arena_free(&tape->data);
  ld_arena_free(&tape->grads);
  ld_arena_free(&tape->scratch);
  free(tape->ops);
  free(tape->blocks);
  free(tape);
}

void ld_tape_begin(ld_tape *tape, enum ld_pass pass, bool dry, bool recompute) {
  tape->pass = pass;
  if (dry && !tape->dry) tape->reads_late = false;
  tape->dry = dry;
  tape->part = (recording){0};
  tape->n_parts = 0;
  tape->kept_floats = 0;
  tape->kept_work = 0;
  tape->recompute = recompute;
  tape->n_ops = tape->n_blocks = 0;
  tape->in_block = false;
  tape->n_free = 0;
  tape->work = 0;
  tape->records.used = 0;
  if (dry) {
    ld_arena_free(&tape->data);
    ld_arena_free(&tape->grads);
    ld_arena_free(&tape->scratch);
    tape->scratch_floats = 0;
  }
  tape->data.used = tape->grads.used = 0;
}

size_t ld_tape_bytes(const ld_tape *tape) {
  return tape->data.peak + tape->grads.peak + tape->scratch_floats * sizeof(float);
}

static void raise(size_t *a, size_t *b) {
  if (*a < *b)
    *a = *b;
  else
    *b = *a;
}

void ld_tape_need_most(ld_tape *tape, ld_tape_room *most) {
  raise(&tape->data.peak, &most->data);
  raise(&tape->grads.peak, &most->grads);
  raise(&tape->scratch_floats, &most->scratch_floats);
}

bool ld_tape_reserve(ld_tape *tape) {
  return ld_arena_reserve(&tape->data, tape->data.peak) && ld_arena_reserve(&tape->grads, tape->grads.peak) &&
         ld_arena_reserve(&tape->scratch, tape->scratch_floats * sizeof(float));
}

size_t ld_tape_kept_floats(const ld_tape *tape) {
  return tape->kept_floats;
}

double ld_tape_kept_work(const ld_tape *tape) {
  return 2 * tape->kept_work;
}

bool ld_tape_training(const ld_tape *tape) {
  return tape->pass == LD_PASS_TRAIN;
}

double ld_tape_work(const ld_tape *tape) {
  return 2 * tape->work;
}

void *ld_tape_record(ld_tape *tape, size_t bytes) {
  return memset(ld_arena_take(&tape->records, bytes), 0, bytes);
}

/* The number of the block that is being recorded; 0 outside of blocks. */
static int open_block(const ld_tape *tape) {
  return tape->in_block ? (int)tape->n_blocks + 1 : 0;
}

ld_tensor *ld_tape_tensor(ld_tape *tape, int rows, int cols) {
  ld_tensor *tensor = ld_tape_record(tape, sizeof *tensor);
  *tensor = (ld_tensor){.rows = rows, .cols = cols, .stride = cols, .block = open_block(tape)};
  return tensor;
}

ld_tensor *ld_tape_input(ld_tape *tape, const float *data, int rows, int cols) {
  ld_tensor *tensor = ld_tape_record(tape, sizeof *tensor);
  *tensor = (ld_tensor){.data = (float *)data, .rows = rows, .cols = cols, .stride = cols};
  return tensor;
}

ld_tensor *ld_tape_columns(ld_tape *tape, ld_tensor *base, int column, int cols) {
  ld_tensor *view = ld_tape_record(tape, sizeof *view);
  *view = (ld_tensor){.rows = base->rows, .cols = cols, .stride = base->stride, .trained = base->trained};
  view->rows_of = base->rows_of;
  view->base = base->base ? base->base : base;
  view->column = base->column + column;
  return view;
}

float *ld_tape_scratch(ld_tape *tape) {
  return (float *)tape->scratch.memory;
}

void ld_tape_profile(ld_tape *tape, ld_profile *profile) {
  tape->profile = profile;
}

void ld_tape_on_poll(ld_tape *tape, void (*poll)(void *user), void *user) {
  tape->poll = poll;
  tape->poll_user = user;
}

void ld_tape_on_trained(ld_tape *tape, void (*trained)(void *user, const ld_linear *layer), void *user) {
  tape->trained = trained;
  tape->trained_user = user;
}

/* The tensor that owns the memory. */
static ld_tensor *owner(ld_tensor *tensor) {
  return tensor->base ? tensor->base : tensor;
}

static size_t count_of(const ld_tensor *tensor) {
  return (size_t)tensor->rows * (size_t)tensor->cols;
}

/* Whether the operation has a backward to run in this pass. */
static bool goes_back(const ld_tape *tape, const ld_op *op) {
  return tape->pass == LD_PASS_TRAIN && (!op->out || op->out->trained);
}

static bool has_layer(const ld_op *op, const ld_linear *layer) {
  for (const ld_linear *const *l = op->layers; *l; l++)
    if (*l == layer) return true;
  return false;
}

/* Whether any input or layer of the operation is trained. */
static bool has_trained(const ld_op *op) {
  if (op->accumulate && op->accumulate->trained) return true;
  for (ld_tensor *const *t = op->in; *t; t++)
    if ((*t)->trained) return true;
  for (const ld_linear *const *l = op->layers; *l; l++)
    if ((*l)->change) return true;
  return false;
}

static bool is_input(const ld_op *op, const ld_tensor *tensor) {
  for (ld_tensor *const *t = op->in; *t; t++)
    if (*t == tensor) return true;
  return false;
}

/* Copies a list of pointers to the tape; NULL becomes an empty list. */
static const void *copy_list(ld_tape *tape, const void *list) {
  static const void *const null;
  if (!list) return &null;
  const char *end = list;
  while (memcmp(end, &null, sizeof null) != 0) end += sizeof null;
  const size_t bytes = (size_t)(end + sizeof null - (const char *)list);
  return memcpy(ld_tape_record(tape, bytes), list, bytes);
}

/* Points the views that an operation reads to the memory of their tensors. */
static void place_views(const ld_op *op) {
  for (ld_tensor *const *t = op->in; *t; t++)
    if ((*t)->base && (*t)->base->data) (*t)->data = (*t)->base->data + (*t)->column;
}

/* `part`: of the current pass. */
static void run_forward(ld_tape *tape, const ld_op *op, enum ld_profile_part part) {
  place_views(op);
  double since = ld_profile_clock(tape->profile);
  op->forward(tape, op->self);
  ld_profile_lap(tape->profile, &since, op->name, op->module, part, op->work.forward);
  if (tape->poll) tape->poll(tape->poll_user);
}

/* Whether the tensor was made by a part that has ended, and is not one of its outputs. */
static bool is_gone(const ld_tape *tape, const ld_tensor *tensor) {
  return tensor->part && (tensor->part != tape->n_parts || !tape->part.kind);
}

/* Of a block that has ended, only its outputs may be read. */
static bool is_there(const ld_tape *tape, ld_tensor *tensor) {
  if (is_gone(tape, owner(tensor))) return false;
  return !owner(tensor)->block || owner(tensor)->block == open_block(tape);
}

static void note_reads(const ld_tape *tape, const ld_op *op) {
  /* An operation in place must be in the block that made the tensor. */
  assert(!op->out || owner(op->out)->block == open_block(tape));
  for (ld_tensor *const *t = op->in; *t; t++) assert(is_there(tape, *t));
  assert(!op->accumulate || (!op->accumulate->base && is_there(tape, op->accumulate)));
  if (!goes_back(tape, op)) return;
  for (ld_tensor *const *t = op->backward_reads; *t; t++) owner(*t)->read_back = true;
}

/* A block may need the weights of one block, besides those that are always there. */
static void note_weights(ld_tape *tape, const ld_op *op) {
  block *b = tape->in_block ? &tape->blocks[tape->n_blocks] : NULL;
  if (b && goes_back(tape, op)) b->goes_back = true;
  for (const ld_linear *const *l = op->layers; *l; l++) {
    if (!(*l)->store || (*l)->block == LD_NO_BLOCK) continue;
    assert(b && (!b->store || (b->store == (*l)->store && b->number == (*l)->block)));
    b->store = (*l)->store;
    b->number = (*l)->block;
  }
}

static bool output_stays(const ld_tensor *out) {
  return !out->block || (out->read_back && !out->again);
}

static bool kept_stays(const ld_tape *tape, const ld_op *op) {
  return !tape->in_block || (goes_back(tape, op) && !tape->recompute);
}

/* Takes memory for the operation's outputs: for those that stay, or for the transient ones. */
static void take_memory(ld_tape *tape, const entry *e, bool stays) {
  ld_tensor *out = e->in_place ? NULL : e->op.out;
  const ld_kept *kept = &e->op.kept;
  if (out && output_stays(out) == stays)
    out->data = ld_arena_take(&tape->data, count_of(out) * sizeof(float));
  if (kept->count && kept_stays(tape, &e->op) == stays)
    *kept->place = ld_arena_take(&tape->data, kept->count * sizeof(float));
}

static void end_prefix(ld_tape *tape, size_t last, const ld_op *next);

/* An operation after the prefix reads a tensor of it that is not among its outputs: this kind of pass has no prefix. A
 * dry pass finds that, and counts the memory again that was released. */
static void read_late(ld_tape *tape, const ld_op *op) {
  for (ld_tensor *const *t = op->in; *t; t++) {
    if (!is_gone(tape, owner(*t))) continue;
    assert(tape->dry && tape->keeper);
    owner(*t)->part = 0;
    if (!tape->reads_late) tape->data.peak += tape->released;
    tape->reads_late = true;
  }
}

static bool has_change(const ld_op *op) {
  for (const ld_linear *const *l = op->layers; *l; l++)
    if ((*l)->change) return true;
  return false;
}

/* An operation works row by row, unless its output has another number of rows. */
static void note_rows(const ld_op *op) {
  for (ld_tensor *const *t = op->in; *t && op->out && !op->out->rows_of; t++)
    if ((*t)->rows_of && (*t)->rows == op->out->rows) op->out->rows_of = (*t)->rows_of;
}

/* The tensor belongs to the part that is being recorded, if any. */
static void note_part(const ld_tape *tape, const ld_op *op) {
  if (op->out && tape->part.kind) owner(op->out)->part = tape->n_parts;
}

/* A pass that needs more than was reserved ends the process here instead of writing over its end. */
static void need_scratch(ld_tape *tape, size_t floats) {
  if (floats > tape->scratch_floats) tape->scratch_floats = floats;
  if (tape->dry) return;
  tape->scratch.used = 0;
  ld_arena_take(&tape->scratch, floats * sizeof(float));
}

void ld_tape_push(ld_tape *tape, ld_op op) {
  op.in = copy_list(tape, op.in);
  op.backward_reads = copy_list(tape, op.backward_reads);
  op.layers = copy_list(tape, op.layers);
  const entry e = {op, op.out && is_input(&op, op.out)};
  if (op.out && !e.in_place) op.out->trained = tape->pass == LD_PASS_TRAIN && has_trained(&op);
  const bool ends = tape->part.kind == PREFIX && !tape->in_block && (has_change(&op) || !op.out);
  if (ends) end_prefix(tape, tape->n_ops, &op);
  read_late(tape, &op);
  note_part(tape, &op);
  note_rows(&op);
  note_reads(tape, &op);
  note_weights(tape, &op);
  need_scratch(tape, op.scratch);
  tape->work += op.work.forward + (goes_back(tape, &op) ? op.work.backward : 0);
  tape->ops = ld_grow(tape->ops, tape->n_ops, &tape->room_ops, sizeof *tape->ops);
  tape->ops[tape->n_ops++] = e;
  if (tape->in_block || tape->part.kind) return;
  take_memory(tape, &e, true);
  if (!tape->dry) run_forward(tape, &op, LD_PROFILE_FORWARD);
}

void ld_tape_block_begin(ld_tape *tape) {
  tape->blocks = ld_grow(tape->blocks, tape->n_blocks, &tape->room_blocks, sizeof *tape->blocks);
  tape->blocks[tape->n_blocks] = (block){.first = tape->n_ops, .last = tape->n_ops};
  tape->in_block = true;
}

/* Whether all inputs of the operation exist when the backward pass enters its block. */
static bool inputs_stay(const entry *e) {
  const ld_tensor *base = e->op.accumulate;
  if (base && base->block && !base->read_back) return false;
  for (ld_tensor *const *t = e->op.in; *t; t++) {
    const ld_tensor *in = owner(*t);
    if (*t != e->op.out && in->block && !in->read_back) return false;
  }
  return true;
}

/* Decides which tensors of a block are computed again in the backward pass. All operations that write a
 * tensor count: one that works in place runs again together with the one that made the tensor, or not at all. */
static void find_again(ld_tape *tape, const block *b) {
  for (size_t k = b->first; k < b->last; k++) {
    const entry *e = &tape->ops[k];
    if (!e->op.out) continue;
    ld_tensor *out = owner(e->op.out);
    if (!tape->recompute && (!e->op.cheap || !inputs_stay(e))) out->costly = true;
    if (e->op.kept.count) out->keeps = true;
  }
  /* From the end, since the inputs of a tensor may have to be computed again for it. */
  for (size_t k = b->last; k-- > b->first;) {
    const ld_op *op = &tape->ops[k].op;
    if (!op->out) continue;
    ld_tensor *out = owner(op->out);
    const bool for_data = out->block && out->read_back && !out->costly;
    const bool for_kept = tape->recompute && out->keeps && out->trained;
    out->again = for_data || for_kept;
    if (!out->again) continue;
    tape->work += op->work.forward;
    if (op->accumulate) op->accumulate->read_back = true;
    for (ld_tensor *const *t = op->in; *t; t++) owner(*t)->read_back = true;
  }
}

/* All operations that read a block's weights in a pass run inside block_forward or block_backward. */
static void block_forward(ld_tape *tape, const block *b) {
  ld_weights_take(b->store, b->number);
  for (size_t k = b->first; k < b->last; k++) run_forward(tape, &tape->ops[k].op, LD_PROFILE_FORWARD);
  ld_weights_release(b->store, b->number);
}

static void walk_back(ld_tape *tape, size_t first, size_t last);

static void block_backward(ld_tape *tape, const block *b) {
  const ld_weight_store *store = b->goes_back && !tape->dry ? b->store : NULL;
  ld_weights_take(store, b->number);
  for (size_t k = b->first; k < b->last && !tape->dry; k++) {
    const ld_op *op = &tape->ops[k].op;
    if (op->out && owner(op->out)->again) run_forward(tape, op, LD_PROFILE_BACKWARD);
  }
  walk_back(tape, b->first, b->last);
  ld_weights_release(store, b->number);
}

static void run_block(ld_tape *tape, const block *b) {
  tape->in_block = true;
  for (size_t k = b->first; k < b->last; k++) take_memory(tape, &tape->ops[k], true);
  const size_t mark = tape->data.used;
  for (size_t k = b->first; k < b->last; k++) take_memory(tape, &tape->ops[k], false);
  if (!tape->dry) block_forward(tape, b);
  tape->data.used = mark;
  tape->in_block = false;
}

void ld_tape_block_end(ld_tape *tape, ld_tensor *const *outputs) {
  block *b = &tape->blocks[tape->n_blocks];
  b->last = tape->n_ops;
  for (; *outputs; outputs++) owner(*outputs)->block = 0;
  find_again(tape, b);
  tape->n_blocks++;
  tape->in_block = false;
  bool changes = false;
  for (size_t k = b->first; k < b->last; k++) changes = changes || has_change(&tape->ops[k].op);
  if (tape->part.kind == PREFIX && changes) end_prefix(tape, b->first, NULL);
  if (!tape->part.kind) run_block(tape, &tape->blocks[tape->n_blocks - 1]);
}

/* Runs operations, and blocks from number `b` on, that were recorded before. */
static void run_recorded(ld_tape *tape, size_t first, size_t last, size_t b) {
  for (size_t k = first; k < last;) {
    while (b < tape->n_blocks && tape->blocks[b].last <= k) b++;
    if (b < tape->n_blocks && tape->blocks[b].first == k) {
      run_block(tape, &tape->blocks[b]);
      k = tape->blocks[b++].last;
      continue;
    }
    take_memory(tape, &tape->ops[k], true);
    if (!tape->dry) run_forward(tape, &tape->ops[k].op, LD_PROFILE_FORWARD);
    k++;
  }
}

/* Releases the memory above `mark` except for the outputs, which move there. */
static void compact(ld_tape *tape, size_t mark, ld_tensor *const *outputs) {
  const size_t before = tape->data.used;
  ld_tensor *sorted[MOST_OUTPUTS];
  int n = 0;
  for (; *outputs; outputs++) {
    int at = n++;
    for (; at > 0 && sorted[at - 1]->data > (*outputs)->data; at--) sorted[at] = sorted[at - 1];
    sorted[at] = *outputs;
  }
  tape->data.used = mark;
  for (int i = 0; i < n; i++) {
    float *to = ld_arena_take(&tape->data, count_of(sorted[i]) * sizeof(float));
    if (!tape->dry) memmove(to, sorted[i]->data, count_of(sorted[i]) * sizeof(float));
    sorted[i]->data = to;
  }
  tape->released = before - tape->data.used;
}

/* Names an output among all of a pass. */
static uint64_t number_of(const ld_tape *tape, int output) {
  return (uint64_t)tape->n_parts * MOST_OUTPUTS + (uint64_t)output;
}

static bool read_kept(ld_tape *tape, const ld_kept_samples *samples, ld_tensor *const *outputs) {
  for (int i = 0; outputs[i]; i++)
    if (!ld_kept_has(tape->keeper, samples, number_of(tape, i))) return false;
  double since = ld_profile_clock(tape->profile);
  for (int i = 0; outputs[i]; i++) {
    outputs[i]->data = ld_arena_take(&tape->data, count_of(outputs[i]) * sizeof(float));
    if (!ld_kept_read(tape->keeper, samples, number_of(tape, i), outputs[i], ld_tape_scratch(tape)))
      return false;
  }
  ld_profile_lap(tape->profile, &since, "read kept results", NULL, LD_PROFILE_FORWARD, 0);
  return true;
}

static void write_kept(ld_tape *tape, const ld_kept_samples *samples, ld_tensor *const *outputs) {
  double since = ld_profile_clock(tape->profile);
  for (int i = 0; outputs[i]; i++)
    ld_kept_write(tape->keeper, samples, number_of(tape, i), outputs[i], ld_tape_scratch(tape));
  ld_profile_lap(tape->profile, &since, "keep results", NULL, LD_PROFILE_FORWARD, 0);
}

/* Whether so many multiply-adds are enough that reading what they make takes less time. */
static bool is_worth(const ld_tape *tape, double work, ld_tensor *const *outputs) {
  double numbers = 0;
  for (; *outputs; outputs++) numbers += (double)count_of(*outputs);
  return work >= tape->keeper->least_work * numbers;
}

/* The samples whose outputs can be kept. */
static ld_kept_samples samples_of(ld_tape *tape, const ld_batch *batch, const ld_field *field,
                                  ld_tensor *const *outputs) {
  const int n = batch ? ld_kept_count(batch, field) : 0;
  if (!n) return (ld_kept_samples){0};
  uint64_t *keys = ld_tape_record(tape, (size_t)n * sizeof *keys);
  const ld_kept_samples samples = ld_kept_samples_of(batch, field, keys);
  for (int i = 0; outputs[i]; i++)
    if (!ld_kept_divides(&samples, outputs[i])) return (ld_kept_samples){0};
  for (; *outputs; outputs++) {
    const size_t room = ld_kept_floats(&samples, *outputs);
    if (room > tape->scratch_floats) tape->scratch_floats = room;
  }
  return samples;
}

/* Runs the part, whose last operation is before `last`, or reads what is kept of it. */
static void run_part(ld_tape *tape, size_t last, const ld_batch *batch, const ld_field *field,
                     ld_tensor *const *outputs) {
  const recording p = tape->part;
  tape->part = (recording){0};
  bool trained = false;
  double work = 0;
  for (size_t k = p.first; k < last; k++) {
    trained = trained || goes_back(tape, &tape->ops[k].op);
    work += tape->ops[k].op.work.forward;
  }
  for (int i = 0; outputs[i]; i++) outputs[i]->part = 0;
  const bool keeps = !trained && tape->keeper && is_worth(tape, work, outputs);
  const ld_kept_samples samples = keeps ? samples_of(tape, batch, field, outputs) : (ld_kept_samples){0};
  if (samples.n) tape->kept_work += work;
  for (int i = 0; samples.n && outputs[i]; i++) tape->kept_floats += count_of(outputs[i]);
  const size_t mark = tape->data.used;
  if (samples.n && !tape->dry && read_kept(tape, &samples, outputs)) return;
  tape->data.used = mark;
  run_recorded(tape, p.first, last, p.first_block);
  if (!trained) compact(tape, mark, outputs);
  if (samples.n && !tape->dry) write_kept(tape, &samples, outputs);
}

void ld_tape_part_begin(ld_tape *tape) {
  if (tape->part.kind == PREFIX) end_prefix(tape, tape->n_ops, NULL);
  tape->part = (recording){PART, tape->n_ops, tape->n_blocks, NULL};
  tape->n_parts++;
}

void ld_tape_part_end(ld_tape *tape, const ld_batch *batch, const ld_field *samples,
                      ld_tensor *const *outputs) {
  run_part(tape, tape->n_ops, batch, samples, outputs);
}

void ld_tape_prefix_begin(ld_tape *tape, const ld_batch *batch) {
  if (!tape->keeper || tape->reads_late || !ld_kept_count(batch, NULL)) return;
  tape->part = (recording){PREFIX, tape->n_ops, tape->n_blocks, batch};
  tape->n_parts++;
}

void ld_tape_keep(ld_tape *tape, const ld_keeper *keeper) {
  tape->keeper = keeper;
}

/* Adds the tensor to the outputs, if the part that is being recorded made it. */
static int add_output(const ld_tape *tape, ld_tensor *tensor, ld_tensor **outputs, int n) {
  if (!tensor || owner(tensor)->part != tape->n_parts) return n;
  for (int i = 0; i < n; i++)
    if (outputs[i] == owner(tensor)) return n;
  assert(n < MOST_OUTPUTS);
  outputs[n++] = owner(tensor);
  return n;
}

static int add_inputs(const ld_tape *tape, const ld_op *op, ld_tensor **outputs, int n) {
  for (ld_tensor *const *t = op->in; *t; t++) n = add_output(tape, *t, outputs, n);
  return add_output(tape, op->accumulate, outputs, n);
}

/* The prefix ends before operation `last`; `next` is one that is not recorded yet. */
static void end_prefix(ld_tape *tape, size_t last, const ld_op *next) {
  ld_tensor *outputs[MOST_OUTPUTS + 1] = {0};
  int n = 0;
  for (size_t k = last; k < tape->n_ops; k++)
    if (tape->ops[k].op.out) owner(tape->ops[k].op.out)->part = 0;
  for (size_t k = last; k < tape->n_ops; k++) n = add_inputs(tape, &tape->ops[k].op, outputs, n);
  if (next) add_inputs(tape, next, outputs, n);
  run_part(tape, last, tape->part.batch, NULL, outputs);
}

/* Gives `tensor` a gradient if it has none yet: of zeros, or, with `fresh`, one that is still to be written, if it is not
 * a view. */
static void live_grad(ld_tape *tape, ld_tensor *tensor, bool *fresh) {
  const bool whole = owner(tensor) == tensor;
  tensor = owner(tensor);
  if (fresh) *fresh = false;
  if (!tensor->trained || tensor->grad) return;
  const size_t count = count_of(tensor);
  for (int i = tape->n_free - 1; i >= 0; i--) {
    if (tape->free_grads[i].count != count) continue;
    tensor->grad = tape->free_grads[i].grad;
    tape->free_grads[i] = tape->free_grads[--tape->n_free];
    break;
  }
  if (!tensor->grad) tensor->grad = ld_arena_take(&tape->grads, count * sizeof(float));
  if (tape->dry)
    tensor->grad = (float *)&tape->grads; /* any address: a dry pass only asks whether there is one */
  else if (fresh && whole)
    *fresh = true;
  else
    memset(tensor->grad, 0, count * sizeof(float));
}

static void drop_grad(ld_tape *tape, ld_tensor *tensor) {
  if (!tensor->grad) return;
  if (tape->n_free < MAX_FREE) {
    tape->free_grads[tape->n_free].count = count_of(tensor);
    tape->free_grads[tape->n_free++].grad = tensor->grad;
  }
  tensor->grad = NULL;
}

/* Adds the gradient of `from`, which is no longer needed, to that of `to`; gives it away if `to` has none. */
static void hand_on(const ld_tape *tape, ld_tensor *from, ld_tensor *to) {
  if (!to->grad) {
    to->grad = from->grad;
    from->grad = NULL;
  } else if (!tape->dry) {
    ld_row_add(to->grad, from->grad, count_of(to));
  }
}

static void backward_op(ld_tape *tape, const entry *e) {
  const ld_op *op = &e->op;
  if (op->out && !owner(op->out)->grad) return;
  double since = ld_profile_clock(tape->profile);
  for (size_t i = 0; op->in[i]; i++) live_grad(tape, op->in[i], op->fresh ? &op->fresh[i] : NULL);
  ld_profile_lap(tape->profile, &since, "zero", NULL, LD_PROFILE_BACKWARD, 0);
  if (!tape->dry) op->backward(tape, op->self);
  ld_profile_lap(tape->profile, &since, op->name, op->module, LD_PROFILE_BACKWARD, op->work.backward);
  if (op->out && op->accumulate && op->accumulate->trained) hand_on(tape, op->out, op->accumulate);
  /* An operation in place passes its output's gradient on as its input's. */
  if (op->out && !e->in_place) drop_grad(tape, op->out);
  if (tape->poll) tape->poll(tape->poll_user);
}

/* Reports the layers that no operation with a pending backward, before `at`, still has. */
static void tell_trained(const ld_tape *tape, size_t at) {
  for (const ld_linear *const *l = tape->ops[at].op.layers; *l; l++) {
    if (!(*l)->change) continue;
    size_t i = 0;
    while (i < at && !has_layer(&tape->ops[i].op, *l)) i++;
    if (i == at) tape->trained(tape->trained_user, *l);
  }
}

static void walk_back(ld_tape *tape, size_t first, size_t last) {
  for (size_t i = last; i-- > first;) {
    backward_op(tape, &tape->ops[i]);
    if (tape->trained && !tape->dry) tell_trained(tape, i);
  }
}

void ld_tape_backward(ld_tape *tape) {
  size_t end = tape->n_ops;
  for (size_t i = tape->n_blocks; i-- > 0;) {
    const block *b = &tape->blocks[i];
    walk_back(tape, b->last, end);
    block_backward(tape, b);
    end = b->first;
  }
  walk_back(tape, 0, end);
}
