/* The table of pre-tokenizers, and those that only split: by pattern or by class of character. */
#include "io/tokenizer/pre_tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/kinds.h"
#include "io/tokenizer/pieces.h"
#include "io/tokenizer/regex.h"
#include "io/tokenizer/split.h"
#include "io/tokenizer/unicode.h"

int ld_pre_tokenize(const ld_component *pre_tokenizer, ld_pieces *pieces, const ld_next *next,
                    ld_error *err) {
  const ld_component_kind *kind = pre_tokenizer->kind;
  return kind ? kind->pre_tokenize(pre_tokenizer->data, pieces, next, err)
              : ld_pieces_pass(pieces, next, err);
}

static const ld_component_kind sequence;

static size_t n_parts(const ld_component *component) {
  const ld_components *components = component->data;
  size_t n = 0;
  if (component->kind != &sequence) return 1;
  for (size_t i = 0; i < components->n; i++) n += n_parts(&components->items[i]);
  return n;
}

/* Each part uses stack while the parts after it run. */
static int load_sequence(ld_component *component, const json_t *json, ld_load *load) {
  enum { MOST = 32 };
  const int rc = ld_sequence_load(component, json, "pretokenizers", load);
  if (rc || n_parts(component) <= MOST) return rc;
  return ld_load_fail(load, LD_EUNSUPPORTED, "pretokenizers", "has more than 32 parts");
}

/* The parts of a Sequence that are still to run, and the step after it. */
typedef struct sequence_rest {
  ld_next self;
  const ld_component *components;
  size_t n;
  const ld_next *then;
} sequence_rest;

static int run_rest(const ld_next *self, ld_pieces *pieces, ld_error *err) {
  const sequence_rest *rest = (const sequence_rest *)self;
  if (!rest->n) return ld_pieces_pass(pieces, rest->then, err);
  const sequence_rest after = {{run_rest}, rest->components + 1, rest->n - 1, rest->then};
  return ld_pre_tokenize(rest->components, pieces, &after.self, err);
}

static int run_sequence(const void *data, ld_pieces *pieces, const ld_next *next, ld_error *err) {
  const ld_components *components = data;
  const sequence_rest all = {{run_rest}, components->items, components->n, next};
  pieces->of_word = false; /* a ByteLevel in here gets parts of the word: no blank before each */
  return run_rest(&all.self, pieces, err);
}

static const ld_component_kind sequence = {
    .type = "Sequence", .load = load_sequence, .free_data = ld_sequence_free, .pre_tokenize = run_sequence};

static int load_behavior(const ld_load *load, const json_t *json, ld_behavior *out) {
  static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext",
                                      "Contiguous"};
  const char *name = json_string_value(json_object_get(json, "behavior"));
  for (int i = 0; name && i < 5; i++)
    if (!strcmp(names[i], name)) return *out = (ld_behavior)i, 0;
  return ld_load_fail(load, LD_EFORMAT, "behavior",
                      "must be Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

typedef struct split_data {
  ld_regex *regex;
  ld_splitter splitter;
} split_data;

static int load_split(ld_component *component, const json_t *json, ld_load *load) {
  split_data *data = component->data = ld_alloc(1, sizeof *data);
  ld_splitter *splitter = &data->splitter;
  int rc = load_behavior(load, json, &splitter->behavior);
  if (!rc) rc = ld_load_bool(load, json, "invert", &splitter->invert);
  if (!rc) rc = ld_load_pattern(load, json, &data->regex);
  splitter->regex = data->regex;
  return rc;
}

static void free_split(void *data) {
  ld_regex_free(((split_data *)data)->regex);
  free(data);
}

static int run_split(const void *data, ld_pieces *pieces, const ld_next *next, ld_error *err) {
  return ld_split(pieces, &((const split_data *)data)->splitter, next, err);
}

static const ld_component_kind split_kind = {
    .type = "Split", .load = load_split, .free_data = free_split, .pre_tokenize = run_split};

/* For those that split by a class of characters, the data is the splitter. */
static int run_class(const void *data, ld_pieces *pieces, const ld_next *next, ld_error *err) {
  return ld_split(pieces, data, next, err);
}

static int load_digits(ld_component *component, const json_t *json, ld_load *load) {
  ld_splitter *splitter = component->data = ld_alloc(1, sizeof *splitter);
  bool individual = false;
  const int rc = ld_load_bool(load, json, "individual_digits", &individual);
  *splitter = (ld_splitter){.is = ld_is_numeric, .behavior = individual ? LD_ISOLATED : LD_CONTIGUOUS};
  return rc;
}

static const ld_component_kind digits = {
    .type = "Digits", .load = load_digits, .free_data = free, .pre_tokenize = run_class};

static int load_punctuation(ld_component *component, const json_t *json, ld_load *load) {
  ld_splitter *splitter = component->data = ld_alloc(1, sizeof *splitter);
  *splitter = (ld_splitter){.is = ld_is_punctuation, .behavior = LD_ISOLATED};
  return json_object_get(json, "behavior") ? load_behavior(load, json, &splitter->behavior) : 0;
}

static const ld_component_kind punctuation = {
    .type = "Punctuation", .load = load_punctuation, .free_data = free, .pre_tokenize = run_class};

static int run_whitespace_split(const void *data, ld_pieces *pieces, const ld_next *next, ld_error *err) {
  (void)data;
  return ld_split(pieces, &ld_at_spaces, next, err);
}

static const ld_component_kind whitespace_split = {.type = "WhitespaceSplit",
                                                   .pre_tokenize = run_whitespace_split};

/* \w+|[^\w\s]+ : runs of word characters, and runs of characters that are neither word characters nor spaces. */
static int run_whitespace(const void *data, ld_pieces *pieces, const ld_next *next, ld_error *err) {
  static const ld_splitter words = {.is = ld_is_word, .behavior = LD_CONTIGUOUS};
  (void)data;
  return ld_split_twice(pieces, &ld_at_spaces, &words, next, err);
}

static const ld_component_kind whitespace = {.type = "Whitespace", .pre_tokenize = run_whitespace};

const ld_component_kind *const ld_pre_tokenizer_kinds[] = {
    &sequence,
    &split_kind,
    &digits,
    &punctuation,
    &whitespace_split,
    &whitespace,
    &ld_byte_level_pre_tokenizer,
    &ld_metaspace_pre_tokenizer,
    &ld_bert_pre_tokenizer,
    NULL,
};
