/* How the tokens of a text are chosen: the settings of transformers' GenerationConfig that are honoured, under
 * their names.
 *
 * Each comes from the option that the user gave, else from the model folder: from its generation_config.json
 * or, where there is none, from config.json, in which older folders keep them. Otherwise it has its default
 * here. */
#ifndef LD_GENERATION_SETTINGS_H
#define LD_GENERATION_SETTINGS_H

#include "load/base.h"

/* When a beam search ends: when the best running beam is worse than all finished ones (no), as soon as there are
 * num_beams finished ones (yes), or only when no running beam can become better, however long it gets (never). */
typedef enum ld_early_stopping {
  LD_EARLY_STOPPING_NO,
  LD_EARLY_STOPPING_YES,
  LD_EARLY_STOPPING_NEVER
} ld_early_stopping;

enum { LD_MOST_BEAMS = 1024, LD_TEXTS_TOGETHER = 8 };

typedef struct ld_generation_settings {
  int vocab;
  int32_t stops[LD_MAX_STOPS]; /* eos_token_id: ids at which a text ends */
  int n_stops;

  /* Lengths in tokens: of the whole, with the prompt, or of what is new. 0: none; either max_length or
   * max_new_tokens is there. */
  int64_t max_length, max_new_tokens, min_length, min_new_tokens;

  double temperature; /* 0: the likeliest token; otherwise tokens are drawn */
  int64_t top_k;      /* 0: all */
  double top_p;       /* 1: all */
  uint64_t seed;
  int together; /* texts that are written at a time; it changes none of them */

  int64_t num_beams; /* 1: no beam search */
  double length_penalty;
  ld_early_stopping early_stopping;

  double repetition_penalty;    /* 1: none */
  int64_t no_repeat_ngram_size; /* 0: any may be repeated */
  int32_t decoder_start;        /* decoder_start_token_id: of an encoder-decoder: what its texts begin with */
  ld_ids forced_bos,
      forced_eos; /* the only tokens that may come after the first, and as the last possible one */
  ld_ids suppress, begin_suppress; /* tokens that must not occur, or not as the first new one */
  ld_ids *bad_words;               /* sequences that must not occur */
  size_t n_bad_words;
} ld_generation_settings;

/* The settings for a base that generates. Warns of what the folder sets, what would change the texts, and is
 * not supported. LD_EFORMAT names a setting with a wrong value, LD_EUNSUPPORTED settings that do not go
 * together, LD_EUSAGE an option that has no effect. Free with ld_generation_settings_free, also after an
 * error. */
int ld_generation_settings_find(const ld_base *base, const ld_options *options, ld_generation_settings *out,
                                ld_error *err);
void ld_generation_settings_free(ld_generation_settings *settings);

bool ld_generation_stops(const ld_generation_settings *settings, int32_t id);

/* How many tokens a text that begins with n_prompt may have in all, by the settings and the model's positions
 * (0: any number). LD_EMISMATCH when that leaves none to generate. */
int ld_generation_limit(const ld_generation_settings *settings, int64_t n_prompt, int positions,
                        int64_t *limit, ld_error *err);

#endif
