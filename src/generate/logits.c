#include "generate/logits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

static void forbid(const ld_generation_settings *s, int32_t id, float *scores) {
  if (id >= 0 && id < s->vocab) scores[id] = -INFINITY;
}

static void forbid_all(const ld_generation_settings *s, const ld_ids *ids, float *scores) {
  for (size_t i = 0; i < ids->n; i++) forbid(s, ids->ids[i], scores);
}

/* Keskar et al., "CTRL", 2019, section 4.1. Each token that the text has counts once. */
static void penalise_repetition(const ld_generation_settings *s, const ld_so_far *text, float *scores) {
  const float penalty = (float)s->repetition_penalty;
  if (s->repetition_penalty == 1) return;
  bool *seen = ld_alloc((size_t)s->vocab, sizeof *seen);
  for (int64_t i = 0; i < text->n; i++) {
    const int32_t id = text->ids[i];
    if (id >= s->vocab || seen[id]) continue;
    seen[id] = true;
    scores[id] = scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty;
  }
  free(seen);
}

/* Forbids what would complete a run of n tokens that the text has already. */
static void forbid_repeated(const ld_generation_settings *s, const ld_so_far *text, float *scores) {
  const int64_t n = s->no_repeat_ngram_size, known = n - 1;
  if (n <= 0 || text->n < n) return;
  const int32_t *end = text->ids + text->n - known;
  for (int64_t i = 0; i + n <= text->n; i++)
    if (!memcmp(text->ids + i, end, (size_t)known * sizeof *end)) forbid(s, text->ids[i + known], scores);
}

/* Forbids the last token of a bad sequence whose other tokens end the text. */
static void forbid_bad_words(const ld_generation_settings *s, const ld_so_far *text, float *scores) {
  for (size_t w = 0; w < s->n_bad_words; w++) {
    const ld_ids *word = &s->bad_words[w];
    const size_t known = word->n - 1;
    if (known < (size_t)text->n + 1 &&
        !memcmp(text->ids + (size_t)text->n - known, word->ids, known * sizeof *word->ids))
      forbid(s, word->ids[known], scores);
  }
}

static void forbid_early_end(const ld_generation_settings *s, const ld_so_far *text, float *scores) {
  if (text->n >= s->min_length && text->n - text->n_prompt >= s->min_new_tokens) return;
  for (int i = 0; i < s->n_stops; i++) forbid(s, s->stops[i], scores);
}

/* Leaves only these tokens possible. */
static void force(const ld_generation_settings *s, const ld_ids *ids, float *scores) {
  for (int i = 0; i < s->vocab; i++) scores[i] = -INFINITY;
  for (size_t i = 0; i < ids->n; i++) scores[ids->ids[i]] = 0;
}

void ld_logits_adjust(const ld_generation_settings *s, const ld_so_far *text, float *scores) {
  /* Where a first token is forced, the next one is the first of the model's choice. */
  const int64_t begin = text->n_prompt + (text->n_prompt == 1 && s->forced_bos.n);
  penalise_repetition(s, text, scores);
  forbid_repeated(s, text, scores);
  forbid_bad_words(s, text, scores);
  forbid_early_end(s, text, scores);
  if (s->forced_bos.n && text->n == 1) force(s, &s->forced_bos, scores);
  if (s->forced_eos.n && text->n == text->limit - 1) force(s, &s->forced_eos, scores);
  forbid_all(s, &s->suppress, scores);
  if (text->n == begin) forbid_all(s, &s->begin_suppress, scores);
}
