/* Tokenizes line by line, for comparing with another implementation.
 *
 *   tokenize TOKENIZER.json < lines
 *
 * Each line of the input is a JSON string. Each line of the output is a JSON list: the ids without special
 * tokens, the ids with them, and the second decoded, with and without special tokens.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/tokenizer.h"

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

static int tokenize_line(const ld_tokenizer *tokenizer, const char *line, size_t length) {
  json_t *text = json_loadb(line, length, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
  ld_ids plain = {0}, special = {0};
  ld_error err = {0};
  json_t *out = json_array();
  if (!json_is_string(text) ||
      ld_tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text), false, &plain,
                          &err) ||
      ld_tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text), true, &special,
                          &err)) {
    json_array_append_new(out, json_string(err.code ? err.text : "no JSON string"));
  } else {
    json_array_append_new(out, id_list(&plain));
    json_array_append_new(out, id_list(&special));
    json_array_append_new(out, decoded(tokenizer, &special, false));
    json_array_append_new(out, decoded(tokenizer, &special, true));
  }
  json_dumpf(out, stdout, JSON_COMPACT);
  putchar('\n');
  json_decref(out);
  json_decref(text);
  ld_ids_free(&plain);
  ld_ids_free(&special);
  return err.code;
}

int main(int argc, char **argv) {
  ld_error err = {0};
  ld_tokenizer *tokenizer;
  if (argc != 2) return fputs("usage: tokenize TOKENIZER.json < lines\n", stderr), 2;
  if (ld_tokenizer_open(argv[1], &tokenizer, &err)) return fprintf(stderr, "tokenize: %s\n", err.text), 1;
  char *line = NULL;
  size_t room = 0;
  for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) tokenize_line(tokenizer, line, (size_t)n);
  free(line);
  ld_tokenizer_free(tokenizer);
  return 0;
}
