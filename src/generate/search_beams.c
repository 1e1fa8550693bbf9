/* Beam search, step by step as transformers 5.24 does it (GenerationMixin._beam_search), with its float32
 * arithmetic: what is out of the running has 1e9 taken from its score, which also tells which of the finished
 * places are still free. Of equal scores the first comes first, by sequence and then by token; there,
 * transformers leaves the order open.
 *
 * With two beams, the end token E, and scores that are sums of log-probabilities:
 *
 *   running          candidates, the best four       finished (score / length)   running next
 *   "a" -1  "b" -2   "a c" -2  "b E" -2.5            "b E" -1.25                 "a c" -2
 *                    "a d" -3  "b c" -4                                          "a d" -3
 *
 * A sequence that ends finishes only if it is among the best num_beams candidates. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "generate/logits.h"
#include "generate/search_kind.h"
#include "linalg/rows.h"

static const float out_of_running = -1e9f;

typedef struct beam {
  ld_ids ids; /* prompt and text */
  float score;
  bool is_finished; /* of a finished place: taken */
} beam;

/* The token that sequence number `from` goes on with, or, merged, a finished place or a candidate. */
typedef struct candidate {
  float score;
  int from;
  int32_t id;
  bool ends;
} candidate;

typedef struct beams {
  int n;                            /* num_beams */
  int n_running;                    /* 1 at first: the prompt, which then stands for all beams */
  int n_candidates;                 /* so many that n of them do not end */
  beam *running, *finished, *spare; /* (n) each */
  candidate *candidates, *merged;   /* (n_candidates), (n + n_candidates) */
  float *row;                       /* (vocab) */
  bool may_improve;
} beams;

static void begin(ld_search *search) {
  const ld_generation_settings *s = search->settings;
  const int ways = s->n_stops > 0 ? s->n_stops + 1 : 2;
  beams *b = search->own = ld_alloc(1, sizeof *b);
  *b = (beams){.n = (int)s->num_beams, .n_running = 1, .may_improve = true};
  b->n_candidates = (ways < s->vocab ? ways : s->vocab) * b->n;
  b->running = ld_alloc((size_t)b->n, sizeof *b->running);
  b->finished = ld_alloc((size_t)b->n, sizeof *b->finished);
  b->spare = ld_alloc((size_t)b->n, sizeof *b->spare);
  b->candidates = ld_alloc((size_t)b->n_candidates, sizeof *b->candidates);
  b->merged = ld_alloc((size_t)b->n + (size_t)b->n_candidates, sizeof *b->merged);
  b->row = ld_alloc((size_t)s->vocab, sizeof *b->row);
  for (int i = 0; i < b->n; i++) {
    for (size_t k = 0; k < search->prompt.n; k++) ld_ids_push(&b->running[i].ids, search->prompt.ids[k]);
    b->running[i].score = i ? out_of_running : 0;
    b->finished[i].score = out_of_running;
  }
}

static void free_beams(beam *list, int n) {
  for (int i = 0; i < n; i++) ld_ids_free(&list[i].ids);
  free(list);
}

static void free_own(ld_search *search) {
  beams *b = search->own;
  free_beams(b->running, b->n);
  free_beams(b->finished, b->n);
  free_beams(b->spare, b->n);
  free(b->candidates);
  free(b->merged);
  free(b->row);
  free(b);
}

/* Logits to log-probabilities. */
static void log_softmax(float *x, float *scratch, int n) {
  const float max = ld_row_max(x, n);
  memcpy(scratch, x, (size_t)n * sizeof *x);
  const float log_sum = (float)log(ld_row_exp(scratch, max, n));
  for (int i = 0; i < n; i++) x[i] = x[i] - max - log_sum;
}

/* Inserts into a list of `most`, best first, that holds n; returns how many it holds then. */
static int insert(candidate *list, int n, int most, candidate added) {
  int at = n < most ? n : most - 1;
  for (; at > 0 && list[at - 1].score < added.score; at--) list[at] = list[at - 1];
  list[at] = added;
  return n < most ? n + 1 : most;
}

/* Finds the best tokens to go on with, over all beams. */
static void find_candidates(ld_search *search, float *logits) {
  const ld_generation_settings *s = search->settings;
  beams *b = search->own;
  const int V = s->vocab, most = b->n_candidates;
  int n = 0;
  for (int i = 0; i < b->n_running; i++) {
    const ld_ids *ids = &b->running[i].ids;
    const ld_so_far so_far = {ids->ids, (int64_t)ids->n, (int64_t)search->prompt.n, search->limit};
    log_softmax(logits + (size_t)i * (size_t)V, b->row, V);
    ld_logits_adjust(s, &so_far, logits + (size_t)i * (size_t)V);
  }
  for (int i = 0; i < b->n; i++) {
    const float *row = logits + (size_t)(i < b->n_running ? i : 0) * (size_t)V;
    const float score = b->running[i].score;
    for (int32_t id = 0; id < V; id++) {
      const float sum = row[id] + score;
      if (n == most && sum <= b->candidates[n - 1].score) continue;
      n = insert(b->candidates, n, most, (candidate){.score = sum, .from = i, .id = id});
    }
  }
  const bool last = (int64_t)b->running[0].ids.n + 1 >= search->limit;
  for (int i = 0; i < n; i++) b->candidates[i].ends = last || ld_generation_stops(s, b->candidates[i].id);
}

static void copy_ids(ld_ids *to, const ld_ids *from) {
  to->n = 0;
  for (size_t i = 0; i < from->n; i++) ld_ids_push(to, from->ids[i]);
}

static void swap_spare(beams *b, beam **list) {
  beam *old = *list;
  *list = b->spare;
  b->spare = old;
}

static bool all_finished(const beams *b) {
  int n = 0;
  while (n < b->n && b->finished[n].is_finished) n++;
  return n == b->n;
}

/* Moves candidates that ended to the finished places, if they are better than what is there. */
static void finish_candidates(const ld_search *search, beams *b) {
  const ld_generation_settings *s = search->settings;
  const int64_t length = (int64_t)(b->running[0].ids.n + 1 - search->prompt.n);
  const float per = (float)pow((double)length, s->length_penalty);
  const bool full = s->early_stopping == LD_EARLY_STOPPING_YES && all_finished(b);
  int n = 0;
  for (int i = 0; i < b->n; i++)
    n = insert(b->merged, n, b->n, (candidate){.score = b->finished[i].score, .from = -1 - i});
  for (int i = 0; i < b->n_candidates; i++) {
    float score = b->candidates[i].score / per;
    if (full) score += out_of_running;
    if (!b->may_improve) score += out_of_running;
    if (!b->candidates[i].ends || i >= b->n) score += out_of_running;
    if (n < b->n || score > b->merged[n - 1].score)
      n = insert(b->merged, n, b->n, (candidate){.score = score, .from = i});
  }
  for (int i = 0; i < b->n; i++) {
    const int from = b->merged[i].from;
    beam *to = &b->spare[i];
    if (from < 0) {
      copy_ids(&to->ids, &b->finished[-1 - from].ids);
      to->is_finished = b->finished[-1 - from].is_finished;
    } else {
      copy_ids(&to->ids, &b->running[b->candidates[from].from].ids);
      ld_ids_push(&to->ids, b->candidates[from].id);
      to->is_finished = b->candidates[from].ends && from < b->n;
    }
    to->score = b->merged[i].score;
  }
  swap_spare(b, &b->finished);
}

/* The best candidates that do not end run next. */
static void choose_running(beams *b, ld_continuation *next) {
  int n = 0;
  for (int i = 0; i < b->n_candidates; i++) {
    candidate c = b->candidates[i];
    if (c.ends) c.score += out_of_running;
    if (n < b->n || c.score > b->merged[n - 1].score) n = insert(b->merged, n, b->n, c);
  }
  for (int i = 0; i < b->n; i++) {
    const candidate *c = &b->merged[i];
    copy_ids(&b->spare[i].ids, &b->running[c->from].ids);
    ld_ids_push(&b->spare[i].ids, c->id);
    b->spare[i].score = c->score;
    next[i] = (ld_continuation){c->from < b->n_running ? c->from : 0, c->id};
  }
  swap_spare(b, &b->running);
  b->n_running = b->n;
}

/* Whether the best running beam could still become better than the worst finished one. */
static bool can_improve(const ld_search *search, const beams *b) {
  const ld_generation_settings *s = search->settings;
  const bool longest = s->early_stopping == LD_EARLY_STOPPING_NEVER && s->length_penalty > 0;
  const int64_t whole = longest ? search->limit : (int64_t)b->running[0].ids.n;
  const float best =
      b->running[0].score / (float)pow((double)(whole - (int64_t)search->prompt.n), s->length_penalty);
  const float worst = b->finished[b->n - 1].score;
  return best > (all_finished(b) ? worst : out_of_running);
}

static void settle(ld_search *search) {
  const beams *b = search->own;
  const beam *best = &b->finished[0];
  size_t end = best->ids.n;
  if (end > search->prompt.n && ld_generation_stops(search->settings, best->ids.ids[end - 1])) end--;
  for (size_t i = search->prompt.n; i < end; i++) ld_ids_push(&search->text, best->ids.ids[i]);
  search->score = best->score;
}

static int step(ld_search *search, float *logits, ld_continuation *next) {
  beams *b = search->own;
  bool all_end = true;
  find_candidates(search, logits);
  for (int i = 0; i < b->n_candidates; i++) all_end = all_end && b->candidates[i].ends;
  finish_candidates(search, b);
  choose_running(b, next);
  b->may_improve = b->may_improve && can_improve(search, b);
  const bool full = search->settings->early_stopping == LD_EARLY_STOPPING_YES && all_finished(b);
  if (b->may_improve && !full && !all_end) return b->n;
  settle(search);
  return 0;
}

const ld_search_kind ld_search_beams = {begin, step, free_own};
