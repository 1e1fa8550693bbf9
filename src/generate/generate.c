#include "generate/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"
#include "linalg/rows.h"
#include "nn/linear.h"
#include "nn/ops.h"

typedef struct choice {
  float logit;
  int32_t id;
} choice;

static int likelier_first(const void *a, const void *b) {
  const choice *x = a, *y = b;
  if (x->logit != y->logit) return x->logit < y->logit ? 1 : -1;
  return x->id < y->id ? -1 : 1;
}

/* As in transformers: temperature, then the k likeliest, then the smallest set with probability p (including
 * the token that crosses p). */
int32_t ld_pick(float *logits, int V, double temperature, int64_t top_k, double top_p, double draw) {
  if (temperature <= 0) return ld_row_argmax(logits, V);
  choice *order = ld_alloc((size_t)V, sizeof *order);
  for (int i = 0; i < V; i++) order[i] = (choice){logits[i], i};
  qsort(order, (size_t)V, sizeof *order, likelier_first);
  int n = top_k > 0 && top_k < V ? (int)top_k : V;
  double total = 0, kept = 0;
  for (int i = 0; i < n; i++) total += exp(((double)order[i].logit - (double)order[0].logit) / temperature);
  int last = 0;
  for (; last < n; last++) {
    kept += exp(((double)order[last].logit - (double)order[0].logit) / temperature);
    if (kept >= top_p * total) break;
  }
  if (last == n) last = n - 1;
  double sum = 0;
  int32_t id = order[last].id;
  for (int i = 0; i <= last; i++) {
    sum += exp(((double)order[i].logit - (double)order[0].logit) / temperature);
    if (sum > draw * kept) {
      id = order[i].id;
      break;
    }
  }
  free(order);
  return id;
}

/* A generation in progress. */
typedef struct generator {
  const ld_base *base;
  ld_tape *tape;
  ld_cache cache;
  int32_t length; /* of the cache */
  int32_t *ids, *positions;
  float *logits, *kept; /* kept: for the head's product */
} generator;

static void generator_create(generator *g, const ld_base *base, int capacity) {
  const ld_model *model = base->model;
  *g = (generator){.base = base, .tape = ld_tape_create()};
  g->cache = (ld_cache){.n_blocks = model->n_blocks,
                        .n_slots = 1,
                        .capacity = capacity,
                        .width = model->kv_width,
                        .length = &g->length};
  const size_t count = (size_t)model->n_blocks * (size_t)capacity * (size_t)model->kv_width;
  g->cache.keys = ld_alloc(count, sizeof(float));
  g->cache.values = ld_alloc(count, sizeof(float));
  g->ids = ld_alloc((size_t)capacity, sizeof *g->ids);
  g->positions = ld_alloc((size_t)capacity, sizeof *g->positions);
  g->logits = ld_alloc((size_t)model->vocab, sizeof *g->logits);
  g->kept = ld_alloc((size_t)ld_linear_kept(model->head), sizeof *g->kept);
}

static void generator_free(generator *g) {
  ld_tape_free(g->tape);
  free(g->cache.keys);
  free(g->cache.values);
  free(g->ids);
  free(g->positions);
  free(g->logits);
  free(g->kept);
}

static void head_logits(generator *g, const float *x) {
  const ld_linear *head = g->base->model->head;
  const ld_product p = {.layer = head,
                        .T = 1,
                        .x = {(float *)x, head->in},
                        .y = {g->logits, head->out},
                        .kept = {g->kept, ld_linear_kept(head)}};
  ld_linear_read(&p);
  ld_linear_forward(&p);
}

static const int32_t first_slot = 0;

static ld_batch make_batch(const generator *g, int n, const int32_t segment[2]) {
  return (ld_batch){.fields = {{.name = LD_TEXT,
                                .n_rows = n,
                                .n_segments = 1,
                                .segment = segment,
                                .ids = g->ids,
                                .positions = g->positions,
                                .cache = (ld_cache *)&g->cache,
                                .slot = &first_slot}}};
}

/* Sizes the tape for passes of n ids that follow up to `past` others. */
static bool fit(generator *g, int n, int past) {
  const int32_t segment[2] = {0, n};
  const ld_batch batch = make_batch(g, n, segment);
  const int32_t length = g->length;
  g->length = past;
  ld_tape_begin(g->tape, LD_PASS_INFER, true, false);
  g->base->model->family->features(g->base->model, g->tape, &batch);
  g->length = length;
  return ld_tape_reserve(g->tape);
}

/* Runs n ids that follow those in the cache; leaves the last one's logits in g->logits. */
static void advance(generator *g, const int32_t *ids, int n) {
  const ld_model *model = g->base->model;
  const int32_t segment[2] = {0, n};
  for (int i = 0; i < n; i++) {
    g->ids[i] = ids[i];
    g->positions[i] = g->length + i;
  }
  const ld_batch batch = make_batch(g, n, segment);
  ld_tape_begin(g->tape, LD_PASS_INFER, false, false);
  const ld_tensor *x = model->family->features(model, g->tape, &batch);
  head_logits(g, x->data + (size_t)(n - 1) * (size_t)x->stride);
  g->length += n;
}

static int check_finite(const generator *g, ld_error *err) {
  for (int i = 0; i < g->base->model->vocab; i++)
    if (!isfinite(g->logits[i]))
      return ld_fail(err, LD_ENUMERIC,
                     "%s: the logits after token %d are not finite: the model or the adapter holds NaN or "
                     "infinite values",
                     ld_model_folder_path(g->base->folder), g->length);
  return 0;
}

static bool is_stop(const ld_base *base, int32_t id) {
  for (int i = 0; i < base->n_stops; i++)
    if (base->stops[i] == id) return true;
  return false;
}

int ld_generate(const ld_base *base, const ld_options *options, const int32_t *prompt, int n_prompt,
                ld_token_sink sink, void *user, ld_error *err) {
  const int most = base->model->max_positions;
  const int64_t wanted = n_prompt + options->max_tokens;
  generator g;
  generator_create(&g, base, wanted < most ? (int)wanted : most);
  const ld_stream stream = ld_rng_stream((uint64_t)options->seed, LD_RNG_SAMPLE, 0, 0);
  bool enough = fit(&g, n_prompt, 0);
  if (enough) advance(&g, prompt, n_prompt);
  enough = enough && fit(&g, 1, g.cache.capacity - 1);
  int rc = 0;
  for (int64_t i = 0; enough && i < options->max_tokens; i++) {
    rc = check_finite(&g, err);
    if (rc) break;
    const double draw = (double)(ld_rng_u64(&stream, (uint64_t)i) >> 11) * 0x1p-53;
    const int32_t id =
        ld_pick(g.logits, base->model->vocab, options->temperature, options->top_k, options->top_p, draw);
    if (is_stop(base, id) || !sink(id, user)) break;
    if (g.length == g.cache.capacity) break;
    advance(&g, &id, 1);
  }
  generator_free(&g);
  if (!enough)
    return ld_fail(err, LD_EMEMORY,
                   "out of memory: there is not enough for the %d tokens of the prompt at once: %s", n_prompt,
                   LD_MEMORY_REMEDY);
  return rc;
}
