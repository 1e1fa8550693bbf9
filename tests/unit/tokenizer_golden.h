/* The recorded tokenizers under tests/golden/tokenizers: opens them, reads their columns, and goes through
 * the library's results (make_tokenizers.py describes the formats). */
#ifndef TOKENIZER_GOLDEN_H
#define TOKENIZER_GOLDEN_H

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/utf8.h"
#include "io/tokenizer/tokenizer.h"

#define GOLDEN LD_TESTS_DIR "/golden/tokenizers/"

static inline ld_tokenizer *open_style(const char *style) {
  char *path = ld_format(GOLDEN "%s", style);
  ld_tokenizer *tokenizer;
  ld_error err = {0};
  cr_assert(!ld_tokenizer_open(path, &tokenizer, &err), "%s", err.text);
  free(path);
  return tokenizer;
}

static inline char *next_line(FILE *file, char **line, size_t *room) {
  const ssize_t n = getline(line, room, file);
  if (n <= 0) return NULL;
  if ((*line)[n - 1] == '\n') (*line)[n - 1] = 0;
  return *line;
}

static inline json_t *string_of(const char *json) {
  json_t *string = json_loads(json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
  cr_assert(json_is_string(string), "golden line is no JSON string: %s", json);
  return string;
}

static inline ld_ids ids_of(const char *code, size_t length) {
  static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
  ld_ids ids = {0};
  for (size_t i = 0; i + 1 < length; i += 2)
    ld_ids_push(&ids,
                (int32_t)(64 * (strchr(digits, code[i]) - digits) + (strchr(digits, code[i + 1]) - digits)));
  return ids;
}

static inline void expect_ids(const char *style, const char *line, const ld_ids *got,
                              const ld_ids *expected) {
  cr_assert_eq(got->n, expected->n, "%s: %s: %zu ids, expected %zu", style, line, got->n, expected->n);
  for (size_t i = 0; i < got->n; i++)
    cr_assert_eq(got->ids[i], expected->ids[i], "%s: %s: id %zu is %d, expected %d", style, line, i,
                 got->ids[i], expected->ids[i]);
}

/* Decodes in both ways; the stream must return whole characters. */
static inline void expect_decoded(const ld_tokenizer *tokenizer, const char *line, const ld_ids *ids,
                                  bool skip, const json_t *expected) {
  ld_text whole = {0}, stream = {0};
  ld_tokenizer_decode(tokenizer, ids->ids, ids->n, skip, &whole);
  cr_assert_eq(whole.length, json_string_length(expected), "%s: decoded to \"%s\"", line, whole.bytes);
  cr_assert(!whole.length || !memcmp(whole.bytes, json_string_value(expected), whole.length),
            "%s: decoded to \"%s\"", line, whole.bytes);
  ld_stream_decoder *decoder = ld_stream_decoder_new(tokenizer, skip);
  for (size_t i = 0; i < ids->n; i++) {
    ld_stream_decoder_push(decoder, ids->ids[i], &stream);
    cr_assert(ld_utf8_valid(stream.bytes ? stream.bytes : "", stream.length), "%s: cut within a character",
              line);
  }
  ld_stream_decoder_finish(decoder, &stream);
  ld_stream_decoder_free(decoder);
  cr_assert(stream.length == whole.length &&
                (!whole.length || !memcmp(whole.bytes, stream.bytes, whole.length)),
            "%s: as a stream \"%s\"", line, stream.bytes);
  ld_text_free(&whole);
  ld_text_free(&stream);
}

/* A column of expected.txt: = is the text, ~ the column before. */
static inline json_t *decoded_of(const char *column, json_t *text, json_t *before) {
  if (!strcmp(column, "=")) return json_incref(text);
  if (!strcmp(column, "~")) return json_incref(before);
  return string_of(column);
}

static inline void check_line(const ld_tokenizer *tokenizer, const char *style, const char *line,
                              char *expected, const ld_ids around[2]) {
  char *kept = strchr(expected, '\t'), *skipped = strrchr(expected, '\t');
  *kept++ = *skipped++ = 0;
  json_t *text = string_of(line), *all = decoded_of(kept, text, NULL),
         *plain = decoded_of(skipped, text, all);
  ld_ids ids = ids_of(expected, strlen(expected)), got = {0}, full = {0};
  ld_error err = {0};
  const char *s = json_string_value(text);
  const size_t n = json_string_length(text);
  cr_assert(!ld_tokenizer_encode(tokenizer, s, n, false, &got, &err), "%s: %s: %s", style, line, err.text);
  expect_ids(style, line, &got, &ids);
  expect_decoded(tokenizer, line, &got, false, all);
  expect_decoded(tokenizer, line, &got, true, plain);
  got.n = 0;
  for (size_t i = 0; i < around[0].n; i++) ld_ids_push(&got, around[0].ids[i]);
  for (size_t i = 0; i < ids.n; i++) ld_ids_push(&got, ids.ids[i]);
  for (size_t i = 0; i < around[1].n; i++) ld_ids_push(&got, around[1].ids[i]);
  cr_assert(!ld_tokenizer_encode(tokenizer, s, n, true, &full, &err));
  expect_ids(style, line, &full, &got);
  json_decref(text);
  json_decref(all);
  json_decref(plain);
  ld_ids_free(&ids);
  ld_ids_free(&got);
  ld_ids_free(&full);
}

static inline void check_expected(const ld_tokenizer *tokenizer, const char *style, const char *lines_name,
                                  size_t least) {
  char *path = ld_format(GOLDEN "%s/expected.txt", style), *line = NULL, *expected = NULL;
  char *lines_path = ld_format(GOLDEN "%s", lines_name);
  FILE *lines = fopen(lines_path, "r"), *golden = fopen(path, "r");
  cr_assert(lines && golden, "%s or %s is missing", path, lines_path);
  size_t room = 0, room_expected = 0, n = 0;
  cr_assert(next_line(golden, &expected, &room_expected));
  const char *tab = strchr(expected, '\t');
  ld_ids around[2] = {ids_of(expected, (size_t)(tab - expected)), ids_of(tab + 1, strlen(tab + 1))};
  for (; next_line(lines, &line, &room); n++) {
    cr_assert(next_line(golden, &expected, &room_expected), "%s is short", path);
    check_line(tokenizer, style, line, expected, around);
  }
  cr_assert_geq(n, least);
  ld_ids_free(&around[0]);
  ld_ids_free(&around[1]);
  fclose(lines);
  fclose(golden);
  free(path);
  free(lines_path);
  free(line);
  free(expected);
}

static inline void check_style(const char *style, const char *lines_name, size_t least) {
  ld_tokenizer *tokenizer = open_style(style);
  check_expected(tokenizer, style, lines_name, least);
  ld_tokenizer_free(tokenizer);
}

#endif
