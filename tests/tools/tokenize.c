/* Tokenizes line by line, for comparison with another implementation.
 *
 *   tokenize TOKENIZER < lines
 *
 * TOKENIZER is what ld_tokenizer_open takes. A line of the input is a JSON string; a list of a text, a second
 * one or null, the limit on tokens (0 for none) and perhaps a language; or null. A line of the output is a JSON
 * list: for a string the ids without special tokens, the ids with them, and the latter decoded, with and
 * without special tokens; for a list the ids and their type ids; for null the id of eos_token, or -1,
 * whether the model gets type ids, and the id of pad_token, or -1. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/tokenizer/tokenizer.h"

static json_t *id_list(const ld_ids *ids) {
  json_t *list = json_array();
  for (size_t i = 0; i < ids->n; i++) json_array_append_new(list, json_integer(ids->ids[i]));
  return list;
}

static json_t *decoded(const ld_tokenizer *tokenizer, const ld_ids *ids, bool skip_special) {
  ld_text whole = {0}, stream = {0};
  ld_tokenizer_decode(tokenizer, ids->ids, ids->n, skip_special, &whole);
  ld_stream_decoder *decoder = ld_stream_decoder_new(tokenizer, skip_special);
  for (size_t i = 0; i < ids->n; i++) ld_stream_decoder_push(decoder, ids->ids[i], &stream);
  ld_stream_decoder_finish(decoder, &stream);
  ld_stream_decoder_free(decoder);
  if (whole.length != stream.length || (whole.length && memcmp(whole.bytes, stream.bytes, whole.length)))
    fputs("tokenize: the stream's text differs\n", stderr);
  json_t *text = json_stringn(whole.bytes ? whole.bytes : "", whole.length);
  ld_text_free(&whole);
  ld_text_free(&stream);
  return text;
}

static void tokenize_text(const ld_tokenizer *tokenizer, const json_t *text, json_t *out) {
  const char *s = json_string_value(text);
  const size_t length = json_string_length(text);
  ld_ids plain = {0}, special = {0};
  ld_error err = {0};
  if (ld_tokenizer_encode(tokenizer, s, length, false, &plain, &err) ||
      ld_tokenizer_encode(tokenizer, s, length, true, &special, &err)) {
    json_array_append_new(out, json_string(err.text));
  } else {
    json_array_append_new(out, id_list(&plain));
    json_array_append_new(out, id_list(&special));
    json_array_append_new(out, decoded(tokenizer, &special, false));
    json_array_append_new(out, decoded(tokenizer, &special, true));
  }
  ld_ids_free(&plain);
  ld_ids_free(&special);
}

static void tokenize_input(const ld_tokenizer *tokenizer, const json_t *input, json_t *out) {
  const json_t *text = json_array_get(input, 0), *pair = json_array_get(input, 1);
  const size_t most = (size_t)json_integer_value(json_array_get(input, 2));
  ld_ids ids = {0}, types = {0};
  ld_error err = {0};
  const ld_input of = {json_string_value(text),
                       json_string_length(text),
                       json_string_value(pair),
                       json_string_length(pair),
                       most,
                       json_string_value(json_array_get(input, 3))};
  if (ld_tokenizer_encode_input(tokenizer, &of, &ids, &types, &err)) {
    json_array_append_new(out, json_string(err.text));
  } else {
    json_array_append_new(out, id_list(&ids));
    json_array_append_new(out, id_list(&types));
  }
  ld_ids_free(&ids);
  ld_ids_free(&types);
}

static void tokenize_line(const ld_tokenizer *tokenizer, const char *line, size_t length) {
  json_t *input = json_loadb(line, length, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
  json_t *out = json_is_null(input)
                    ? json_pack("[i, b, i]", ld_tokenizer_eos(tokenizer), ld_tokenizer_has_types(tokenizer),
                                ld_tokenizer_pad(tokenizer))
                    : json_array();
  if (json_is_string(input))
    tokenize_text(tokenizer, input, out);
  else if (json_is_string(json_array_get(input, 0)))
    tokenize_input(tokenizer, input, out);
  else if (!json_is_null(input))
    json_array_append_new(out, json_string("no JSON string or list"));
  json_dumpf(out, stdout, JSON_COMPACT);
  putchar('\n');
  json_decref(out);
  json_decref(input);
}

int main(int argc, char **argv) {
  ld_error err = {0};
  ld_tokenizer *tokenizer;
  if (argc != 2) return fputs("usage: tokenize TOKENIZER < lines\n", stderr), 2;
  if (ld_tokenizer_open(argv[1], &tokenizer, &err)) return fprintf(stderr, "tokenize: %s\n", err.text), 1;
  char *line = NULL;
  size_t room = 0;
  for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) tokenize_line(tokenizer, line, (size_t)n);
  free(line);
  ld_tokenizer_free(tokenizer);
  return 0;
}
