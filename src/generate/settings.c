#include "generate/settings.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/keys.h"
#include "base/log.h"
#include "base/memory.h"
#include "options/resolve.h"

/* The numbers among the settings: keys of the folder, and options. */
typedef struct number {
  const char *key;
  size_t field;
  bool is_real;
  double low, high, fallback;
  size_t option; /* the one that wins over the folder; NO_OPTION: none */
} number;

#define FIELD(name) offsetof(ld_generation_settings, name)
#define OPTION(name) offsetof(ld_options, name)
#define NO_OPTION SIZE_MAX

static const number numbers[] = {
    {"max_length", FIELD(max_length), false, 0, 1e9, 0, NO_OPTION},
    {"max_new_tokens", FIELD(max_new_tokens), false, 0, 1e9, 0, OPTION(max_tokens)},
    {"min_length", FIELD(min_length), false, 0, 1e9, 0, NO_OPTION},
    {"min_new_tokens", FIELD(min_new_tokens), false, 0, 1e9, 0, OPTION(min_tokens)},
    {"temperature", FIELD(temperature), true, 0, 1e9, 1, OPTION(temperature)},
    {"top_k", FIELD(top_k), false, 0, 1e9, 50, OPTION(top_k)},
    {"top_p", FIELD(top_p), true, 0, 1, 1, OPTION(top_p)},
    {"num_beams", FIELD(num_beams), false, 1, LD_MOST_BEAMS, 1, OPTION(beams)},
    {"length_penalty", FIELD(length_penalty), true, -100, 100, 1, OPTION(length_penalty)},
    {"repetition_penalty", FIELD(repetition_penalty), true, 1e-3, 1e3, 1, OPTION(repetition_penalty)},
    {"no_repeat_ngram_size", FIELD(no_repeat_ngram_size), false, 0, 1e9, 0, OPTION(no_repeat_ngram)},
};

/* What the folder may set and is not supported, with the values that have no effect. */
static const struct {
  const char *key;
  double idle;
  bool sampling; /* it has an effect on drawn tokens only */
} unsupported[] = {
    {"assistant_early_exit", 0, false},
    {"constraints", 0, false},
    {"diversity_penalty", 0, false},
    {"dola_layers", 0, false},
    {"encoder_no_repeat_ngram_size", 0, false},
    {"encoder_repetition_penalty", 1, false},
    {"epsilon_cutoff", 0, true},
    {"eta_cutoff", 0, true},
    {"exponential_decay_length_penalty", 0, false},
    {"force_words_ids", 0, false},
    {"guidance_scale", 1, false},
    {"min_p", 0, true},
    {"num_beam_groups", 1, false},
    {"penalty_alpha", 0, false},
    {"prompt_lookup_num_tokens", 0, false},
    {"renormalize_logits", 0, false},
    {"sequence_bias", 0, false},
    {"stop_strings", 0, false},
    {"token_healing", 0, false},
    {"top_h", 0, true},
    {"typical_p", 1, true},
    {"watermarking_config", 0, false},
};

/* Where the settings come from. */
typedef struct origin {
  const ld_base *base;
  const ld_options *options;
  const ld_value *folder; /* generation_config.json or config.json */
  const char *file;
} origin;

static origin origin_of(const ld_base *base, const ld_options *options) {
  const ld_value *own = ld_model_folder_generation(base->folder);
  return (origin){base, options, own ? own : ld_model_folder_config(base->folder),
                  own ? "generation_config.json" : "config.json"};
}

static int fail(const origin *from, int rc, ld_error *err) {
  return ld_fail_prefix(err, rc, "%s/%s", ld_model_folder_path(from->base->folder), from->file);
}

static bool is_given(const origin *from, size_t option) {
  return option != NO_OPTION && ld_options_given(from->options, option);
}

static int find_number(const origin *from, const number *n, ld_generation_settings *out, ld_error *err) {
  char *field = (char *)out + n->field;
  const char *option = (const char *)from->options + n->option;
  int64_t whole = 0;
  double real = 0;
  int rc = 0;
  if (is_given(from, n->option)) {
    memcpy(field, option, sizeof(int64_t));
    return 0;
  }
  if (n->is_real)
    rc = ld_value_real(from->folder, n->key, n->fallback, &real, err);
  else
    rc = ld_value_int(from->folder, n->key, (int64_t)n->fallback, &whole, err);
  if (!n->is_real) real = (double)whole;
  if (!rc && !(real >= n->low && real <= n->high))
    rc = ld_fail(err, LD_EFORMAT, "%s: must be from %g to %g, but is %g", n->key, n->low, n->high, real);
  if (rc) return fail(from, rc, err);
  memcpy(field, n->is_real ? (const void *)&real : (const void *)&whole, sizeof(int64_t));
  return 0;
}

_Static_assert(sizeof(double) == sizeof(int64_t), "settings and options are of one size");

static int find_early_stopping(const origin *from, ld_generation_settings *out, ld_error *err) {
  const char *option = from->options->early_stopping;
  const ld_value *value = ld_value_get(from->folder, "early_stopping");
  const bool is_word = value && value->type == LD_STRING && !strcmp(value->string, "never");
  bool flag = false;
  int rc = 0;
  if (option) {
    out->early_stopping = !strcmp(option, "never") ? LD_EARLY_STOPPING_NEVER
                          : !strcmp(option, "yes") ? LD_EARLY_STOPPING_YES
                                                   : LD_EARLY_STOPPING_NO;
    return 0;
  }
  if (!is_word) rc = ld_value_bool(from->folder, "early_stopping", false, &flag, err);
  out->early_stopping = is_word ? LD_EARLY_STOPPING_NEVER
                        : flag  ? LD_EARLY_STOPPING_YES
                                : LD_EARLY_STOPPING_NO;
  return rc ? fail(from, rc, err) : 0;
}

/* Appends ids of the vocabulary: a number or a list of them. */
static int add_ids(const origin *from, const ld_value *value, ld_ids *out, ld_error *err) {
  const ld_value *list = value->type == LD_LIST ? value->items : value;
  const size_t n = value->type == LD_LIST ? value->n_items : 1;
  for (size_t i = 0; i < n; i++) {
    if (list[i].type != LD_INTEGER || list[i].integer < 0 || list[i].integer >= from->base->model->vocab)
      return ld_fail(err, LD_EFORMAT, "expected ids of tokens below %d", from->base->model->vocab);
    ld_ids_push(out, (int32_t)list[i].integer);
  }
  return 0;
}

static int find_ids(const origin *from, const char *key, ld_ids *out, ld_error *err) {
  const ld_value *value = ld_value_get(from->folder, key);
  int rc = value ? add_ids(from, value, out, err) : 0;
  if (rc) ld_fail_prefix(err, rc, "%s", key);
  return rc ? fail(from, rc, err) : 0;
}

/* As transformers finds it; the model knows its config.json's. */
static int find_decoder_start(const origin *from, ld_generation_settings *out, ld_error *err) {
  ld_ids own = {0}, bos = {0};
  int rc = find_ids(from, "decoder_start_token_id", &own, err);
  if (!rc) rc = find_ids(from, "bos_token_id", &bos, err);
  const int32_t of_model = from->base->model->decoder_start;
  out->decoder_start = own.n == 1 ? own.ids[0] : of_model >= 0 ? of_model : bos.n == 1 ? bos.ids[0] : -1;
  ld_ids_free(&own);
  ld_ids_free(&bos);
  return rc;
}

/* Without generation_config.json, transformers takes what its class for config.json has as the default. */
static int find_forced_eos(const origin *from, ld_generation_settings *out, ld_error *err) {
  static const char key[] = "forced_eos_token_id";
  const ld_model *model = from->base->model;
  const bool silent =
      from->folder == ld_model_folder_config(from->base->folder) && !ld_value_member(from->folder, key);
  if (silent && model->forced_eos >= 0 && model->forced_eos < model->vocab)
    ld_ids_push(&out->forced_eos, model->forced_eos);
  return find_ids(from, key, &out->forced_eos, err);
}

/* Texts in the language that was asked for begin with its token, where training puts it: before the text (mBART, whose
 * decoder then begins with the last token of a target), or as the first token that is written. */
static int find_language(const origin *from, const char *language, ld_generation_settings *out,
                         ld_error *err) {
  const ld_tokenizer *tokenizer = from->base->tokenizer;
  ld_input empty = {.text = "", .language = language};
  ld_ids around = {0}, types = {0};
  int32_t id = -1;
  int rc = ld_tokenizer_language(tokenizer, language, &id, err);
  if (!rc) rc = ld_tokenizer_encode_input(tokenizer, &empty, &around, &types, err);
  if (rc) ld_fail_prefix(err, rc, "--target-lang");
  out->forced_bos.n = 0;
  if (!rc && around.n > 1 && around.ids[0] == id)
    ld_ids_push(&out->forced_bos, id);
  else
    out->decoder_start = id;
  ld_ids_free(&around);
  ld_ids_free(&types);
  return rc;
}

/* Sequences of ids. One that is a stop alone does not count, as in transformers. */
static int find_bad_words(const origin *from, ld_generation_settings *out, ld_error *err) {
  const ld_value *value = ld_value_get(from->folder, "bad_words_ids");
  const ld_key keys[] = {{"bad_words_ids", LD_TAKES_LISTS | LD_TAKES_NULL, NULL}, {NULL, 0, NULL}};
  int rc = ld_keys_check(from->folder, keys, err);
  const size_t n = rc || !value ? 0 : value->n_items;
  out->bad_words = ld_alloc(n, sizeof *out->bad_words);
  for (size_t i = 0; i < n && !rc; i++) {
    ld_ids *word = &out->bad_words[out->n_bad_words++];
    rc = add_ids(from, &value->items[i], word, err);
    if (rc) ld_fail_prefix(err, rc, "bad_words_ids");
    if (!word->n || (word->n == 1 && ld_generation_stops(out, word->ids[0]))) {
      ld_ids_free(word);
      out->n_bad_words--;
    }
  }
  return rc ? fail(from, rc, err) : 0;
}

static bool is_idle(const ld_value *value, double idle) {
  switch (value->type) {
  case LD_NULL:
    return true;
  case LD_BOOLEAN:
    return !value->boolean;
  case LD_INTEGER:
    return (double)value->integer == idle;
  case LD_REAL:
    return value->real == idle;
  default:
    return !value->n_items && !value->string;
  }
}

static void warn_of_unsupported(const origin *from, const ld_generation_settings *found,
                                const char *ignored) {
  ld_text names = {0};
  if (ignored) ld_text_puts(&names, ignored);
  for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++) {
    const ld_value *value = ld_value_get(from->folder, unsupported[i].key);
    if (!value || is_idle(value, unsupported[i].idle)) continue;
    if (!unsupported[i].sampling || found->temperature > 0)
      ld_text_printf(&names, "%s%s", names.length ? ", " : "", unsupported[i].key);
  }
  if (names.length)
    ld_warn("%s/%s: not supported and ignored, so that transformers may generate other texts: %s",
            ld_model_folder_path(from->base->folder), from->file, names.bytes);
  ld_text_free(&names);
}

/* Draws tokens if the user gave a temperature, or else if the folder says so. Of what the folder leaves open,
 * transformers draws from 50 tokens; a user who asks for a temperature draws from all. Where beams and drawn
 * tokens meet, what the user asked for wins, else the beams: then *ignored is the folder's other setting. */
static int settle_sampling(const origin *from, ld_generation_settings *out, const char **ignored,
                           ld_error *err) {
  bool samples;
  const int rc = ld_value_bool(from->folder, "do_sample", false, &samples, err);
  if (rc) return fail(from, rc, err);
  if (!samples && !is_given(from, OPTION(temperature))) out->temperature = 0;
  if (!samples && !is_given(from, OPTION(top_k)) && !ld_value_get(from->folder, "top_k")) out->top_k = 0;
  if (out->num_beams == 1 || out->temperature <= 0) return 0;
  if (!is_given(from, OPTION(temperature))) {
    out->temperature = 0;
    if (!is_given(from, OPTION(beams))) *ignored = "do_sample";
  } else if (is_given(from, OPTION(beams))) {
    return ld_fail(err, LD_EUSAGE, "--beams and --temperature do not go together: give one of them");
  } else {
    out->num_beams = 1;
  }
  return 0;
}

/* What is new is limited by the user, else by the folder. */
static void settle_lengths(const origin *from, ld_generation_settings *out) {
  if (!out->max_new_tokens && !out->max_length) out->max_new_tokens = from->options->max_tokens;
  if (out->max_new_tokens) out->max_length = 0;
  if (out->min_new_tokens) out->min_length = 0;
}

/* An option that has no effect must not be mistaken for one that works. */
static int check_together(const origin *from, const ld_generation_settings *found, ld_error *err) {
  static const struct {
    const char *name, *needs;
    size_t option;
  } dependent[] = {{"top-k", "temperature", OPTION(top_k)},
                   {"top-p", "temperature", OPTION(top_p)},
                   {"length-penalty", "beams", OPTION(length_penalty)},
                   {"early-stopping", "beams", OPTION(early_stopping)}};
  for (size_t i = 0; i < sizeof dependent / sizeof *dependent; i++) {
    const bool draws = !strcmp(dependent[i].needs, "temperature");
    if (is_given(from, dependent[i].option) && (draws ? found->temperature <= 0 : found->num_beams == 1))
      return ld_fail(err, LD_EUSAGE, "--%s has no effect without --%s: give both or neither",
                     dependent[i].name, dependent[i].needs);
  }
  return 0;
}

int ld_generation_settings_find(const ld_base *base, const ld_options *options, ld_generation_settings *out,
                                ld_error *err) {
  const origin from = origin_of(base, options);
  const char *ignored = NULL;
  int rc = 0;
  *out = (ld_generation_settings){.vocab = base->model->vocab,
                                  .n_stops = base->n_stops,
                                  .seed = (uint64_t)options->seed,
                                  .together = is_given(&from, OPTION(micro_batch)) ? (int)options->micro_batch
                                                                                   : LD_TEXTS_TOGETHER};
  memcpy(out->stops, base->stops, sizeof out->stops);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers && !rc; i++)
    rc = find_number(&from, &numbers[i], out, err);
  if (!rc) rc = find_early_stopping(&from, out, err);
  if (!rc) rc = settle_sampling(&from, out, &ignored, err);
  if (!rc && base->model->n_encoder_blocks) rc = find_decoder_start(&from, out, err);
  if (!rc) rc = find_ids(&from, "forced_bos_token_id", &out->forced_bos, err);
  if (!rc && options->target_lang) rc = find_language(&from, options->target_lang, out, err);
  if (!rc && base->model->n_encoder_blocks && out->decoder_start < 0)
    rc = fail(&from, ld_fail(err, LD_EFORMAT, "decoder_start_token_id, the token before a text, is missing"),
              err);
  if (!rc) rc = find_forced_eos(&from, out, err);
  if (!rc) rc = find_ids(&from, "suppress_tokens", &out->suppress, err);
  if (!rc) rc = find_ids(&from, "begin_suppress_tokens", &out->begin_suppress, err);
  if (!rc) rc = find_bad_words(&from, out, err);
  if (!rc) rc = check_together(&from, out, err);
  if (rc) return rc;
  settle_lengths(&from, out);
  warn_of_unsupported(&from, out, ignored);
  return 0;
}

void ld_generation_settings_free(ld_generation_settings *s) {
  ld_ids_free(&s->forced_bos);
  ld_ids_free(&s->forced_eos);
  ld_ids_free(&s->suppress);
  ld_ids_free(&s->begin_suppress);
  for (size_t i = 0; i < s->n_bad_words; i++) ld_ids_free(&s->bad_words[i]);
  free(s->bad_words);
  *s = (ld_generation_settings){0};
}

bool ld_generation_stops(const ld_generation_settings *settings, int32_t id) {
  for (int i = 0; i < settings->n_stops; i++)
    if (settings->stops[i] == id) return true;
  return false;
}

int ld_generation_limit(const ld_generation_settings *settings, int64_t n_prompt, int positions,
                        int64_t *limit, ld_error *err) {
  *limit = settings->max_new_tokens ? n_prompt + settings->max_new_tokens : settings->max_length;
  /* The last token needs no position. */
  if (positions && *limit > positions + 1) *limit = positions + 1;
  if (*limit > n_prompt) return 0;
  return positions && n_prompt > positions
             ? ld_fail(err, LD_EMISMATCH, "the prompt has %lld tokens, but the model takes %d",
                       (long long)n_prompt, positions)
             : ld_fail(err, LD_EMISMATCH,
                       "the prompt has %lld tokens, and the model folder's max_length, which counts them, is "
                       "%lld: give --max-tokens",
                       (long long)n_prompt, (long long)settings->max_length);
}
