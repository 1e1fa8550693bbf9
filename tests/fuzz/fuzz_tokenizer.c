/* Any bytes as a tokenizer.json or, after a line of settings, as a file beside these settings: a
 * tokenizer.json ("T{...}\n{...}"), an older vocabulary ("O") or a SentencePiece model ("S"). What opens encodes fixed texts, singly and
 * as truncated pairs, and decodes ids in and out of its range. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/tokenizer/folder.h"
#include "io/tokenizer/post_processor.h"
#include "io/tokenizer/sentencepiece.h"
#include "io/tokenizer/tokenizer.h"
#include "io/tokenizer/tokenizer_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char text[] = "It's  the \xc3\x89"
                           "cole <s>x</s> 12\n\n a\xcc\x81 \xe6\x9d\xb1 \xf0\x9f\x98\x80\xe2\x96\x81"
                           "aab\0ab <0x41> [CLS] unaffable lamps";

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

/* "T{settings}\n{tokenizer.json or model}": the settings beside a file; "O": beside an older vocabulary; "S":
 * beside a SentencePiece model, named after the settings' "file". */
static int open_files(const char *s, size_t size, ld_tokenizer **out, ld_error *err) {
  *out = NULL;
  const char *line = memchr(s, '\n', size), *end = s + size;
  if (!line) return ld_fail(err, LD_EFORMAT, "no settings");
  json_t *settings = json_loadb(s + 1, (size_t)(line - s - 1), JSON_ALLOW_NUL, NULL);
  char name[64] = "fuzz";
  json_t *source = NULL;
  if (*s == 'S') {
    const char *file = json_string_value(json_object_get(settings, "file"));
    snprintf(name, sizeof name, "%s", file ? file : "spiece.model");
    const int rc = ld_sentencepiece_read(line + 1, (size_t)(end - line - 1), name, &source, err);
    if (rc) {
      json_decref(settings);
      return rc;
    }
  } else {
    source = json_loadb(line + 1, (size_t)(end - line - 1), JSON_ALLOW_NUL, NULL);
  }
  const ld_token_files files = {.name = name,
                                .settings_name = name,
                                .older = *s != 'T',
                                .source = source,
                                .settings = settings,
                                .config = json_object_get(settings, "config"),
                                .added = json_object_get(settings, "added")};
  int rc = json_is_object(settings) && json_is_object(source)
               ? ld_tokenizer_build(&files, out, err)
               : ld_fail(err, LD_EFORMAT, "must be JSON objects");
  json_decref(settings);
  json_decref(source);
  return rc;
}

/* No input may be longer than its limit, unless a template repeats a text. */
static void encode_inputs(const ld_tokenizer *tokenizer) {
  const ld_template *pair = ld_template_of(&tokenizer->post_processor, true);
  size_t texts = 0;
  for (size_t i = 0; pair && i < pair->n; i++) texts += pair->slots[i].text >= 0;
  for (size_t most = 0; most < 12; most++) {
    ld_ids ids = {0}, types = {0};
    const ld_input input = {
        .text = text, .length = 30, .pair = text, .pair_length = sizeof text - 1, .most = most};
    if (!ld_tokenizer_encode_input(tokenizer, &input, &ids, &types, NULL) &&
        (ids.n != types.n || (most && texts <= 2 && ids.n > 2 * most)))
      abort();
    ld_ids_free(&ids);
    ld_ids_free(&types);
  }
  ld_ids ids = {0}, types = {0};
  const ld_input input = {.text = text, .length = 30, .language = "en_XX"};
  int32_t language = -1;
  const int rc = ld_tokenizer_encode_input(tokenizer, &input, &ids, &types, NULL);
  if (ld_tokenizer_language(tokenizer, "en_XX", &language, NULL) ? !rc : language < 0) abort();
  ld_ids_free(&ids);
  ld_ids_free(&types);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  ld_tokenizer *tokenizer;
  ld_error err = {0};
  const char *s = (const char *)data;
  const int rc = size && strchr("TOS", *s) && *s ? open_files(s, size, &tokenizer, &err)
                                                 : ld_tokenizer_parse(s, size, "fuzz", &tokenizer, &err);
  if (rc) {
    if (tokenizer || err.code != rc || !*err.text) abort();
    return 0;
  }
  ld_ids ids = {0};
  for (int special = 0; special < 2; special++)
    ld_tokenizer_encode(tokenizer, text, sizeof text - 1, special, &ids, NULL);
  for (size_t i = 0; i < ids.n; i++)
    if (ids.ids[i] < 0) abort();
  encode_inputs(tokenizer);
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
