/* The Unigram model, and the styles of tokenizers with it. */
#include "tokenizer_golden.h"

Test(unigram, t5) {
  check_style("t5", "lines.jsonl", 1500);
}

Test(unigram, pegasus) {
  check_style("pegasus", "lines.jsonl", 1500);
}

#define MODEL(unk, fallback, vocab)                                                                          \
  "{\"model\":{\"unk_id\":" unk ",\"byte_fallback\":" fallback ",\"vocab\":[" vocab "]}}"
#define LETTERS "[\"<unk>\",0],[\"a\",-1],[\"b\",-1]"
#define BYTES "[\"<unk>\",0],[\"<0xC3>\",-1],[\"<0xA9>\",-1]"

static ld_tokenizer *parse(const char *json) {
  ld_tokenizer *t;
  ld_error err = {0};
  cr_assert(!ld_tokenizer_parse(json, strlen(json), "some.json", &t, &err), "%s", err.text);
  return t;
}

/* What the library (0.23.3) makes of them. */
static const struct {
  const char *why, *model, *text, *ids;
} cases[] = {
    {"the sum decides", MODEL("0", "false", LETTERS ",[\"ab\",-1.5],[\"bc\",-2],[\"c\",-3]"), "abc", "1 4 "},
    {"the first of equal ways, by their starts",
     MODEL("0", "false", LETTERS ",[\"c\",-1],[\"ab\",-1],[\"bc\",-1]"), "abc", "1 5 "},
    {"the longest last piece of equal ways",
     MODEL("0", "false", "[\"<unk>\",0],[\"a\",-1],[\"aa\",-2],[\"aaa\",-3]"), "aaaa", "1 3 "},
    {"unknown characters become one", MODEL("0", "false", LETTERS), "axyzb", "1 0 2 "},
    {"unknown characters that are a piece together", MODEL("0", "false", "[\"<unk>\",300],[\"xy\",100]"),
     "xyxy", "0 "},
    {"the same", MODEL("0", "false", "[\"<unk>\",300],[\"xy\",100]"), "xy", "1 "},
    {"bytes", MODEL("0", "true", BYTES), "\xc3\xa9\xc3\xa9", "1 2 1 2 "},
    {"all bytes must be there", MODEL("0", "true", BYTES), "\xc3\xa9x", "0 "},
    {"of equal pieces the last, with its score",
     MODEL("0", "false", "[\"<unk>\",0],[\"a\",-1],[\"a\",-5],[\"\",-50]"), "aa", "2 2 "},
    {"no unk_id where no character is unknown", MODEL("null", "false", LETTERS), "ab", "1 2 "},
    {"no unk_id where a piece covers the unknown character",
     MODEL("null", "false", "[\"ab\",3],[\"a\",0],[\"c\",1]"), "abc", "0 2 "},
    {"scores are read with the library's two roundings",
     MODEL("0", "false", "[\"<unk>\",0],[\"a\",-12.510705066980567],[\"b\",-1],[\"ab\",-13.510705066980568]"),
     "ab", "3 "},
};

static void check(const char *why, const char *model, const char *text, const char *wanted) {
  ld_tokenizer *t = parse(model);
  ld_ids ids = {0};
  ld_text got = {0};
  ld_error err = {0};
  cr_assert(!ld_tokenizer_encode(t, text, strlen(text), true, &ids, &err), "%s: %s", why, err.text);
  for (size_t i = 0; i < ids.n; i++) ld_text_printf(&got, "%d ", (int)ids.ids[i]);
  cr_assert_str_eq(got.bytes, wanted, "%s: got %s, expected %s", why, got.bytes, wanted);
  ld_text_free(&got);
  ld_ids_free(&ids);
  ld_tokenizer_free(t);
}

Test(unigram, best_way) {
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    check(cases[i].why, cases[i].model, cases[i].text, cases[i].ids);
}

Test(unigram, unknown_without_unk_id) {
  ld_tokenizer *t = parse(MODEL("null", "false", LETTERS));
  ld_ids ids = {0};
  ld_error err = {0};
  cr_assert_eq(ld_tokenizer_encode(t, "abx", 3, true, &ids, &err), LD_EFORMAT);
  cr_assert(strstr(err.text, "unk_id"), "%s", err.text);
  cr_assert_eq(ids.n, 0);
  ld_tokenizer_free(t);
  ld_ids_free(&ids);
}

/* A text that is one word, with a long part in it that no place divides. */
Test(unigram, long_words) {
  ld_tokenizer *t = parse(MODEL("0", "false", LETTERS ",[\"ab\",-1.5],[\"ba\",-1.6],[\"aba\",-2.5]"));
  ld_text text = {0};
  ld_ids ids = {0};
  for (int i = 0; i < 20000; i++) ld_text_puts(&text, i % 1000 < 900 ? "ab" : "x");
  cr_assert(!ld_tokenizer_encode(t, text.bytes, text.length, true, &ids, NULL));
  cr_assert_eq(ids.n, 20 * (900 + 1));
  for (size_t i = 0; i < ids.n; i++) cr_assert_eq(ids.ids[i], i % 901 < 900 ? 3 : 0);
  ld_ids_free(&ids);
  ld_text_free(&text);
  ld_tokenizer_free(t);
}

/* Equal pieces both have a spelling, and added tokens come after all of them. */
Test(unigram, repeated_pieces) {
  ld_tokenizer *t = parse("{\"model\":{\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"a\",-1],[\"a\",-2],[\"\",-3]]"
                          "},\"added_tokens\":[{\"id\":4,"
                          "\"content\":\"<x>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                          "\"normalized\":false,\"special\":true}]}");
  cr_assert_str_eq(ld_tokenizer_token(t, 1), "a");
  cr_assert_str_eq(ld_tokenizer_token(t, 2), "a");
  cr_assert_str_eq(ld_tokenizer_token(t, 3), "");
  cr_assert_eq(ld_tokenizer_id(t, "a"), 2);
  cr_assert_eq(ld_tokenizer_id(t, "<x>"), 4);
  cr_assert_eq(ld_tokenizer_size(t), 5);
  ld_tokenizer_free(t);
}

static const struct {
  const char *json, *says;
} broken[] = {
    {MODEL("0", "false", ""), "unk_id"},
    {MODEL("3", "false", LETTERS), "unk_id"},
    {MODEL("-1", "false", LETTERS), "unk_id"},
    {MODEL("0", "1", LETTERS), "byte_fallback"},
    {MODEL("0", "false", LETTERS ",[\"c\"]"), "vocab[3]"},
    {MODEL("0", "false", LETTERS ",[\"c\",0,0]"), "vocab[3]"},
    {MODEL("0", "false", LETTERS ",[7,0]"), "vocab[3]"},
    {MODEL("0", "false", LETTERS ",[\"c\",\"d\"]"), "vocab[3]"},
    {MODEL("0", "false", LETTERS ",null"), "vocab[3]"},
    {"{\"model\":{\"type\":\"Unigram\",\"vocab\":{\"a\":0}}}", "vocab"},
    {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":0}}", "vocab"},
};

Test(unigram, refuses_what_is_broken) {
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    ld_tokenizer *t;
    ld_error err = {0};
    cr_assert_eq(ld_tokenizer_parse(broken[i].json, strlen(broken[i].json), "some.json", &t, &err),
                 LD_EFORMAT, "%s", broken[i].json);
    cr_assert(strstr(err.text, broken[i].says) && strstr(err.text, "some.json"), "%s: %s", broken[i].json,
              err.text);
  }
}
