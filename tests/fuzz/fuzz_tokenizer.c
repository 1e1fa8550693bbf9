/* Any bytes as a tokenizer.json; one that opens encodes fixed texts and decodes ids in and out of its range.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] = "It's  the \xc3\x89"
                           "cole <s>x</s> 12\n\n a\xcc\x81 \xe6\x9d\xb1 \xf0\x9f\x98\x80\xe2\x96\x81"
                           "aab\0ab <0x41>";

static void decode(const ld_tokenizer *tokenizer, const ld_ids *ids, bool skip_special) {
  ld_text whole = {0}, stream = {0};
  ld_tokenizer_decode(tokenizer, ids->ids, ids->n, skip_special, &whole);
  ld_stream_decoder *decoder = ld_stream_decoder_new(tokenizer, skip_special);
  for (size_t i = 0; i < ids->n; i++) ld_stream_decoder_push(decoder, ids->ids[i], &stream);
  ld_stream_decoder_finish(decoder, &stream);
  ld_stream_decoder_free(decoder);
  if (whole.length != stream.length || (whole.length && memcmp(whole.bytes, stream.bytes, whole.length)))
    abort();
  ld_text_free(&whole);
  ld_text_free(&stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ld_tokenizer *tokenizer;
  ld_error err = {0};
  const int rc = ld_tokenizer_parse((const char *)data, size, "fuzz", &tokenizer, &err);
  if (rc) {
    if (tokenizer || err.code != rc || !*err.text) abort();
    return 0;
  }
  ld_ids ids = {0};
  for (int special = 0; special < 2; special++)
    ld_tokenizer_encode(tokenizer, text, sizeof text - 1, special, &ids, NULL);
  for (size_t i = 0; i < ids.n; i++)
    if (ids.ids[i] < 0) abort();
  for (int32_t id = -1; id <= ld_tokenizer_size(tokenizer) && id < 300; id++) {
    ld_ids_push(&ids, id);
    ld_tokenizer_is_special(tokenizer, id);
    const char *token = ld_tokenizer_token(tokenizer, id);
    if (token) ld_tokenizer_id(tokenizer, token);
  }
  decode(tokenizer, &ids, false);
  decode(tokenizer, &ids, true);
  ld_ids_free(&ids);
  ld_tokenizer_free(tokenizer);
  return 0;
}
