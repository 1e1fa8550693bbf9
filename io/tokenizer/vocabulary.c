/* A model's vocabulary, as a tokenizer.json has it.
 */
#include "io/tokenizer/vocabulary.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "io/tokenizer/component.h"
#include "io/tokenizer/keys.h"

static int load_keys(ld_vocabulary *v, const json_t *json, const ld_load *load) {
  json_t *vocab = json_object_get(json, "vocab");
  if (!json_is_object(vocab)) return ld_load_fail(load, LD_EFORMAT, "vocab", "must be an object of ids");
  for (void *at = json_object_iter(vocab); at; at = json_object_iter_next(vocab, at)) {
    const json_t *value = json_object_iter_value(at);
    const json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    if (id < 0 || id > LD_MAX_TOKEN_ID)
      return ld_fail(load->err, LD_EFORMAT, "%s: model %s: vocab \"%.100s\" must have an id from 0 to %d",
                     load->name, load->type, json_object_iter_key(at), LD_MAX_TOKEN_ID);
    ld_keys_set(&v->keys, json_object_iter_key(at), json_object_iter_key_len(at), (int32_t)id);
    if (id >= v->size) v->size = (int32_t)id + 1;
  }
  /* Holes are fine. Ids that are nearly all holes mean damage, and would make tables by id large for nothing. */
  if ((size_t)v->size > 65536 + 16 * v->keys.n)
    return ld_fail(load->err, LD_EFORMAT, "%s: model %s: vocab goes up to id %d with only %zu tokens",
                   load->name, load->type, v->size - 1, v->keys.n);
  return 0;
}

int ld_vocabulary_load(ld_vocabulary *v, const json_t *json, const ld_load *load) {
  const int rc = load_keys(v, json, load);
  if (rc) return rc;
  v->next = (int32_t)v->keys.n;
  v->tokens = ld_alloc((size_t)v->size, sizeof *v->tokens);
  for (size_t i = 0; i < v->keys.n; i++) {
    const struct ld_key *key = &v->keys.items[i];
    ld_token_text *token = &v->tokens[key->value];
    if (token->bytes)
      return ld_fail(load->err, LD_EFORMAT,
                     "%s: model %s: vocab has id %d twice, for \"%.100s\" and \"%.100s\"", load->name,
                     load->type, (int)key->value, token->bytes, v->keys.bytes.bytes + key->start);
    *token = (ld_token_text){v->keys.bytes.bytes + key->start, key->length};
  }
  return 0;
}

int ld_vocabulary_load_list(ld_vocabulary *v, const json_t *json, const ld_load *load) {
  const json_t *vocab = json_object_get(json, "vocab");
  const size_t n = json_array_size(vocab);
  if (!json_is_array(vocab) || n > LD_MAX_TOKEN_ID)
    return ld_load_fail(load, LD_EFORMAT, "vocab",
                        "must be a list of at most 4194303 tokens with their scores");
  for (size_t i = 0; i < n; i++) {
    const json_t *entry = json_array_get(vocab, i), *token = json_array_get(entry, 0);
    if (json_array_size(entry) != 2 || !json_is_string(token) || !json_is_number(json_array_get(entry, 1)))
      return ld_fail(load->err, LD_EFORMAT, "%s: model %s: vocab[%zu] must be a token and its score",
                     load->name, load->type, i);
    ld_keys_set(&v->keys, json_string_value(token), json_string_length(token), (int32_t)i);
  }
  v->size = v->next = (int32_t)n;
  v->tokens = ld_alloc(n, sizeof *v->tokens);
  for (size_t i = 0; i < v->keys.n; i++) {
    const struct ld_key *key = &v->keys.items[i];
    v->tokens[key->value] = (ld_token_text){v->keys.bytes.bytes + key->start, key->length};
  }
  for (size_t i = 0; i < n; i++) {
    const json_t *token = json_array_get(json_array_get(vocab, i), 0);
    if (!v->tokens[i].bytes)
      v->tokens[i] = v->tokens[ld_keys_get(&v->keys, json_string_value(token), json_string_length(token))];
  }
  return 0;
}

void ld_vocabulary_bytes(const ld_vocabulary *v, int32_t ids[256]) {
  for (int byte = 0; byte < 256; byte++) {
    char name[8];
    snprintf(name, sizeof name, "<0x%02X>", (unsigned)byte);
    ids[byte] = ld_keys_get(&v->keys, name, 6);
  }
}

void ld_vocabulary_free(ld_vocabulary *v) {
  ld_keys_free(&v->keys);
  free(v->tokens);
}
