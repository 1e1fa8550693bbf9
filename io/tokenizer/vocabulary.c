/* A model's vocabulary, as a tokenizer.json has it.
 */
#include "io/tokenizer/vocabulary.h"

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

void ld_vocabulary_free(ld_vocabulary *v) {
  ld_keys_free(&v->keys);
  free(v->tokens);
}
