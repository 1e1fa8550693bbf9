/* What every kind of search provides. To add one, write its file, and choose it in search.c. */
#ifndef LD_SEARCH_KIND_H
#define LD_SEARCH_KIND_H

#include "base/rng.h"
#include "generate/settings.h"

typedef struct ld_search ld_search;

/* A sequence that runs next: number `parent` of the present ones, then `id`. */
typedef struct ld_continuation {
  int parent;
  int32_t id;
} ld_continuation;

/* As ld_search_begin, ld_search_step and ld_search_free. */
typedef struct ld_search_kind {
  void (*begin)(ld_search *search);
  int (*step)(ld_search *search, float *logits, ld_continuation *next);
  void (*free)(ld_search *search);
} ld_search_kind;

struct ld_search {
  const ld_search_kind *kind;
  const ld_generation_settings *settings;
  ld_ids prompt;
  int64_t limit;    /* tokens of the whole, with the prompt */
  ld_stream random; /* draws, by position in the text */
  ld_ids text;      /* without prompt and stop: as much of it as no later step changes */
  float score;      /* of a beam search: once it is done */
  void *own;        /* the kind's */
};

/* Takes the first token with the largest score, or draws one. */
extern const ld_search_kind ld_search_single;
/* Keeps the best num_beams sequences at a time. */
extern const ld_search_kind ld_search_beams;

#endif
