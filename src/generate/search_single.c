/* One sequence: the likeliest token each time, or a drawn one. */
#include <stdlib.h>

#include "base/memory.h"
#include "generate/draw.h"
#include "generate/logits.h"
#include "generate/search_kind.h"

/* Its own is the whole sequence, prompt and text. */
static void begin(ld_search *search) {
  ld_ids *whole = search->own = ld_alloc(1, sizeof *whole);
  for (size_t i = 0; i < search->prompt.n; i++) ld_ids_push(whole, search->prompt.ids[i]);
}

static int step(ld_search *search, float *logits, ld_continuation *next) {
  ld_ids *whole = search->own;
  const ld_so_far so_far = {whole->ids, (int64_t)whole->n, (int64_t)search->prompt.n, search->limit};
  ld_logits_adjust(search->settings, &so_far, logits);
  const double draw = (double)(ld_rng_u64(&search->random, search->text.n) >> 11) * 0x1p-53;
  const int32_t id = ld_draw(search->settings, logits, draw);
  if (ld_generation_stops(search->settings, id)) return 0;
  ld_ids_push(whole, id);
  ld_ids_push(&search->text, id);
  *next = (ld_continuation){0, id};
  return (int64_t)whole->n < search->limit;
}

static void free_own(ld_search *search) {
  ld_ids_free(search->own);
  free(search->own);
}

const ld_search_kind ld_search_single = {begin, step, free_own};
