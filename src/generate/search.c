#include "generate/search.h"

#include <stdlib.h>

#include "base/memory.h"

ld_search *ld_search_begin(const ld_generation_settings *settings, const ld_ids *prompt, int64_t limit,
                           uint64_t record) {
  ld_search *search = ld_alloc(1, sizeof *search);
  search->kind = settings->num_beams > 1 ? &ld_search_beams : &ld_search_single;
  search->settings = settings;
  search->limit = limit;
  search->random = ld_rng_stream(settings->seed, LD_RNG_SAMPLE, record, 0);
  for (size_t i = 0; i < prompt->n; i++) ld_ids_push(&search->prompt, prompt->ids[i]);
  search->kind->begin(search);
  return search;
}

void ld_search_free(ld_search *search) {
  if (!search) return;
  search->kind->free(search);
  ld_ids_free(&search->prompt);
  ld_ids_free(&search->text);
  free(search);
}

int ld_search_step(ld_search *search, float *logits, ld_continuation *next) {
  return search->kind->step(search, logits, next);
}
