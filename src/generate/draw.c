/* As in transformers: temperature, then the k likeliest, then the smallest set with probability p (including
 * the token that crosses p). The likeliest come one by one off a heap: no more are put in order than are
 * needed. */
#include "generate/draw.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "linalg/rows.h"

typedef struct choice {
  float logit;
  int32_t id;
} choice;

static bool is_likelier(choice a, choice b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

/* Moves the choice at the root of a heap of n down to its place. */
static void sink(choice *heap, int n, int root) {
  const choice moved = heap[root];
  for (int child; (child = 2 * root + 1) < n; root = child) {
    child += child + 1 < n && is_likelier(heap[child + 1], heap[child]);
    if (!is_likelier(heap[child], moved)) break;
    heap[root] = heap[child];
  }
  heap[root] = moved;
}

static choice pop(choice *heap, int *n) {
  const choice top = heap[0];
  heap[0] = heap[--*n];
  sink(heap, *n, 0);
  return top;
}

/* The distribution: the likeliest tokens in order, as far as they were needed, and the rest as a heap. */
typedef struct likely {
  choice *heap, *order;
  double *weight; /* of those in order */
  int n_heap, n_order;
  float best;
  double temperature;
} likely;

static double weight_of(const likely *l, choice c) {
  return exp(((double)c.logit - (double)l->best) / l->temperature);
}

/* The i-th likeliest. */
static double weight_at(likely *l, int i) {
  for (; l->n_order <= i; l->n_order++) {
    l->order[l->n_order] = pop(l->heap, &l->n_heap);
    if (!l->n_order) l->best = l->order[0].logit;
    l->weight[l->n_order] = weight_of(l, l->order[l->n_order]);
  }
  return l->weight[i];
}

/* The weight of the n likeliest. */
static double total_weight(likely *l, int n, int vocab) {
  double total = 0;
  if (n < vocab) {
    for (int i = 0; i < n; i++) total += weight_at(l, i);
    return total;
  }
  total = weight_at(l, 0);
  for (int i = 0; i < l->n_heap; i++) total += weight_of(l, l->heap[i]);
  return total;
}

int32_t ld_draw(const ld_generation_settings *s, const float *logits, double draw) {
  const int V = s->vocab, n = s->top_k > 0 && s->top_k < V ? (int)s->top_k : V;
  const int best = ld_row_argmax(logits, V);
  if (s->temperature <= 0 || isinf(logits[best])) return best;
  likely l = {.heap = ld_alloc((size_t)V, sizeof(choice)),
              .order = ld_alloc((size_t)V, sizeof(choice)),
              .weight = ld_alloc((size_t)V, sizeof(double)),
              .n_heap = V,
              .temperature = s->temperature};
  for (int i = 0; i < V; i++) l.heap[i] = (choice){logits[i], i};
  for (int i = V / 2; i-- > 0;) sink(l.heap, V, i);
  const double total = total_weight(&l, n, V);
  /* With top_p 1 the last one only matters to a draw that the sum before it does not reach. */
  double kept = total;
  int last = n - 1;
  if (s->top_p < 1) {
    kept = 0;
    for (last = 0; last < n; last++)
      if ((kept += weight_at(&l, last)) >= s->top_p * total) break;
    if (last == n) last = n - 1;
  }
  double sum = 0;
  int i = 0;
  for (; i < last; i++)
    if ((sum += weight_at(&l, i)) > draw * kept) break;
  weight_at(&l, i);
  const int32_t id = l.order[i].id;
  free(l.heap);
  free(l.order);
  free(l.weight);
  return id;
}
