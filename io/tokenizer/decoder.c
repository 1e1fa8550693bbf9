/* The table of decoders, and the decoders without a file of their own. */
#include "io/tokenizer/decoder.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "io/tokenizer/budget.h"
#include "io/tokenizer/clean_up.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/kinds.h"
#include "io/tokenizer/regex.h"
#include "io/tokenizer/stage.h"
#include "io/tokenizer/word_end.h"

static void pass_feed(ld_stage *stage, const char *bytes, size_t length) {
  ld_stage_feed(stage->next, bytes, length);
}

static void pass_end(ld_stage *stage) {
  ld_stage_end(stage->next);
}

enum { MAX_GROWTH = 64 }; /* bytes that decoding may make of one byte of a token */

typedef struct replace {
  ld_regex *regex;
  char *content;
  size_t length;
} replace;

/* Counts all Replaces together: each may make `length` bytes of `shortest`, or of none. */
static int check_growth(ld_load *load, size_t shortest, size_t length) {
  const size_t factor = shortest ? (length + shortest - 1) / shortest : length + 1;
  if (!load->growth) return 0;
  if (factor > 1) *load->growth *= factor < MAX_GROWTH ? factor : MAX_GROWTH + 1;
  if (*load->growth <= MAX_GROWTH) return 0;
  return ld_fail(load->err, LD_EUNSUPPORTED,
                 "%s: decoder Replace: with those before it, it may make more than %d bytes of one",
                 load->name, MAX_GROWTH);
}

static int load_replace(ld_component *component, const json_t *json, ld_load *load) {
  const char *content;
  size_t length;
  const int rc = ld_load_string(load, json, "content", &content, &length);
  if (rc) return rc;
  replace *data = component->data = ld_alloc(1, sizeof *data);
  data->content = ld_strndup(content, length);
  data->length = length;
  const int pattern = ld_load_pattern(load, json, &data->regex);
  return pattern ? pattern : check_growth(load, ld_regex_shortest(data->regex), length);
}

static void free_replace(void *data) {
  replace *r = data;
  ld_regex_free(r->regex);
  free(r->content);
  free(r);
}

typedef struct token_replacing {
  ld_sink sink;
  ld_stage *stage;
  size_t done;
} token_replacing;

static int put_match(ld_sink *sink, ld_match m, ld_error *err) {
  token_replacing *to = (token_replacing *)sink;
  const replace *r = to->stage->data;
  (void)err;
  if (m.is_match)
    ld_stage_feed(to->stage->next, r->content, r->length);
  else
    ld_stage_feed(to->stage->next, to->stage->hold.bytes + m.start, m.end - m.start);
  to->done = m.end;
  return 0;
}

/* Decoding cannot fail: when the expression takes too long, the rest of the token stays as it is. */
static void replace_end(ld_stage *stage) {
  const replace *r = stage->data;
  const ld_text *token = &stage->hold;
  token_replacing to = {{put_match}, stage, 0};
  if (token->length && ld_regex_find(r->regex, token->bytes, token->length, stage->budget, &to.sink, NULL))
    ld_stage_feed(stage->next, token->bytes + to.done, token->length - to.done);
  ld_text_clear(&stage->hold);
  ld_stage_end(stage->next);
}

static const ld_component_kind replace_kind = {.type = "Replace",
                                               .load = load_replace,
                                               .free_data = free_replace,
                                               .decode = {ld_stage_hold, replace_end, ld_stage_pass_finish}};

static int hex_digit(char c) {
  return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

/* The byte that <0xNN> spells, or -1; the library's number parser also accepts a plus sign. */
static int fallback_byte(const char *s, size_t length) {
  if (length != 6 || memcmp(s, "<0x", 3) || s[5] != '>') return -1;
  const int high = s[3] == '+' ? 0 : hex_digit(s[3]), low = hex_digit(s[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* A run of bytes becomes one token if it is UTF-8, else U+FFFD for each byte; this is only known at the end
 * of the run. `hold` has the run, then the token so far, which starts at `stripped`. */
static void pass_run(ld_stage *stage, size_t run) {
  if (!run) return;
  if (ld_utf8_valid(stage->hold.bytes, run)) {
    ld_stage_feed(stage->next, stage->hold.bytes, run);
    ld_stage_end(stage->next);
    return;
  }
  for (size_t i = 0; i < run; i++) {
    ld_stage_feed(stage->next, "\xef\xbf\xbd", 3);
    ld_stage_end(stage->next);
  }
}

static void fallback_end(ld_stage *stage) {
  const size_t run = stage->stripped, length = stage->hold.length - run;
  const int byte = length ? fallback_byte(stage->hold.bytes + run, length) : -1;
  if (byte >= 0) {
    stage->hold.bytes[run] = (char)byte;
    stage->hold.length = stage->stripped = run + 1;
    return;
  }
  pass_run(stage, run);
  if (length) ld_stage_feed(stage->next, stage->hold.bytes + run, length);
  ld_stage_end(stage->next);
  ld_text_clear(&stage->hold);
  stage->stripped = 0;
}

static void fallback_finish(ld_stage *stage) {
  pass_run(stage, stage->stripped);
  ld_stage_finish(stage->next);
}

static const ld_component_kind byte_fallback = {.type = "ByteFallback",
                                                .decode = {ld_stage_hold, fallback_end, fallback_finish}};

static void fuse_end(ld_stage *stage) {
  (void)stage;
}

static void fuse_finish(ld_stage *stage) {
  ld_stage_end(stage->next);
  ld_stage_finish(stage->next);
}

static const ld_component_kind fuse = {.type = "Fuse", .decode = {pass_feed, fuse_end, fuse_finish}};

typedef struct strip {
  uint32_t content;
  size_t start, stop;
} strip;

static int load_strip(ld_component *component, const json_t *json, ld_load *load) {
  strip *data = component->data = ld_alloc(1, sizeof *data);
  int32_t start = 0, stop = 0;
  int rc = ld_load_char(load, json, "content", &data->content);
  if (!rc) rc = ld_load_id(load, json, "start", &start);
  if (!rc) rc = ld_load_id(load, json, "stop", &stop);
  data->start = (size_t)start;
  data->stop = (size_t)stop;
  return rc;
}

/* Strips up to `start` of the character from the start of a token, and up to `stop` from its end: so many are
 * held back until it is known whether the token ends there. */
static void strip_feed(ld_stage *stage, const char *bytes, size_t length) {
  const strip *s = stage->data;
  for (size_t i = 0; i < length;) {
    const size_t from = i;
    const bool is_content = ld_utf8_next(bytes, &i) == s->content;
    if (is_content && !stage->inside && stage->stripped < s->start) {
      stage->stripped++;
      continue;
    }
    stage->inside = true;
    const size_t size = i - from;
    if (is_content && s->stop) {
      if (stage->hold.length == s->stop * size)
        ld_stage_feed(stage->next, bytes + from, size);
      else
        ld_text_append(&stage->hold, bytes + from, size);
      continue;
    }
    ld_stage_feed(stage->next, stage->hold.bytes, stage->hold.length);
    ld_text_clear(&stage->hold);
    ld_stage_feed(stage->next, bytes + from, size);
  }
}

static void strip_end(ld_stage *stage) {
  ld_text_clear(&stage->hold);
  stage->stripped = 0;
  stage->inside = false;
  ld_stage_end(stage->next);
}

static const ld_component_kind strip_kind = {.type = "Strip",
                                             .load = load_strip,
                                             .free_data = free,
                                             .decode = {strip_feed, strip_end, ld_stage_pass_finish}};

static int load_sequence(ld_component *component, const json_t *json, ld_load *load) {
  return ld_sequence_load(component, json, "decoders", load);
}

static const ld_component_kind sequence = {.type = "Sequence",
                                           .load = load_sequence,
                                           .free_data = ld_sequence_free,
                                           .decode = {pass_feed, pass_end, ld_stage_pass_finish}};

const ld_component_kind *const ld_decoder_kinds[] = {
    &sequence,   &replace_kind,          &byte_fallback,        &fuse,
    &strip_kind, &ld_byte_level_decoder, &ld_metaspace_decoder, &ld_wordpiece_decoder,
    NULL,
};

static void out_feed(ld_stage *stage, const char *bytes, size_t length) {
  ld_text_append(stage->out, bytes, length);
}

static const ld_component_kind out_kind = {.type = "", .decode = {out_feed, fuse_end, fuse_end}};

/* Without a decoder, tokens are separated by a space. */
static void join_feed(ld_stage *stage, const char *bytes, size_t length) {
  if (!stage->inside && stage->index) ld_stage_feed(stage->next, " ", 1);
  stage->inside = true;
  ld_stage_feed(stage->next, bytes, length);
}

static void join_end(ld_stage *stage) {
  if (!stage->inside && stage->index) ld_stage_feed(stage->next, " ", 1);
  stage->inside = false;
}

static const ld_component_kind join_kind = {.type = "",
                                            .decode = {join_feed, join_end, ld_stage_pass_finish}};

/* The whole text at once, at its end. */
static void clean_finish(ld_stage *stage) {
  ld_clean_up(&stage->hold, false);
  ld_stage_feed(stage->next, stage->hold.bytes, stage->hold.length);
  ld_stage_end(stage->next);
  ld_stage_finish(stage->next);
}

static const ld_component_kind clean_kind = {.type = "", .decode = {ld_stage_hold, fuse_end, clean_finish}};

static void add_stage(ld_chain *chain, const ld_component_kind *kind, const void *data) {
  chain->stages = ld_realloc(chain->stages, chain->n + 1, sizeof *chain->stages);
  chain->stages[chain->n++] = (ld_stage){.kind = kind, .data = data};
}

static void add_stages(ld_chain *chain, const ld_component *component) {
  if (component->kind != &sequence) {
    add_stage(chain, component->kind, component->data);
    return;
  }
  const ld_components *components = component->data;
  for (size_t i = 0; i < components->n; i++) add_stages(chain, &components->items[i]);
}

void ld_chain_init(ld_chain *chain, const ld_component *decoder, const char *word_end, bool clean_up) {
  *chain = (ld_chain){0};
  if (decoder->kind)
    add_stages(chain, decoder);
  else
    add_stage(chain, &join_kind, NULL);
  if (word_end) {
    add_stage(chain, &ld_word_end_kind, word_end);
    add_stage(chain, &ld_strip_ends_kind, NULL);
  }
  if (clean_up) add_stage(chain, &clean_kind, NULL);
  add_stage(chain, &out_kind, NULL);
  for (size_t i = 0; i + 1 < chain->n; i++) chain->stages[i].next = &chain->stages[i + 1];
  for (size_t i = 0; i < chain->n; i++) chain->stages[i].budget = &chain->budget;
  ld_budget_start(&chain->budget, 0);
  ld_budget_pause(&chain->budget);
}

void ld_chain_token(ld_chain *chain, const char *bytes, size_t length, ld_text *out) {
  chain->stages[chain->n - 1].out = out;
  ld_budget_resume(&chain->budget, length);
  ld_stage_feed(chain->stages, bytes, length);
  ld_stage_end(chain->stages);
  ld_budget_pause(&chain->budget);
}

void ld_chain_finish(ld_chain *chain, ld_text *out) {
  chain->stages[chain->n - 1].out = out;
  ld_budget_resume(&chain->budget, 0);
  ld_stage_finish(chain->stages);
  ld_budget_pause(&chain->budget);
}

void ld_chain_free(ld_chain *chain) {
  for (size_t i = 0; i < chain->n; i++) ld_text_free(&chain->stages[i].hold);
  free(chain->stages);
}
