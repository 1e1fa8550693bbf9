#include "io/tokenizer/decoder.h"
#include "io/tokenizer/normal.h"
#include "io/tokenizer/normalizer.h"
#include "io/tokenizer/pre_tokenizer.h"
#include "tokenizer_golden.h"

Test(tokenizer, gpt2) {
  check_style("gpt2", "lines.jsonl", 1500);
}

Test(tokenizer, roberta) {
  check_style("roberta", "lines.jsonl", 1500);
}

Test(tokenizer, llama2) {
  check_style("llama2", "lines.jsonl", 1500);
}

Test(tokenizer, mistral) {
  check_style("mistral", "lines.jsonl", 1500);
}

Test(tokenizer, llama3) {
  check_style("llama3", "lines.jsonl", 1500);
}

Test(tokenizer, qwen2) {
  check_style("qwen2", "lines.jsonl", 1500);
}

Test(tokenizer, smollm) {
  check_style("smollm", "lines.jsonl", 1500);
}

Test(tokenizer, mixed) {
  check_style("mixed", "lines.jsonl", 1500);
}

static void load_part(ld_component *part, const json_t *json, const ld_component_kind *const *kinds,
                      const char *line) {
  ld_error err = {0};
  ld_load load = {.name = "parts.jsonl", .where = "part", .kinds = kinds, .type = "", .err = &err};
  cr_assert(!ld_component_load(part, json, &load), "%s: %s", line, err.text);
}

static void check_normalizer(const json_t *row, const char *line) {
  ld_component part = {0};
  load_part(&part, json_array_get(row, 1), ld_normalizer_kinds, line);
  ld_normal normal = {0};
  const json_t *text = json_array_get(row, 2), *expected = json_array_get(row, 3);
  ld_text_append(&normal.text, json_string_value(text), json_string_length(text));
  cr_assert(!ld_normalize(&part, &normal, NULL), "%s", line);
  cr_assert_eq(normal.text.length, json_string_length(expected), "%s: got \"%s\"", line, normal.text.bytes);
  cr_assert(!memcmp(normal.text.bytes, json_string_value(expected), normal.text.length), "%s: got \"%s\"",
            line, normal.text.bytes);
  ld_text_free(&normal.text);
  ld_text_free(&normal.scratch);
  ld_component_free(&part);
}

typedef struct expected_pieces {
  ld_next self;
  const json_t *list;
  const char *line;
} expected_pieces;

static int compare_pieces(const ld_next *self, ld_pieces *pieces, ld_error *err) {
  const json_t *expected = ((const expected_pieces *)self)->list;
  const char *line = ((const expected_pieces *)self)->line;
  (void)err;
  cr_assert_eq(pieces->n, json_array_size(expected), "%s: %zu pieces", line, pieces->n);
  for (size_t i = 0; i < pieces->n; i++) {
    const json_t *piece = json_array_get(expected, i);
    const ld_piece *item = &pieces->items[i];
    cr_assert_eq(item->length, json_string_length(piece), "%s: piece %zu", line, i);
    cr_assert(!memcmp(pieces->bytes + item->start, json_string_value(piece), item->length), "%s: piece %zu",
              line, i);
  }
  return 0;
}

static void check_pre_tokenizer(const json_t *row, const char *line) {
  ld_component part = {0};
  load_part(&part, json_array_get(row, 1), ld_pre_tokenizer_kinds, line);
  const json_t *text = json_array_get(row, 2), *expected = json_array_get(row, 3);
  ld_pieces pieces = {.bytes = json_string_value(text)};
  size_t first = 0;
  if (json_string_length(text)) ld_utf8_next(pieces.bytes, &first);
  ld_pieces_add(&pieces, (ld_piece){0, json_string_length(text), first, -1});
  ld_pieces_swap(&pieces, false);
  const expected_pieces next = {{compare_pieces}, expected, line};
  cr_assert(!ld_pre_tokenize(&part, &pieces, &next.self, NULL), "%s", line);
  ld_pieces_free(&pieces);
  ld_component_free(&part);
}

typedef struct joined {
  ld_next self;
  ld_text *text; /* of all pieces, each followed by a bar */
} joined;

static int join_pieces(const ld_next *self, ld_pieces *pieces, ld_error *err) {
  ld_text *text = ((const joined *)self)->text;
  (void)err;
  cr_assert(pieces->n <= 4100);
  for (size_t i = 0; i < pieces->n; i++) {
    ld_text_append(text, pieces->bytes + pieces->items[i].start, pieces->items[i].length);
    ld_text_append(text, "|", 1);
  }
  return 0;
}

/* The pieces of a long text come in portions, and are the same as without. */
Test(tokenizer, long_texts_come_in_portions) {
  static const struct {
    const char *behavior, *first, *middle, *last;
  } cases[] = {{"Removed", "a|", "a|", "a|"},
               {"Isolated", "a|,|", "a|,|", "a|,|"},
               {"Contiguous", "a|,|", "a|,|", "a|,|"},
               {"MergedWithPrevious", "a,|", "a,|", "a,|"},
               {"MergedWithNext", "a|", ",a|", ",a|,|"}};
  const size_t n = 10000;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    json_t *json = json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "String", ",",
                             "behavior", cases[i].behavior, "invert", 0);
    ld_component part = {0};
    ld_text text = {0}, wanted = {0}, got = {0};
    load_part(&part, json, ld_pre_tokenizer_kinds, cases[i].behavior);
    for (size_t k = 0; k < n; k++) {
      ld_text_puts(&text, "a,");
      ld_text_puts(&wanted, k == 0 ? cases[i].first : k + 1 < n ? cases[i].middle : cases[i].last);
    }
    ld_pieces pieces = {.bytes = text.bytes};
    ld_pieces_add(&pieces, (ld_piece){0, text.length, 1, -1});
    ld_pieces_swap(&pieces, false);
    const joined next = {{join_pieces}, &got};
    cr_assert(!ld_pre_tokenize(&part, &pieces, &next.self, NULL));
    cr_assert(got.length == wanted.length && !memcmp(got.bytes, wanted.bytes, got.length), "%s",
              cases[i].behavior);
    ld_pieces_free(&pieces);
    ld_text_free(&text);
    ld_text_free(&wanted);
    ld_text_free(&got);
    ld_component_free(&part);
    json_decref(json);
  }
}

static void check_decoder(const json_t *row, const char *line) {
  ld_component part = {0};
  load_part(&part, json_array_get(row, 1), ld_decoder_kinds, line);
  const json_t *tokens = json_array_get(row, 2), *expected = json_array_get(row, 3);
  ld_chain chain;
  ld_text out = {0};
  ld_chain_init(&chain, &part, NULL, false);
  for (size_t i = 0; i < json_array_size(tokens); i++) {
    const json_t *token = json_array_get(tokens, i);
    ld_chain_token(&chain, json_string_value(token), json_string_length(token), &out);
  }
  ld_chain_finish(&chain, &out);
  cr_assert_eq(out.length, json_string_length(expected), "%s: got \"%s\"", line, out.bytes);
  cr_assert(!out.length || !memcmp(out.bytes, json_string_value(expected), out.length), "%s: got \"%s\"",
            line, out.bytes);
  ld_chain_free(&chain);
  ld_text_free(&out);
  ld_component_free(&part);
}

Test(tokenizer, parts) {
  FILE *file = fopen(GOLDEN "parts.jsonl", "r");
  cr_assert(file);
  char *line = NULL;
  size_t room = 0, n = 0;
  for (; next_line(file, &line, &room); n++) {
    json_t *row = json_loads(line, JSON_ALLOW_NUL, NULL);
    const char *family = json_string_value(json_array_get(row, 0));
    cr_assert(family, "%s", line);
    if (!strcmp(family, "normalizer"))
      check_normalizer(row, line);
    else if (!strcmp(family, "pre_tokenizer"))
      check_pre_tokenizer(row, line);
    else
      check_decoder(row, line);
    json_decref(row);
  }
  cr_assert_geq(n, 800);
  free(line);
  fclose(file);
}

Test(tokenizer, looks_up) {
  ld_tokenizer *t = open_style("llama2");
  cr_assert_eq(ld_tokenizer_id(t, "<s>"), 1);
  cr_assert_eq(ld_tokenizer_id(t, "<0x41>"), 3 + 0x41);
  cr_assert_eq(ld_tokenizer_id(t, "no such token"), -1);
  cr_assert_str_eq(ld_tokenizer_token(t, 2), "</s>");
  cr_assert_null(ld_tokenizer_token(t, -1));
  cr_assert_null(ld_tokenizer_token(t, ld_tokenizer_size(t)));
  cr_assert(ld_tokenizer_token(t, ld_tokenizer_size(t) - 1));
  cr_assert(ld_tokenizer_is_special(t, 1));
  cr_assert(!ld_tokenizer_is_special(t, 100));
  cr_assert(!ld_tokenizer_is_special(t, -1));
  ld_tokenizer_free(t);
}

Test(tokenizer, decoding_passes_over_unknown_ids) {
  ld_tokenizer *t = open_style("gpt2");
  const int32_t ids[] = {ld_tokenizer_id(t, "a"), -5, 1 << 30, ld_tokenizer_size(t), ld_tokenizer_id(t, "b")};
  ld_text out = {0};
  ld_tokenizer_decode(t, ids, 5, false, &out);
  cr_assert_str_eq(out.bytes, "ab");
  ld_text_free(&out);
  ld_tokenizer_free(t);
}

Test(tokenizer, encoding_appends_and_leaves_the_list_after_an_error) {
  ld_tokenizer *t = open_style("gpt2");
  static const char *const bad[] = {"\x80", "a\xc3",   "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                    "\xff", "\xe4\xbd"};
  ld_ids ids = {0};
  ld_ids_push(&ids, 7);
  cr_assert(!ld_tokenizer_encode(t, "a", 1, true, &ids, NULL));
  cr_assert(ids.n == 2 && ids.ids[0] == 7);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    ld_error err = {0};
    cr_assert_eq(ld_tokenizer_encode(t, bad[i], strlen(bad[i]), true, &ids, &err), LD_EFORMAT);
    cr_assert(strstr(err.text, "UTF-8"));
    cr_assert_eq(ids.n, 2);
  }
  ld_ids_free(&ids);
  ld_tokenizer_free(t);
}

/* A megabyte that is one word, and a heap full of equal pairs: quadratic time would take minutes. */
Test(tokenizer, long_words_take_no_square, .timeout = 30) {
  ld_tokenizer *t = open_style("llama2");
  const size_t n = 1 << 20;
  char *text = malloc(n);
  for (size_t i = 0; i < n; i++) text[i] = "the lamp "[i % 9];
  ld_ids ids = {0};
  ld_text out = {0};
  cr_assert(!ld_tokenizer_encode(t, text, n, false, &ids, NULL));
  ld_tokenizer_decode(t, ids.ids, ids.n, false, &out);
  cr_assert(out.length == n && !memcmp(out.bytes, text, n));
  memset(text, 'e', n);
  ids.n = 0;
  cr_assert(!ld_tokenizer_encode(t, text, n, false, &ids, NULL));
  ld_text_free(&out);
  ld_ids_free(&ids);
  free(text);
  ld_tokenizer_free(t);
}

#define MODEL "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}"
#define TOKEN(id, content)                                                                                   \
  "{\"id\":" id ",\"content\":" content                                                                      \
  ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":true,\"special\":false}"
#define NESTED "{\"type\":\"Sequence\",\"normalizers\":["
#define EIGHT(x) x x x x x x x x

static const struct {
  const char *json;
  int code;
  const char *says;
} broken[] = {
    {"", LD_EFORMAT, "line 1"},
    {"[1]", LD_EFORMAT, "JSON object"},
    {"{\"model\":", LD_EFORMAT, "line 1"},
    {"{}", LD_EFORMAT, "model is missing"},
    {"{\"version\":\"2.0\"," MODEL "}", LD_EUNSUPPORTED, "version"},
    {"{\"model\":{\"type\":\"BPE\",\"merges\":[]}}", LD_EFORMAT, "vocab"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}", LD_EFORMAT, "merges"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", LD_EFORMAT, "vocab \"a\""},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0.5},\"merges\":[]}}", LD_EFORMAT, "vocab \"a\""},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":4294967295},\"merges\":[]}}", LD_EFORMAT, "vocab \"a\""},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":4000000},\"merges\":[]}}", LD_EFORMAT,
     "only 2 tokens"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}}", LD_EFORMAT, "id 0 twice"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b\"]}}", LD_EFORMAT,
     "merges[0]"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"ac\":1},\"merges\":[\"a c\"]}}", LD_EFORMAT,
     "merges[0]"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a\"]}}", LD_EFORMAT, "merges[0]"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"aa\":1},\"merges\":[[\"a\",\"a\"],\"a a\"]}}",
     LD_EFORMAT, "merges"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}}", LD_EFORMAT, "merges[0]"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.1}}", LD_EUNSUPPORTED,
     "dropout"},
    {"{\"model\":{\"type\":\"WordLevel\",\"vocab\":{}}}", LD_EUNSUPPORTED, "\"WordLevel\""},
    {"{\"model\":{\"vocab\":{}}}", LD_EFORMAT, "WordPiece"},
    {"{\"normalizer\":{\"type\":\"Prepend\"}," MODEL "}", LD_EFORMAT, "prepend"},
    {"{\"normalizer\":" EIGHT(NESTED) EIGHT(NESTED) EIGHT(NESTED) "{\"type\":\"NFC\"}" EIGHT("]}") EIGHT("]}")
         EIGHT("]}") "," MODEL "}",
     LD_EFORMAT, "deep"},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?~a)\"},\"behavior\":\"Isolated\","
     "\"invert\":false}," MODEL "}",
     LD_EUNSUPPORTED, "(?~a)"},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"*\"},\"behavior\":\"Isolated\","
     "\"invert\":false}," MODEL "}",
     LD_EFORMAT, "\"*\""},
    {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"isolated\","
     "\"invert\":false}," MODEL "}",
     LD_EFORMAT, "behavior"},
    {"{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":1,\"trim_offsets\":true}," MODEL "}",
     LD_EFORMAT, "add_prefix_space"},
    {"{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}," MODEL "}", LD_EFORMAT,
     "one character"},
    {"{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"x\","
     "\"type_id\":0}}],"
     "\"pair\":[],\"special_tokens\":{}}," MODEL "}",
     LD_EFORMAT, "\"x\""},
    {"{\"decoder\":{\"type\":\"CTC\"}," MODEL "}", LD_EUNSUPPORTED, "\"CTC\""},
    {"{\"added_tokens\":{}," MODEL "}", LD_EFORMAT, "added_tokens"},
    {"{\"added_tokens\":[{\"id\":3,\"content\":\"x\"}]," MODEL "}", LD_EFORMAT, "single_word"},
    {"{\"added_tokens\":[" TOKEN("99999999999", "\"x\"") "]," MODEL "}", LD_EFORMAT, "token id"},
    {"{\"added_tokens\":[" TOKEN("3", "7") "]," MODEL "}", LD_EFORMAT, "content"},
    {"{\"normalizer\":{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true},\"added_tokens\":[" TOKEN(
         "3", "\" \"") "]," MODEL "}",
     LD_EUNSUPPORTED, "normalized to false"},
};

Test(tokenizer, refuses_what_is_broken_or_unknown) {
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    ld_tokenizer *t;
    ld_error err = {0};
    const int rc = ld_tokenizer_parse(broken[i].json, strlen(broken[i].json), "some.json", &t, &err);
    cr_assert_eq(rc, broken[i].code, "%s: %s", broken[i].json, err.text);
    cr_assert_null(t);
    cr_assert(strstr(err.text, broken[i].says) && strstr(err.text, "some.json"), "%s: %s", broken[i].json,
              err.text);
  }
}

Test(tokenizer, missing_file) {
  ld_tokenizer *t;
  ld_error err = {0};
  cr_assert_eq(ld_tokenizer_open(GOLDEN "none", &t, &err), LD_EFILE);
  cr_assert(strstr(err.text, "none"));
}

/* A missing unk_token only matters when an unknown character comes. */
Test(tokenizer, unk_token_outside_of_the_vocabulary) {
  static const char json[] =
      "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"vocab\":{\"a\":0},\"merges\":[]}}";
  ld_tokenizer *t;
  ld_ids ids = {0};
  ld_error err = {0};
  cr_assert(!ld_tokenizer_parse(json, strlen(json), "some.json", &t, NULL));
  cr_assert(!ld_tokenizer_encode(t, "aa", 2, true, &ids, NULL));
  cr_assert_eq(ids.n, 2);
  cr_assert_eq(ld_tokenizer_encode(t, "ax", 2, true, &ids, &err), LD_EFORMAT);
  cr_assert(strstr(err.text, "\"?\""));
  ld_ids_free(&ids);
  ld_tokenizer_free(t);
}
