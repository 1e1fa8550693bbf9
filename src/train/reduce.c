#include "train/reduce.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/machine.h"
#include "base/memory.h"
#include "nn/change.h"

/* Numbers per bucket: 512 KiB of sums, 4 ms at 1 Gbit/s. The last bucket, which nothing hides, is then short,
 * and the latency of each does not matter. */
enum { BUCKET = 1 << 16 };

/* From the last parameter to the first, as in the backward pass. The counters stand before the first
 * parameter, so they are in the last bucket. */
void ld_reduce_create(ld_reduce *r, ld_comm *comm, ld_exact *exact) {
  *r = (ld_reduce){.comm = comm, .exact = exact, .params = exact->params};
  r->buckets = ld_alloc(exact->n_params + 1, sizeof *r->buckets);
  r->added = ld_alloc(exact->n_params, sizeof *r->added);
  for (size_t end = exact->n_params; end > 0;) {
    size_t first = end - 1;
    while (first > 0 && exact->first[end] - exact->first[first - 1] <= BUCKET) first--;
    r->buckets[r->n_buckets++] = (ld_bucket){first, end, 0};
    end = first;
  }
}

void ld_reduce_free(ld_reduce *r) {
  free(r->buckets);
  free(r->added);
  *r = (ld_reduce){0};
}

void ld_reduce_begin(ld_reduce *r) {
  ld_exact_reset(r->exact);
  r->n_begun = 0;
  r->last = false;
}

void ld_reduce_microbatch(ld_reduce *r, bool last) {
  memset(r->added, 0, r->exact->n_params * sizeof *r->added);
  for (size_t i = 0; i < r->n_buckets; i++) r->buckets[i].missing = r->buckets[i].end - r->buckets[i].first;
  r->last = last;
}

/* The last bucket waits for ld_reduce_end, when its counters are known. */
static void begin_complete(ld_reduce *r) {
  while (r->n_begun + 1 < r->n_buckets && !r->buckets[r->n_begun].missing) {
    const ld_bucket *b = &r->buckets[r->n_begun++];
    const size_t from = r->exact->first[b->first], to = r->exact->first[b->end];
    ld_comm_begin_sum_i64(r->comm, r->exact->sums + from, to - from);
  }
}

static ld_bucket *bucket_of(ld_reduce *r, size_t param) {
  ld_bucket *b = r->buckets;
  while (param < b->first) b++;
  return b;
}

static void add(ld_reduce *r, size_t param) {
  if (r->added[param]) return;
  r->added[param] = true;
  ld_exact_add(r->exact, param);
  bucket_of(r, param)->missing--;
}

void ld_reduce_layer(ld_reduce *r, const ld_linear *layer) {
  const ld_change *change = layer->change;
  for (int i = 0; i < change->n_params; i++) add(r, (size_t)(change->params + i - r->params));
  if (r->last) begin_complete(r);
}

void ld_reduce_rest(ld_reduce *r) {
  for (size_t i = r->exact->n_params; i-- > 0;) add(r, i);
}

static uint32_t microseconds(double seconds) {
  const double us = seconds * 1e6;
  return us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

void ld_reduce_end(ld_reduce *r, double busy, int busy_counter, ld_waits *waits) {
  const uint32_t mine = microseconds(busy);
  uint32_t slowest = mine;
  const double ready = ld_clock();
  r->exact->sums[busy_counter] = mine;
  for (size_t i = 0; i < r->n_buckets; i++) r->buckets[i].missing = 0;
  begin_complete(r);
  const size_t rest = r->n_buckets ? r->exact->first[r->buckets[r->n_buckets - 1].end] : LD_EXACT_COUNTERS;
  ld_comm_begin_sum_i64(r->comm, r->exact->sums, rest);
  ld_comm_begin_max_u32(r->comm, r->exact->peak, r->exact->n_params);
  ld_comm_begin_max_u32(r->comm, &slowest, 1);
  ld_comm_wait(r->comm);
  const double waited = ld_clock() - ready,
               mean = (double)r->exact->sums[busy_counter] / ld_comm_size(r->comm);
  waits->network += fmax(waited - 1e-6 * (slowest - mine), 0);
  waits->ranks += fmax(1e-6 * (slowest - mean), 0);
}
