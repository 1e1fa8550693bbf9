#include "generate/decoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/linear.h"

static size_t cache_floats(const ld_cache *cache) {
  return (size_t)cache->n_blocks * (size_t)cache->n_slots * (size_t)cache->capacity * (size_t)cache->width;
}

static void *carve(ld_arena *memory, size_t count, size_t size) {
  return ld_arena_take(memory, count * size);
}

static void carve_cache(ld_arena *memory, ld_cache *cache) {
  cache->length = carve(memory, (size_t)cache->n_slots, sizeof *cache->length);
  cache->keys = carve(memory, cache_floats(cache), sizeof *cache->keys);
  cache->values = carve(memory, cache_floats(cache), sizeof *cache->values);
}

static void carve_all(ld_decoder *d, ld_arena *memory) {
  const ld_model *model = d->base->model;
  const size_t n = (size_t)d->texts.n_slots;
  carve_cache(memory, &d->texts);
  carve_cache(memory, &d->sources);
  d->ids = carve(memory, n * (size_t)d->texts.capacity, sizeof *d->ids);
  d->text_slots = carve(memory, n, sizeof *d->text_slots);
  d->source_slots = carve(memory, n, sizeof *d->source_slots);
  d->last = carve(memory, n * (size_t)model->head->in, sizeof *d->last);
  d->kept = carve(memory, n * (size_t)ld_linear_kept(model->head), sizeof *d->kept);
  d->logits = carve(memory, n * (size_t)model->vocab, sizeof *d->logits);
}

/* Memory that is large enough is used again. */
static int make_room(ld_decoder *d, ld_error *err) {
  ld_arena needed;
  ld_arena_init(&needed);
  carve_all(d, &needed);
  if (needed.peak > d->memory.size && !ld_arena_reserve(&d->memory, needed.peak))
    return ld_fail(err, LD_EMEMORY,
                   "out of memory: the keys and values of %d sequences of up to %d tokens need %.1f MiB per "
                   "rank: lower --micro-batch, --beams or --max-tokens, or " LD_MEMORY_REMEDY,
                   d->texts.n_slots, d->texts.capacity, (double)needed.peak / 0x1p20);
  d->memory.used = 0;
  carve_all(d, &d->memory);
  return 0;
}

static void set_lengths(ld_cache *cache, int32_t length) {
  for (int i = 0; i < cache->n_slots; i++) cache->length[i] = length;
}

/* Appends a segment of n ids. */
static void lay(ld_lane *lane, const int32_t *ids, int n, int32_t position) {
  ld_lane_begin_segment(lane);
  const int at = ld_lane_add(lane, n, 0);
  for (int i = 0; i < n; i++) {
    lane->ids[at + i] = ids[i];
    lane->positions[at + i] = position + i;
    lane->types[at + i] = 0;
  }
}

static ld_field field_of(ld_lane *lane, ld_cache *cache, const int32_t *slots) {
  ld_field field = ld_lane_field(lane);
  field.cache = cache;
  field.slot = slots;
  return field;
}

static ld_batch batch_of(ld_decoder *d, const ld_addition *additions, int n) {
  ld_lane_clear(&d->text);
  ld_lane_clear(&d->source);
  for (int i = 0; i < n; i++) {
    const ld_addition *a = &additions[i];
    lay(&d->text, a->ids, a->n, d->texts.length[a->slot]);
    lay(&d->source, a->read ? a->read->ids : NULL, a->read ? (int)a->read->n : 0, 0);
    d->text_slots[i] = a->slot;
    d->source_slots[i] = a->source;
  }
  const ld_field text = field_of(&d->text, &d->texts, d->text_slots);
  if (!d->sources.n_slots) return (ld_batch){.fields = {text}};
  return (ld_batch){.fields = {field_of(&d->source, &d->sources, d->source_slots), text}};
}

static bool fit(const ld_decoder *d, ld_tape *tape, const ld_batch *batch) {
  ld_tape_begin(tape, LD_PASS_INFER, true, false);
  d->base->model->family->features(d->base->model, tape, batch);
  return ld_tape_reserve(tape);
}

static int fail_fit(ld_error *err) {
  return ld_fail(err, LD_EMEMORY,
                 "out of memory for a pass of the model: lower --micro-batch, --beams or "
                 "--seq-len, or " LD_MEMORY_REMEDY);
}

/* Makes room for steps: of all sequences at once, when they are longest. */
static int fit_steps(ld_decoder *d, ld_error *err) {
  const int32_t id = 0;
  ld_addition *all = ld_alloc((size_t)d->texts.n_slots, sizeof *all);
  for (int i = 0; i < d->texts.n_slots; i++) all[i] = (ld_addition){.slot = i, .ids = &id, .n = 1};
  set_lengths(&d->texts, d->texts.capacity - 1);
  set_lengths(&d->sources, d->sources.capacity);
  const ld_batch batch = batch_of(d, all, d->texts.n_slots);
  const bool enough = fit(d, d->steps, &batch);
  free(all);
  return enough ? 0 : fail_fit(err);
}

int ld_decoder_begin(ld_decoder *d, const ld_base *base, ld_decoder_size size, ld_error *err) {
  const ld_model *model = base->model;
  d->base = base;
  d->text.name = LD_TEXT;
  d->source.name = LD_SOURCE;
  d->texts = (ld_cache){model->n_blocks, size.n_slots, size.capacity, model->kv_width, NULL, NULL, NULL};
  d->sources =
      (ld_cache){model->n_blocks, size.n_sources, size.source_capacity, model->kv_width, NULL, NULL, NULL};
  if (!d->reads) d->reads = ld_tape_create();
  if (!d->steps) d->steps = ld_tape_create();
  int rc = make_room(d, err);
  if (!rc) rc = fit_steps(d, err);
  if (rc) return rc;
  set_lengths(&d->texts, 0);
  set_lengths(&d->sources, 0);
  return 0;
}

void ld_decoder_free(ld_decoder *d) {
  ld_tape_free(d->reads);
  ld_tape_free(d->steps);
  ld_arena_free(&d->memory);
  ld_lane_free(&d->text);
  ld_lane_free(&d->source);
  *d = (ld_decoder){0};
}

void ld_decoder_on_poll(ld_decoder *d, void (*poll)(void *user), void *user) {
  ld_tape_on_poll(d->reads, poll, user);
  ld_tape_on_poll(d->steps, poll, user);
}

static bool is_step(const ld_addition *additions, int n) {
  for (int i = 0; i < n; i++)
    if (additions[i].n != 1 || additions[i].read) return false;
  return true;
}

/* The logits of the last row of each segment. */
static void find_logits(ld_decoder *d, const ld_tensor *x, int n) {
  const ld_linear *head = d->base->model->head;
  for (int i = 0; i < n; i++)
    memcpy(d->last + (size_t)i * (size_t)head->in,
           x->data + (size_t)(d->text.segment[i + 1] - 1) * (size_t)x->stride,
           (size_t)head->in * sizeof *d->last);
  const ld_product p = {.layer = head,
                        .T = n,
                        .x = ld_side_at(d->last, head->in),
                        .y = ld_side_at(d->logits, head->out),
                        .kept = ld_side_at(d->kept, ld_linear_kept(head))};
  ld_linear_read(&p);
  ld_linear_forward(&p);
}

static int check_finite(const ld_decoder *d, const ld_addition *additions, int n, ld_error *err) {
  const int V = d->base->model->vocab;
  for (int i = 0; i < n; i++) {
    const float *logits = d->logits + (size_t)i * (size_t)V;
    int finite = 0;
    while (finite < V && isfinite(logits[finite])) finite++;
    if (finite < V)
      return ld_fail(err, LD_ENUMERIC,
                     "%s: the logits after token %d are not finite: the model or the adapter holds NaN or "
                     "infinite values",
                     ld_model_folder_path(d->base->folder), d->texts.length[additions[i].slot]);
  }
  return 0;
}

int ld_decoder_run(ld_decoder *d, const ld_addition *additions, int n, float **logits, ld_error *err) {
  const ld_model *model = d->base->model;
  const ld_batch batch = batch_of(d, additions, n);
  ld_tape *tape = is_step(additions, n) ? d->steps : d->reads;
  if (tape == d->reads && !fit(d, tape, &batch)) return fail_fit(err);
  ld_tape_begin(tape, LD_PASS_INFER, false, false);
  find_logits(d, model->family->features(model, tape, &batch), n);
  for (int i = 0; i < n; i++) {
    const ld_addition *a = &additions[i];
    int32_t *length = &d->texts.length[a->slot];
    memcpy(d->ids + (size_t)a->slot * (size_t)d->texts.capacity + *length, a->ids,
           (size_t)a->n * sizeof *a->ids);
    *length += a->n;
    if (a->read) d->sources.length[a->source] = (int32_t)a->read->n;
  }
  *logits = d->logits;
  return check_finite(d, additions, n, err);
}

/* Sequences of one prompt have the same keys and values as far as they have the same ids. */
void ld_decoder_copy(ld_decoder *d, int from, int to) {
  const ld_cache *c = &d->texts;
  const int32_t *ids = d->ids + (size_t)from * (size_t)c->capacity;
  int32_t *own = d->ids + (size_t)to * (size_t)c->capacity;
  const int n = c->length[from];
  int same = 0;
  while (same < n && same < c->length[to] && ids[same] == own[same]) same++;
  for (int block = 0; block < c->n_blocks; block++) {
    const size_t slots = (size_t)block * (size_t)c->n_slots, row = (size_t)c->width;
    const size_t source = ((slots + (size_t)from) * (size_t)c->capacity + (size_t)same) * row;
    const size_t target = ((slots + (size_t)to) * (size_t)c->capacity + (size_t)same) * row;
    const size_t bytes = (size_t)(n - same) * row * sizeof(float);
    memcpy(c->keys + target, c->keys + source, bytes);
    memcpy(c->values + target, c->values + source, bytes);
  }
  memcpy(own + same, ids + same, (size_t)(n - same) * sizeof *own);
  c->length[to] = n;
}
