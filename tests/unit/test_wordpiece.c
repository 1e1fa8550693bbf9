#include "scratch.h"
#include "tokenizer_golden.h"

#define BERT_LINES "bert.jsonl"

Test(wordpiece, uncased) {
  check_style("bert", BERT_LINES, 400);
}

Test(wordpiece, cased) {
  check_style("bert_cased", BERT_LINES, 400);
}

Test(wordpiece, accents_kept_and_no_chinese) {
  check_style("bert_accents", BERT_LINES, 400);
}

Test(wordpiece, text_not_cleaned) {
  check_style("bert_raw", BERT_LINES, 400);
}

Test(wordpiece, vocab_txt_with_settings) {
  check_style("bert_vocab", BERT_LINES, 400);
}

/* Without settings beside it, and by its own path: bert's vocabulary from its tokenizer.json, whose options
 * are the defaults. Lines end as on Windows, and of a repeated token the later id counts. */
Test(wordpiece, vocab_txt_alone) {
  ld_tokenizer *golden = open_style("bert"), *t;
  ld_error err = {0};
  ld_text vocab = {0};
  for (int32_t id = 0; id < ld_tokenizer_size(golden); id++)
    ld_text_printf(&vocab, "%s \r\n", ld_tokenizer_token(golden, id));
  char *folder = scratch_new(), *path = scratch_file(folder, "vocab.txt", vocab.bytes, vocab.length);
  cr_assert(!ld_tokenizer_open(path, &t, &err), "%s", err.text);
  check_expected(t, "bert", BERT_LINES, 400);
  cr_assert(ld_tokenizer_is_special(t, ld_tokenizer_id(t, "[MASK]")));
  ld_tokenizer_free(t);
  const int32_t size = ld_tokenizer_size(golden);
  ld_text_puts(&vocab, "lamp\n");
  free(scratch_file(folder, "vocab.txt", vocab.bytes, vocab.length));
  cr_assert(!ld_tokenizer_open(folder, &t, &err), "%s", err.text);
  cr_assert_eq(ld_tokenizer_id(t, "lamp"), size);
  ld_tokenizer_free(t);
  ld_tokenizer_free(golden);
  ld_text_free(&vocab);
  free(path);
  scratch_end(folder);
}

static json_t *golden_model(const char *style) {
  char *path = ld_format(GOLDEN "%s/tokenizer.json", style);
  json_t *root = json_load_file(path, 0, NULL);
  cr_assert(root, "%s", path);
  free(path);
  return root;
}

/* vocab.json with the added tokens of the style in it, and merges.txt. */
static void write_bpe(const char *folder, const char *style) {
  json_t *root = golden_model(style), *model = json_object_get(root, "model"), *entry;
  json_t *vocab = json_object_get(model, "vocab"), *merges = json_object_get(model, "merges");
  size_t i;
  json_array_foreach(json_object_get(root, "added_tokens"), i, entry) json_object_set(
      vocab, json_string_value(json_object_get(entry, "content")), json_object_get(entry, "id"));
  char *text = json_dumps(vocab, 0);
  scratch_text(folder, "vocab.json", text);
  free(text);
  ld_text lines = {0};
  ld_text_puts(&lines, "#version: 0.2\n");
  json_array_foreach(merges, i, entry)
      ld_text_printf(&lines, "%s %s\n", json_string_value(json_array_get(entry, 0)),
                     json_string_value(json_array_get(entry, 1)));
  scratch_text(folder, "merges.txt", lines.bytes);
  ld_text_free(&lines);
  json_decref(root);
}

static void check_folder(const char *folder, const char *style) {
  ld_tokenizer *t;
  ld_error err = {0};
  cr_assert(!ld_tokenizer_open(folder, &t, &err), "%s", err.text);
  check_expected(t, style, "lines.jsonl", 1500);
  ld_tokenizer_free(t);
}

Test(wordpiece, vocab_json_of_gpt2) {
  char *folder = scratch_new();
  write_bpe(folder, "gpt2");
  check_folder(folder, "gpt2");
  scratch_end(folder);
}

Test(wordpiece, vocab_json_of_roberta) {
  char *folder = scratch_new();
  write_bpe(folder, "roberta");
  scratch_text(folder, "tokenizer_config.json",
               "{\"tokenizer_class\": \"RobertaTokenizer\", \"add_prefix_space\": true}");
  scratch_text(folder, "special_tokens_map.json",
               "{\"mask_token\": {\"content\": \"<mask>\", \"lstrip\": true, \"normalized\": false}}");
  check_folder(folder, "roberta");
  scratch_end(folder);
}

/* Only config.json may name the class; added_tokens_decoder rules out special_tokens_map.json. */
Test(wordpiece, roberta_by_its_config) {
  char *folder = scratch_new();
  write_bpe(folder, "roberta");
  scratch_text(folder, "config.json", "{\"model_type\": \"roberta\"}");
  scratch_text(folder, "tokenizer_config.json",
               "{\"add_prefix_space\": true, \"added_tokens_decoder\": {\"7\": {\"content\": \"<mask>\", "
               "\"lstrip\": true, \"normalized\": false, \"special\": true}}}");
  scratch_text(folder, "special_tokens_map.json", "{\"mask_token\": \"no\", \"cls_token\": \"no\"}");
  check_folder(folder, "roberta");
  scratch_end(folder);
}

Test(wordpiece, gpt2_with_bos_and_new_tokens) {
  char *folder = scratch_new();
  write_bpe(folder, "gpt2");
  scratch_text(folder, "tokenizer_config.json",
               "{\"tokenizer_class\": \"GPT2Tokenizer\", \"add_bos_token\": true, \"bos_token\": \"<b>\"}");
  scratch_text(folder, "added_tokens.json", "{\"kettle\": 900, \"lamp\": 899}");
  ld_tokenizer *t;
  ld_ids ids = {0}, types = {0};
  cr_assert(!ld_tokenizer_open(folder, &t, NULL));
  const int32_t lamp = ld_tokenizer_id(t, "lamp");
  cr_assert_eq(ld_tokenizer_id(t, "kettle"), lamp + 1);
  cr_assert_eq(ld_tokenizer_id(t, "<b>"), lamp + 2);
  cr_assert(ld_tokenizer_is_special(t, lamp + 2) && !ld_tokenizer_is_special(t, lamp));
  cr_assert(!ld_tokenizer_encode_input(t, &(ld_input){"lamp", 4, "kettle", 6, 0, NULL}, &ids, &types, NULL));
  const int32_t expected[] = {lamp + 2, lamp, lamp + 2, lamp + 1}, kinds[] = {0, 0, 1, 1};
  cr_assert(ids.n == 4 && !memcmp(ids.ids, expected, sizeof expected));
  cr_assert(types.n == 4 && !memcmp(types.ids, kinds, sizeof kinds));
  ld_ids_free(&ids);
  ld_ids_free(&types);
  ld_tokenizer_free(t);
  scratch_end(folder);
}

static json_t *read_lines(const char *name) {
  char *path = ld_format(GOLDEN "%s", name), *line = NULL;
  FILE *file = fopen(path, "r");
  cr_assert(file, "%s", path);
  size_t room = 0;
  json_t *lines = json_array();
  while (next_line(file, &line, &room)) json_array_append_new(lines, string_of(line));
  fclose(file);
  free(line);
  free(path);
  return lines;
}

static char *column(char **rest) {
  char *start = strsep(rest, "\t");
  cr_assert(start);
  return start;
}

static void check_input(const ld_tokenizer *t, const char *style, const json_t *lines, char *row) {
  char *all = ld_strdup(row), *rest = all;
  const json_t *text = json_array_get(lines, strtoul(column(&rest), NULL, 10));
  const char *second = column(&rest);
  const json_t *pair = *second == '-' ? NULL : json_array_get(lines, strtoul(second, NULL, 10));
  const size_t most = strtoul(column(&rest), NULL, 10);
  const char *code = column(&rest), *digits = column(&rest);
  ld_ids expected = ids_of(code, strlen(code)), ids = {0}, types = {0};
  ld_error err = {0};
  const ld_input input = {json_string_value(text),
                          json_string_length(text),
                          json_string_value(pair),
                          json_string_length(pair),
                          most,
                          NULL};
  cr_assert(!ld_tokenizer_encode_input(t, &input, &ids, &types, &err), "%s: %s: %s", style, row, err.text);
  expect_ids(style, row, &ids, &expected);
  cr_assert_eq(types.n, strlen(digits), "%s: %s", style, row);
  for (size_t i = 0; i < types.n; i++) cr_assert_eq(types.ids[i], digits[i] - '0', "%s: %s", style, row);
  cr_assert(!most || ids.n <= most);
  ld_ids_free(&expected);
  ld_ids_free(&ids);
  ld_ids_free(&types);
  free(all);
}

static void check_inputs(const char *style, const char *lines_name) {
  ld_tokenizer *t = open_style(style);
  json_t *lines = read_lines(lines_name);
  char *path = ld_format(GOLDEN "%s/inputs.txt", style), *row = NULL;
  FILE *file = fopen(path, "r");
  cr_assert(file, "%s", path);
  size_t room = 0, n = 0;
  for (; next_line(file, &row, &room); n++) check_input(t, style, lines, row);
  cr_assert_geq(n, 200);
  fclose(file);
  free(row);
  free(path);
  json_decref(lines);
  ld_tokenizer_free(t);
}

Test(wordpiece, inputs) {
  check_inputs("bert", BERT_LINES);
  check_inputs("bert_cased", BERT_LINES);
  check_inputs("bert_vocab", BERT_LINES);
}

Test(wordpiece, inputs_of_unigram) {
  check_inputs("t5", "lines.jsonl");
  check_inputs("pegasus", "lines.jsonl");
}

Test(wordpiece, inputs_of_byte_level) {
  check_inputs("roberta", "lines.jsonl");
  check_inputs("gpt2", "lines.jsonl");
  check_inputs("llama3", "lines.jsonl");
  check_inputs("clip_vocab", "clip.jsonl");
}

/* Every limit, for texts of every length: never above it, and exactly at it whenever something was truncated. */
Test(wordpiece, limits_are_reached_and_kept) {
  ld_tokenizer *t = open_style("bert");
  const char *word = "a a a a a a a a a a";
  for (size_t n = 0; n <= 10; n++)
    for (size_t m = 0; m <= 10; m++)
      for (size_t most = 3; most < 26; most++) {
        ld_ids ids = {0}, types = {0};
        const ld_input input = {.text = word,
                                .length = n ? 2 * n - 1 : 0,
                                .pair = word,
                                .pair_length = m ? 2 * m - 1 : 0,
                                .most = most};
        cr_assert(!ld_tokenizer_encode_input(t, &input, &ids, &types, NULL));
        cr_assert_eq(ids.n, n + m + 3 < most ? n + m + 3 : most);
        cr_assert_eq(types.n, ids.n);
        ld_ids_free(&ids);
        ld_ids_free(&types);
      }
  ld_tokenizer_free(t);
}

Test(wordpiece, input_errors_leave_the_lists) {
  ld_tokenizer *t = open_style("bert");
  ld_ids ids = {0}, types = {0};
  ld_error err = {0};
  cr_assert(!ld_tokenizer_encode_input(t, &(ld_input){"lamp", 4, "", 0, 3, NULL}, &ids, &types, NULL));
  cr_assert_eq(ids.n, 3);
  cr_assert_eq(ld_tokenizer_encode_input(t, &(ld_input){"lamp", 4, "", 0, 2, NULL}, &ids, &types, &err),
               LD_EMISMATCH);
  cr_assert(strstr(err.text, "3 special tokens"), "%s", err.text);
  cr_assert_eq(ld_tokenizer_encode_input(t, &(ld_input){"lamp", 4, NULL, 0, 1, NULL}, &ids, &types, &err),
               LD_EMISMATCH);
  cr_assert_eq(ld_tokenizer_encode_input(t, &(ld_input){"\xff", 1, NULL, 0, 0, NULL}, &ids, &types, &err),
               LD_EFORMAT);
  cr_assert_eq(ld_tokenizer_encode_input(t, &(ld_input){"a", 1, "\xff", 1, 0, NULL}, &ids, &types, &err),
               LD_EFORMAT);
  cr_assert(ids.n == 3 && types.n == 3);
  ld_ids_free(&ids);
  ld_ids_free(&types);
  ld_tokenizer_free(t);
}

/* A megabyte that is one word, allowed by the file: look-ups end at the longest token. */
Test(wordpiece, long_words_take_no_square, .timeout = 30) {
  static const char json[] =
      "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"?\",\"continuing_subword_prefix\":\"##\","
      "\"max_input_chars_per_word\":100000000,\"vocab\":{\"a\":0,\"##a\":1,\"##aa\":2}}}";
  ld_tokenizer *t;
  cr_assert(!ld_tokenizer_parse(json, strlen(json), "some.json", &t, NULL));
  const size_t n = (1 << 20) + 1;
  char *text = malloc(n);
  memset(text, 'a', n);
  ld_ids ids = {0};
  ld_error err = {0};
  cr_assert(!ld_tokenizer_encode(t, text, n, true, &ids, NULL));
  cr_assert_eq(ids.n, 1 + n / 2);
  text[n - 1] = 'b';
  cr_assert_eq(ld_tokenizer_encode(t, text, n, true, &ids, &err), LD_EFORMAT);
  cr_assert(strstr(err.text, "\"?\""), "%s", err.text);
  cr_assert_eq(ids.n, 1 + n / 2);
  ld_ids_free(&ids);
  free(text);
  ld_tokenizer_free(t);
}

#define WORDPIECE(rest) "\"model\":{\"type\":\"WordPiece\"," rest "}}"
#define VOCAB "\"vocab\":{\"u\":0,\"a\":1,\"##b\":2}"
#define SOUND                                                                                                \
  WORDPIECE("\"unk_token\":\"u\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":"         \
            "9," VOCAB)
#define TEMPLATE(single, pair)                                                                               \
  "{\"post_processor\":{\"type\":\"TemplateProcessing\"," single pair                                        \
  "\"special_tokens\":{\"s\":{\"id\":\"s\",\"ids\":[0],\"tokens\":[\"u\"]}}}," SOUND

static const struct {
  const char *json;
  int code;
  const char *says;
} broken[] = {
    {"{" WORDPIECE("\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":9," VOCAB), LD_EFORMAT,
     "unk_token"},
    {"{" WORDPIECE(
         "\"unk_token\":null,\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":9," VOCAB),
     LD_EFORMAT, "unk_token"},
    {"{" WORDPIECE("\"unk_token\":\"u\",\"max_input_chars_per_word\":9," VOCAB), LD_EFORMAT,
     "continuing_subword_prefix"},
    {"{" WORDPIECE("\"unk_token\":\"u\",\"continuing_subword_prefix\":\"##\"," VOCAB), LD_EFORMAT,
     "max_input_chars_per_word"},
    {"{" WORDPIECE(
         "\"unk_token\":\"u\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":-1," VOCAB),
     LD_EFORMAT, "max_input_chars_per_word"},
    {"{" WORDPIECE("\"unk_token\":\"u\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":9"),
     LD_EFORMAT, "vocab"},
    {"{" WORDPIECE("\"unk_token\":\"u\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":9,"
                   "\"vocab\":[\"u\"]"),
     LD_EFORMAT, "vocab"},
    {"{" WORDPIECE("\"unk_token\":\"u\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":9,"
                   "\"vocab\":{\"u\":-1}"),
     LD_EFORMAT, "vocab \"u\""},
    {"{" WORDPIECE("\"unk_token\":\"u\",\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":9,"
                   "\"vocab\":{\"u\":0,\"v\":4000000}"),
     LD_EFORMAT, "only 2 tokens"},
    {"{\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true}," SOUND,
     LD_EFORMAT, "lowercase"},
    {"{\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,"
     "\"lowercase\":true,\"strip_accents\":1}," SOUND,
     LD_EFORMAT, "strip_accents"},
    {"{\"decoder\":{\"type\":\"WordPiece\",\"cleanup\":true}," SOUND, LD_EFORMAT, "prefix"},
    {"{\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\"}," SOUND, LD_EFORMAT, "cleanup"},
    {"{\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"a\",1]}," SOUND, LD_EFORMAT, "sep"},
    {TEMPLATE("\"single\":[],", ""), LD_EFORMAT, "pair"},
    {TEMPLATE("\"single\":[{\"Sequence\":{\"id\":\"B\",\"type_id\":0}}],", "\"pair\":[],"), LD_EFORMAT,
     "single"},
    {TEMPLATE("\"single\":[],", "\"pair\":[{\"Sequence\":{\"id\":\"C\",\"type_id\":0}}],"), LD_EFORMAT,
     "pair"},
    {TEMPLATE("\"single\":[],", "\"pair\":[{\"Sequence\":{\"id\":\"A\"}}],"), LD_EFORMAT, "type_id"},
    {TEMPLATE("\"single\":[],", "\"pair\":[{\"SpecialToken\":{\"id\":\"t\",\"type_id\":0}}],"), LD_EFORMAT,
     "which pair names"},
};

Test(wordpiece, refuses_what_is_broken) {
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

static const struct {
  const char *vocabulary, *text, *settings;
  int code;
  const char *says;
} broken_folders[] = {
    {"vocab.txt", "[UNK]\n\xff\n", NULL, LD_EFORMAT, "UTF-8"},
    {"vocab.txt", "[UNK]\n", "{\"do_lower_case\": \"yes\"}", LD_EFORMAT, "do_lower_case"},
    {"vocab.txt", "[UNK]\n", "{\"strip_accents\": 0}", LD_EFORMAT, "strip_accents"},
    {"vocab.txt", "[UNK]\n", "{\"cls_token\": null}", LD_EFORMAT, "cls_token"},
    {"vocab.txt", "[UNK]\n", "{\"sep_token\": [1]}", LD_EFORMAT, "sep_token"},
    {"vocab.txt", "[UNK]\n", "{\"added_tokens_decoder\": {\"1\": \"a\"}}", LD_EFORMAT,
     "added_tokens_decoder"},
    {"vocab.txt", "[UNK]\n", "{\"tokenizer_class\": \"MPNetTokenizer\"}", LD_EUNSUPPORTED, "MPNetTokenizer"},
    {"vocab.txt", "[UNK]\n", "[]", LD_EFORMAT, "tokenizer_config.json"},
    {"vocab.txt", "[UNK]\n", "{", LD_EFORMAT, "tokenizer_config.json"},
    {"vocab.json", "[]", NULL, LD_EFORMAT, "vocab.json"},
    {"vocab.json", "{\"a\": 1,}", NULL, LD_EFORMAT, "line 1"},
    {"vocab.json", "{\"a\": 0, \"b\": 1}", NULL, LD_EFORMAT, "merges[1]"},
    {"vocab.json", "{\"a\": 0}", "{\"tokenizer_class\": \"LlamaTokenizer\"}", LD_EUNSUPPORTED,
     "tokenizer.json"},
    {"tokens.txt", "a\n", NULL, LD_EFILE, "vocab.txt"},
};

Test(wordpiece, refuses_broken_folders) {
  for (size_t i = 0; i < sizeof broken_folders / sizeof *broken_folders; i++) {
    char *folder = scratch_new();
    ld_tokenizer *t;
    ld_error err = {0};
    scratch_text(folder, broken_folders[i].vocabulary, broken_folders[i].text);
    scratch_text(folder, "merges.txt", "#version: 0.2\na b\n");
    if (broken_folders[i].settings) scratch_text(folder, "tokenizer_config.json", broken_folders[i].settings);
    const int rc = ld_tokenizer_open(folder, &t, &err);
    cr_assert_eq(rc, broken_folders[i].code, "%zu: %s", i, err.text);
    cr_assert_null(t);
    cr_assert(strstr(err.text, broken_folders[i].says) && strstr(err.text, folder), "%zu: %s", i, err.text);
    scratch_end(folder);
  }
}
