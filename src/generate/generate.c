#include "generate/generate.h"

#include <stdlib.h>

#include "base/memory.h"
#include "generate/search.h"

/* A text being written, in slots of its own. */
typedef struct writing {
  ld_search *search; /* NULL once it has ended */
  int first_slot, source;
  int n_running;
  int *slots;            /* (num_beams) of the running sequences */
  ld_continuation *next; /* (num_beams) */
} writing;

/* All of them. */
typedef struct room {
  ld_generator *generator;
  const ld_prompt *prompts;
  writing *list;
  int n, n_beams;
  ld_addition *additions; /* (n n_beams) */
  int32_t start;          /* of a text whose prompt is only read */
  ld_text_sink sink;
  void *user;
} room;

/* What the text continues. */
static ld_ids beginning_of(const room *r, const ld_prompt *prompt) {
  return prompt->text.n ? prompt->text : (ld_ids){(int32_t *)&r->start, 1, 1};
}

void ld_generator_free(ld_generator *generator) {
  ld_decoder_free(&generator->decoder);
}

static void poll_comm(void *user) {
  ld_comm_poll(user);
}

/* Begins the searches, and makes room for the longest texts that they may find. */
static int begin(room *r, ld_error *err) {
  const ld_generator *g = r->generator;
  const int positions = g->base->model->max_positions;
  int64_t longest = 0, limit;
  ld_decoder_size size = {.n_slots = r->n * r->n_beams};
  for (int i = 0; i < r->n; i++) {
    const ld_prompt *p = &r->prompts[i];
    const ld_ids begin = beginning_of(r, p);
    const int rc = ld_generation_limit(g->settings, (int64_t)begin.n, positions, &limit, err);
    if (rc) return rc;
    r->list[i] = (writing){.search = ld_search_begin(g->settings, &begin, limit, p->record),
                           .first_slot = i * r->n_beams,
                           .source = i,
                           .n_running = 1,
                           .slots = ld_alloc((size_t)r->n_beams, sizeof(int)),
                           .next = ld_alloc((size_t)r->n_beams, sizeof(ld_continuation))};
    r->list[i].slots[0] = r->list[i].first_slot;
    if (limit > longest) longest = limit;
    if (!p->source.n) continue;
    size.n_sources = r->n;
    if ((int)p->source.n > size.source_capacity) size.source_capacity = (int)p->source.n;
  }
  size.capacity = (int)(longest - 1); /* the last token is not run */
  const int rc = ld_decoder_begin(&r->generator->decoder, g->base, size, err);
  if (!rc) ld_decoder_on_poll(&r->generator->decoder, poll_comm, g->comm);
  return rc;
}

static int free_slot(const writing *w, const int *taken, int n) {
  for (int slot = w->first_slot;; slot++) {
    int i = 0;
    while (i < n && taken[i] != slot) i++;
    if (i == n) return slot;
  }
}

/* Gives each sequence that runs next a slot: the first one after a sequence takes that one's, the others get
 * copies. */
static void move_slots(ld_decoder *decoder, writing *w, int n_next) {
  int *slots = ld_alloc((size_t)n_next, sizeof *slots), n_taken = 0;
  int *taken = ld_alloc((size_t)n_next, sizeof *taken);
  bool *goes_on = ld_alloc((size_t)w->n_running, sizeof *goes_on);
  for (int i = 0; i < n_next; i++) {
    const int parent = w->next[i].parent;
    slots[i] = goes_on[parent] ? -1 : w->slots[parent];
    if (!goes_on[parent]) taken[n_taken++] = slots[i];
    goes_on[parent] = true;
  }
  for (int i = 0; i < n_next; i++) {
    if (slots[i] >= 0) continue;
    slots[i] = free_slot(w, taken, n_taken);
    taken[n_taken++] = slots[i];
    ld_decoder_copy(decoder, w->slots[w->next[i].parent], slots[i]);
  }
  for (int i = 0; i < n_next; i++) w->slots[i] = slots[i];
  w->n_running = n_next;
  free(slots);
  free(taken);
  free(goes_on);
}

/* Gives a search its logits. */
static void advance(room *r, int i, float *logits) {
  writing *w = &r->list[i];
  const int n_next = ld_search_step(w->search, logits, w->next);
  const bool goes_on = r->sink(i, &w->search->text, !n_next, r->user);
  if (n_next && goes_on) {
    move_slots(&r->generator->decoder, w, n_next);
    return;
  }
  ld_search_free(w->search);
  w->search = NULL;
}

/* Lists what the model runs next; returns how many. */
static int list_additions(const room *r, bool first) {
  int n = 0;
  for (int i = 0; i < r->n; i++) {
    const writing *w = &r->list[i];
    const ld_prompt *p = &r->prompts[i];
    const ld_ids begin = beginning_of(r, p);
    if (first)
      r->additions[n++] =
          (ld_addition){w->first_slot, begin.ids, (int)begin.n, w->source, p->source.n ? &p->source : NULL};
    else if (w->search)
      for (int k = 0; k < w->n_running; k++)
        r->additions[n++] = (ld_addition){w->slots[k], &w->next[k].id, 1, w->source, NULL};
  }
  return n;
}

static int run(room *r, ld_error *err) {
  const size_t V = (size_t)r->generator->base->model->vocab;
  int n, rc = 0;
  for (bool first = true; !rc && (n = list_additions(r, first)) > 0; first = false) {
    float *logits;
    rc = ld_decoder_run(&r->generator->decoder, r->additions, n, &logits, err);
    for (int i = 0; i < r->n && !rc; i++) {
      if (!r->list[i].search) continue;
      const size_t rows = (size_t)r->list[i].n_running;
      advance(r, i, logits);
      logits += rows * V;
    }
  }
  return rc;
}

int ld_generate(ld_generator *generator, const ld_prompt *prompts, int n, ld_text_sink sink, void *user,
                ld_error *err) {
  const int n_beams = (int)generator->settings->num_beams;
  room r = {.generator = generator,
            .prompts = prompts,
            .list = ld_alloc((size_t)n, sizeof(writing)),
            .n = n,
            .n_beams = n_beams,
            .additions = ld_alloc((size_t)n * (size_t)n_beams, sizeof(ld_addition)),
            .start = generator->settings->decoder_start,
            .sink = sink,
            .user = user};
  int rc = begin(&r, err);
  if (!rc) rc = run(&r, err);
  for (int i = 0; i < n; i++) {
    ld_search_free(r.list[i].search);
    free(r.list[i].slots);
    free(r.list[i].next);
  }
  free(r.list);
  free(r.additions);
  return rc;
}
