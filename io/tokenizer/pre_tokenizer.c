/* Pre-tokenizers that only split: by pattern or by class of character.
 */
#include "io/tokenizer/internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

int ld_pre_tokenize(const ld_part *pre_tokenizer, ld_pieces *pieces, ld_error *err) {
  if (!pre_tokenizer->kind) return 0;
  const int rc = pre_tokenizer->kind->pre_tokenize(pre_tokenizer->data, pieces, err);
  return rc ? rc : ld_budget_check(pieces->budget, pieces->own.length, err);
}

/* Matches and gaps become pieces. A merged one swallows its neighbour only when that is of the other sort. */
static void cut_piece(ld_pieces *pieces, const ld_piece *of, const ld_matches *matches,
                      ld_behavior behavior) {
  const ld_match *m = matches->items;
  for (size_t i = 0; i < matches->n; i++) {
    if (behavior == LD_REMOVED && m[i].is_match) continue;
    size_t last = i;
    const bool pair = i + 1 < matches->n && m[i].is_match != m[i + 1].is_match;
    if (behavior == LD_MERGED_WITH_PREVIOUS && pair && m[i + 1].is_match) last++;
    if (behavior == LD_MERGED_WITH_NEXT && pair && m[i].is_match) last++;
    if (behavior == LD_CONTIGUOUS)
      while (last + 1 < matches->n && m[last + 1].is_match == m[i].is_match) last++;
    ld_pieces_cut(pieces, of, m[i].start, m[last].end, -1);
    i = last;
  }
}

static int find(const ld_regex *regex, bool (*is)(uint32_t code), const char *s, size_t length,
                ld_budget *budget, ld_matches *out, ld_error *err) {
  if (regex) return ld_regex_find(regex, s, length, budget, out, err);
  for (size_t i = 0; i < length;) {
    const size_t start = i;
    if (is(ld_utf8_next(s, &i))) ld_matches_add(out, start, i);
  }
  ld_matches_end(out, length);
  return 0;
}

/* Splits every piece of text by a regular expression, or else by a class of characters. */
static int split(ld_pieces *pieces, const ld_regex *regex, bool (*is)(uint32_t code), ld_behavior behavior,
                 bool invert, ld_error *err) {
  ld_matches matches = {0};
  int rc = 0;
  for (size_t i = 0; !rc && i < pieces->n; i++) {
    const ld_piece *piece = &pieces->items[i];
    if (piece->id >= 0) {
      ld_pieces_add(pieces, *piece);
      continue;
    }
    matches.n = 0;
    rc = find(regex, is, pieces->bytes + piece->start, piece->length, pieces->budget, &matches, err);
    for (size_t k = 0; invert && k < matches.n; k++) matches.items[k].is_match = !matches.items[k].is_match;
    if (!rc) cut_piece(pieces, piece, &matches, behavior);
  }
  free(matches.items);
  ld_pieces_swap(pieces, false);
  return rc;
}

int ld_split_by_regex(ld_pieces *pieces, const ld_regex *regex, ld_behavior behavior, bool invert,
                      ld_error *err) {
  return split(pieces, regex, NULL, behavior, invert, err);
}

int ld_split_by_class(ld_pieces *pieces, bool (*is)(uint32_t code), ld_behavior behavior, ld_error *err) {
  return split(pieces, NULL, is, behavior, false, err);
}

static int load_sequence(ld_part *part, const json_t *json, ld_load *load) {
  part->data = ld_alloc(1, sizeof(ld_parts));
  return ld_parts_load(part->data, json, "pretokenizers", ld_pre_tokenizer_kinds, load);
}

static void free_sequence(void *data) {
  ld_parts_free(data);
  free(data);
}

static int run_sequence(const void *data, ld_pieces *pieces, ld_error *err) {
  const ld_parts *parts = data;
  for (size_t i = 0; i < parts->n; i++) {
    const int rc = ld_pre_tokenize(&parts->items[i], pieces, err);
    if (rc) return rc;
  }
  return 0;
}

static const ld_part_kind sequence = {
    .type = "Sequence", .load = load_sequence, .free_data = free_sequence, .pre_tokenize = run_sequence};

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
  ld_behavior behavior;
  bool invert;
} split_data;

static int load_split(ld_part *part, const json_t *json, ld_load *load) {
  split_data *data = part->data = ld_alloc(1, sizeof *data);
  int rc = load_behavior(load, json, &data->behavior);
  if (!rc) rc = ld_load_bool(load, json, "invert", &data->invert);
  return rc ? rc : ld_load_pattern(load, json, &data->regex);
}

static void free_split(void *data) {
  ld_regex_free(((split_data *)data)->regex);
  free(data);
}

static int run_split(const void *data, ld_pieces *pieces, ld_error *err) {
  const split_data *s = data;
  return split(pieces, s->regex, NULL, s->behavior, s->invert, err);
}

static const ld_part_kind split_kind = {
    .type = "Split", .load = load_split, .free_data = free_split, .pre_tokenize = run_split};

static int load_digits(ld_part *part, const json_t *json, ld_load *load) {
  bool *individual = part->data = ld_alloc(1, sizeof *individual);
  return ld_load_bool(load, json, "individual_digits", individual);
}

static int run_digits(const void *data, ld_pieces *pieces, ld_error *err) {
  return ld_split_by_class(pieces, ld_is_numeric, *(const bool *)data ? LD_ISOLATED : LD_CONTIGUOUS, err);
}

static const ld_part_kind digits = {
    .type = "Digits", .load = load_digits, .free_data = free, .pre_tokenize = run_digits};

static int load_punctuation(ld_part *part, const json_t *json, ld_load *load) {
  ld_behavior *behavior = part->data = ld_alloc(1, sizeof *behavior);
  *behavior = LD_ISOLATED;
  return json_object_get(json, "behavior") ? load_behavior(load, json, behavior) : 0;
}

static int run_punctuation(const void *data, ld_pieces *pieces, ld_error *err) {
  return ld_split_by_class(pieces, ld_is_punctuation, *(const ld_behavior *)data, err);
}

static const ld_part_kind punctuation = {
    .type = "Punctuation", .load = load_punctuation, .free_data = free, .pre_tokenize = run_punctuation};

static int run_whitespace_split(const void *data, ld_pieces *pieces, ld_error *err) {
  (void)data;
  return ld_split_by_class(pieces, ld_is_space, LD_REMOVED, err);
}

static const ld_part_kind whitespace_split = {.type = "WhitespaceSplit",
                                              .pre_tokenize = run_whitespace_split};

/* \w+|[^\w\s]+ : runs of word characters, and runs of what is neither such nor space. */
static int run_whitespace(const void *data, ld_pieces *pieces, ld_error *err) {
  (void)data;
  const int rc = run_whitespace_split(NULL, pieces, err);
  return rc ? rc : ld_split_by_class(pieces, ld_is_word, LD_CONTIGUOUS, err);
}

static const ld_part_kind whitespace = {.type = "Whitespace", .pre_tokenize = run_whitespace};

const ld_part_kind *const ld_pre_tokenizer_kinds[] = {
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
