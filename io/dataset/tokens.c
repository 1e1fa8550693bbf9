#include "io/dataset/tokens.h"

#include <string.h>

#include "base/memory.h"
#include "io/dataset/format.h"

int ld_data_encode(const ld_dataset *dataset, const char *text, size_t length, bool add_special, ld_ids *out,
                   ld_error *err) {
  return ld_tokenizer_encode(dataset->options.tokenizer, text, length, add_special, out, err);
}

void ld_data_targets(ld_sample *sample, size_t from) {
  const size_t n = sample->tokens.n;
  if (sample->room < n || !sample->target) {
    sample->room = n + n / 2 + 1;
    sample->target = ld_realloc(sample->target, sample->room, 1);
  }
  if (from > n) from = n;
  memset(sample->target, 0, from);
  memset(sample->target + from, 1, n - from);
}

size_t ld_data_common(const ld_ids *a, const int32_t *ids, size_t n) {
  size_t i = 0;
  while (i < a->n && i < n && a->ids[i] == ids[i]) i++;
  return i;
}

int ld_data_string(const ld_value *map, const char *key, const char **out, ld_error *err) {
  const ld_value *value = ld_value_get(map, key);
  if (!value) return ld_fail(err, LD_EFORMAT, "%s: missing, expected a string", key);
  if (value->type != LD_STRING) return ld_fail(err, LD_EFORMAT, "%s: expected a string", key);
  *out = value->string;
  return 0;
}

void ld_data_end(const ld_dataset *dataset, ld_ids *ids) {
  const int32_t eos = dataset->options.eos;
  if (eos >= 0 && !(ids->n && ids->ids[ids->n - 1] == eos)) ld_ids_push(ids, eos);
}

size_t ld_data_longest(const ld_ids *ids) {
  size_t longest = 0;
  for (size_t i = 0, n = 0; i < ids->n; i++) {
    n = ids->ids[i] == LD_NEXT_TOKENIZER ? 0 : n + 1;
    if (n > longest) longest = n;
  }
  return longest;
}

int ld_data_encode_most(const ld_dataset *dataset, ld_input input, int most, ld_ids *ids, ld_ids *types,
                        size_t *n_whole, ld_error *err) {
  const ld_tokenizer *tokenizer = dataset->options.tokenizer;
  const int rc = ld_tokenizer_encode_input(tokenizer, &input, ids, types, err);
  *n_whole = ld_data_longest(ids);
  if (rc || most <= 0 || *n_whole <= (size_t)most) return rc;
  ids->n = types->n = 0;
  input.most = (size_t)most;
  return ld_tokenizer_encode_input(tokenizer, &input, ids, types, err);
}

int ld_data_encode_input(const ld_dataset *dataset, const char *text, const char *pair, ld_sample *sample,
                         ld_error *err) {
  const ld_tokenizer *tokenizer = dataset->options.tokenizer;
  const ld_input input = {.text = text,
                          .length = strlen(text),
                          .pair = pair,
                          .pair_length = pair ? strlen(pair) : 0,
                          .language = dataset->options.source_lang};
  const int rc = ld_data_encode_most(dataset, input, dataset->options.seq_len, &sample->tokens,
                                     &sample->types, &sample->n_whole, err);
  if (sample->n_whole > ld_data_longest(&sample->tokens)) sample->cut |= LD_CUT_INPUT;
  if (!rc && !ld_tokenizer_has_types(tokenizer))
    memset(sample->types.ids, 0, sample->types.n * sizeof *sample->types.ids);
  return rc;
}

int ld_data_ask(const ld_dataset *dataset, const ld_value *values, const char *answer, ld_sample *sample,
                ld_error *err) {
  ld_ids *tokens = &sample->tokens;
  const ld_dataset_options *options = &dataset->options;
  const size_t most = options->seq_len > 0 ? (size_t)options->seq_len : SIZE_MAX;
  while (tokens->n > 1 && tokens->ids[tokens->n - 1] == options->eos) tokens->n--;
  /* A model without a beginning-of-text token can still begin after an end of text. */
  if (!tokens->n && options->eos < 0)
    return ld_fail(err, LD_EFORMAT, "the prompt is empty, and the tokenizer has no token that begins a text");
  if (!tokens->n) ld_ids_push(tokens, options->eos);
  sample->n_whole = tokens->n;
  if (tokens->n > most) {
    sample->cut |= LD_CUT_INPUT;
    memmove(tokens->ids, tokens->ids + tokens->n - most, most * sizeof *tokens->ids);
    tokens->n = most;
  }
  ld_data_targets(sample, SIZE_MAX);
  return ld_data_references(values, answer, sample, err);
}

int ld_data_references(const ld_value *values, const char *target, ld_sample *sample, ld_error *err) {
  const ld_value *list = ld_value_get(values, "references");
  if (!list && target) ld_text_append(&sample->references, target, strlen(target) + 1);
  if (list && (list->type != LD_LIST || !list->n_items))
    return ld_fail(err, LD_EFORMAT, "references: expected a list of texts, found %s",
                   list->type == LD_LIST ? "an empty one" : ld_value_type_name(list->type));
  for (size_t i = 0; list && i < list->n_items; i++) {
    if (list->items[i].type != LD_STRING)
      return ld_fail(err, LD_EFORMAT, "references: item %zu is %s, expected a text", i + 1,
                     ld_value_type_name(list->items[i].type));
    ld_text_append(&sample->references, list->items[i].string, strlen(list->items[i].string) + 1);
  }
  return 0;
}
