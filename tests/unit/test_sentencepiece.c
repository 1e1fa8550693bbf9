/* SentencePiece's model files: a small one by hand, and whatever is cut or damaged. */
#include "io/tokenizer/sentencepiece.h"

#include "scratch.h"
#include "tokenizer_golden.h"

Test(sentencepiece, spiece) {
  check_style("spiece", "lines.jsonl", 1500);
}

/* By its own path, too. */
Test(sentencepiece, path_of_the_model) {
  ld_tokenizer *t;
  ld_error err = {0};
  cr_assert(!ld_tokenizer_open(GOLDEN "spiece/spiece.model", &t, &err), "%s", err.text);
  cr_assert_eq(ld_tokenizer_id(t, "<extra_id_0>"), ld_tokenizer_size(t) - 1);
  ld_tokenizer_free(t);
}

/* Pieces "<unk>" (score 0, type 2), "<s>" (control), "a" (score -1.5), "b" (no score); unk_id 0; an unknown field 9
 * of each wire type. */
#define PIECES                                                                                               \
  "\x0a\x0e\x0a\x05<unk>\x15\0\0\0\0\x18\x02"                                                                \
  "\x0a\x07\x0a\x03<s>\x18\x03"                                                                              \
  "\x0a\x08\x0a\x01"                                                                                         \
  "a\x15\0\0\xc0\xbf"                                                                                        \
  "\x0a\x03\x0a\x01"                                                                                         \
  "b"
#define OTHERS "\x48\x80\x01\x49--------\x4a\x02--\x4d----"
#define MODEL PIECES "\x12\x03\xc0\x02\x00" OTHERS

static json_t *read_model(const char *bytes, size_t length, ld_error *err) {
  json_t *out;
  if (!ld_sentencepiece_read(bytes, length, "some.model", &out, err)) return out;
  cr_assert_null(out);
  return NULL;
}

Test(sentencepiece, pieces) {
  ld_error err = {0};
  json_t *root = read_model(MODEL, sizeof MODEL - 1, &err);
  cr_assert(root, "%s", err.text);
  char *text = json_dumps(root, JSON_SORT_KEYS | JSON_COMPACT);
  cr_assert_str_eq(
      text,
      "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0.0],[\"<s>\",0.0],[\"a\",-1.5],"
      "[\"b\",0.0]]},\"pieces\":[{\"__type\":\"AddedToken\",\"content\":\"<s>\",\"normalized\":false,"
      "\"special\":true}]}");
  free(text);
  json_decref(root);
}

/* Cut anywhere within a field, it is an error; between two fields, the rest is missing. */
Test(sentencepiece, cut) {
  static const size_t between[] = {16, 25, 35, 40, 45, 48, 57, 61, sizeof MODEL - 1};
  for (size_t n = 0; n < sizeof MODEL; n++) {
    ld_error err = {0};
    char *copy = ld_alloc(n, 1); /* so that a sanitizer sees what is read beyond */
    memcpy(copy, MODEL, n);
    bool whole = false;
    for (size_t i = 0; i < sizeof between / sizeof *between; i++) whole = whole || between[i] == n;
    json_t *root = read_model(copy, n, &err);
    cr_assert_eq(root != NULL, whole, "%zu bytes: %s", n, err.text);
    cr_assert(root || (err.code == LD_EFORMAT && strstr(err.text, "some.model")), "%s", err.text);
    json_decref(root);
    free(copy);
  }
}

static const struct {
  const char *why, *bytes;
  size_t length;
  int code;
} broken[] = {
#define BROKEN(why, bytes, code)                                                                             \
  { why, bytes, sizeof bytes - 1, code }
    BROKEN("a text", "lamp", LD_EFORMAT),
    BROKEN("a length beyond the end", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", LD_EFORMAT),
    BROKEN("an endless number", "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", LD_EFORMAT),
    BROKEN("a group", PIECES "\x4b\x4c", LD_EFORMAT),
    BROKEN("a piece that is not UTF-8", "\x0a\x03\x0a\x01\xff", LD_EFORMAT),
    BROKEN("a score that is no number",
           "\x0a\x08\x0a\x01"
           "a\x15\0\0\xc0\x7f",
           LD_EFORMAT),
    BROKEN("unk_id beyond the pieces", PIECES "\x12\x03\xc0\x02\x04", LD_EFORMAT),
    BROKEN("no pieces", "\x12\x03\xc0\x02\x00", LD_EFORMAT),
    BROKEN("BPE", PIECES "\x12\x02\x18\x02", LD_EUNSUPPORTED),
};

Test(sentencepiece, refuses_what_is_broken) {
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
    ld_error err = {0};
    cr_assert_null(read_model(broken[i].bytes, broken[i].length, &err), "%s", broken[i].why);
    cr_assert(err.code == broken[i].code && strstr(err.text, "some.model"), "%s: %s", broken[i].why,
              err.text);
  }
}

/* A folder whose class has another file, or which names no class. */
Test(sentencepiece, needs_a_class) {
  static const struct {
    const char *file, *settings, *says;
  } cases[] = {{"spm.model", "{\"tokenizer_class\": \"T5Tokenizer\"}", "save_pretrained"},
               {"spiece.model", "{}", "save_pretrained"},
               {"tokenizer.model", "{\"tokenizer_class\": \"LlamaTokenizer\"}", "save_pretrained"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *folder = scratch_new();
    ld_tokenizer *t;
    ld_error err = {0};
    free(scratch_file(folder, cases[i].file, MODEL, sizeof MODEL - 1));
    free(scratch_file(folder, "tokenizer_config.json", cases[i].settings, strlen(cases[i].settings)));
    cr_assert(ld_tokenizer_open(folder, &t, &err) < 0);
    cr_assert(strstr(err.text, cases[i].says) && strstr(err.text, folder), "%s", err.text);
    scratch_end(folder);
  }
}
