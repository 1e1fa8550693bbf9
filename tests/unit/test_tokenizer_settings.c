/* Settings beside a vocabulary: each line of settings.jsonl (tokenizer_settings.py describes the format) as a
 * folder; and the limits on a hostile tokenizer.json. */
#include "scratch.h"
#include "tokenizer_golden.h"

static void write_json(const char *folder, const char *name, const json_t *value) {
  char *text = json_dumps(value, 0);
  free(scratch_file(folder, name, text, strlen(text)));
  free(text);
}

static char *folder_of(const json_t *line) {
  char *folder = scratch_new(), *link = ld_path_join(folder, "tokenizer.json");
  char *target = ld_format(GOLDEN "%s/tokenizer.json", json_string_value(json_object_get(line, "style")));
  cr_assert_eq(symlink(target, link), 0);
  json_t *files = json_object_get(line, "files"), *value;
  const char *name;
  json_object_foreach(files, name, value) write_json(folder, name, value);
  free(link);
  free(target);
  return folder;
}

static void expect_list(const char *what, const ld_ids *got, const json_t *expected) {
  cr_assert_eq(got->n, json_array_size(expected), "%s: %zu ids, expected %zu", what, got->n,
               json_array_size(expected));
  for (size_t i = 0; i < got->n; i++)
    cr_assert_eq(got->ids[i], json_integer_value(json_array_get(expected, i)), "%s: id %zu is %d", what, i,
                 got->ids[i]);
}

/* [text, ids with special tokens, truncated to 7, those decoded without special tokens] */
static void check_row(const ld_tokenizer *t, const char *what, const json_t *row) {
  const json_t *text = json_array_get(row, 0), *decoded = json_array_get(row, 3);
  const char *s = json_string_value(text);
  const size_t n = json_string_length(text);
  ld_ids ids = {0}, cut = {0}, types = {0};
  ld_error err = {0};
  ld_text out = {0};
  cr_assert(!ld_tokenizer_encode(t, s, n, true, &ids, &err), "%s: %s", what, err.text);
  expect_list(what, &ids, json_array_get(row, 1));
  cr_assert(!ld_tokenizer_encode_input(t, &(ld_input){.text = s, .length = n, .most = 7}, &cut, &types, &err),
            "%s: %s", what, err.text);
  expect_list(what, &cut, json_array_get(row, 2));
  ld_tokenizer_decode(t, ids.ids, ids.n, true, &out);
  cr_assert_str_eq(out.bytes ? out.bytes : "", json_string_value(decoded), "%s", what);
  ld_ids_free(&ids);
  ld_ids_free(&cut);
  ld_ids_free(&types);
  ld_text_free(&out);
}

Test(tokenizer_settings, are_merged_as_transformers_does) {
  FILE *file = fopen(GOLDEN "settings.jsonl", "r");
  cr_assert(file);
  char *line = NULL;
  size_t room = 0, n = 0;
  for (; next_line(file, &line, &room); n++) {
    json_t *root = json_loads(line, JSON_ALLOW_NUL, NULL), *row;
    char *folder = folder_of(root);
    ld_tokenizer *t;
    ld_error err = {0};
    size_t i;
    cr_assert(!ld_tokenizer_open(folder, &t, &err), "%s: %s", line, err.text);
    cr_assert_eq(ld_tokenizer_eos(t), json_integer_value(json_object_get(root, "eos")), "%s", line);
    cr_assert_eq(ld_tokenizer_pad(t), json_integer_value(json_object_get(root, "pad")), "%s", line);
    if (json_integer_value(json_object_get(root, "types"))) cr_assert(ld_tokenizer_has_types(t), "%s", line);
    json_array_foreach(json_object_get(root, "rows"), i, row) check_row(t, line, row);
    ld_tokenizer_free(t);
    scratch_end(folder);
    json_decref(root);
  }
  cr_assert_geq(n, 200);
  free(line);
  fclose(file);
}

#define CONFIG "tokenizer_config.json"

/* As transformers writes "no limit" for many models. */
Test(tokenizer_settings, may_hold_an_integer_beyond_64_bits) {
  static const char settings[] =
      "{\"tokenizer_class\": \"LlamaTokenizer\", \"model_max_length\": 1000000000000000019884624838656, "
      "\"added_tokens_decoder\": {\"1\": {\"content\": \"<s>\", \"special\": true}}}";
  json_t *line = json_pack("{s:s, s:{}}", "style", "llama2", "files");
  char *folder = folder_of(line);
  ld_tokenizer *t;
  ld_error err = {0};
  free(scratch_file(folder, CONFIG, settings, strlen(settings)));
  cr_assert(!ld_tokenizer_open(folder, &t, &err), "%s", err.text);
  cr_assert(ld_tokenizer_is_special(t, 1));
  ld_tokenizer_free(t);
  scratch_end(folder);
  json_decref(line);
}

static const struct {
  const char *style, *name, *text;
  const char *says;
} refused[] = {
    {"gpt2", CONFIG, "{\"tokenizer_class\": \"GPT2Tokenizer\", \"add_prefix_space\": null}",
     "add_prefix_space"},
    {"gpt2", CONFIG, "{\"tokenizer_class\": \"BertTokenizer\"}", "BertTokenizer"},
    {"bert", CONFIG, "{\"tokenizer_class\": \"GPT2TokenizerFast\"}", "GPT2TokenizerFast"},
    {"bert", CONFIG, "{\"tokenizer_class\": \"BertTokenizer\", \"do_lower_case\": 1}", "do_lower_case"},
    {"llama2", CONFIG, "{\"tokenizer_class\": \"CodeLlamaTokenizer\"}", "CodeLlamaTokenizer"},
    {"llama2", CONFIG, "{\"eos_token\": 7}", "eos_token"},
    {"llama2", CONFIG, "{\"added_tokens_decoder\": {\"x\": {\"content\": \"a\"}}}", "added_tokens_decoder"},
    {"llama2", CONFIG, "{\"added_tokens_decoder\": []}", "added_tokens_decoder"},
    {"llama2", CONFIG, "{\"extra_special_tokens\": \"a\"}", "extra_special_tokens"},
    {"llama2", CONFIG, "{\"additional_special_tokens\": [5]}", "extra_special_tokens"},
    {"llama2", CONFIG, "{\"truncation_side\": \"up\"}", "truncation_side"},
    {"llama2", CONFIG, "{\"fast_tokenizer_files\": [\"tokenizer.4.0.json\"]}", "fast_tokenizer_files"},
    {"llama2", CONFIG, "{\"split_special_tokens\": 0}", "split_special_tokens"},
    {"llama2", "added_tokens.json", "{\"a\": \"b\"}", "added_tokens.json"},
    {"llama2", "special_tokens_map.json", "[1]", "special_tokens_map.json"},
    {"llama2", "special_tokens_map.json", "{\"pad_token\": [1]}", "pad_token"},
};

Test(tokenizer_settings, are_refused_by_name) {
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    json_t *line = json_pack("{s:s, s:{}}", "style", refused[i].style, "files");
    char *folder = folder_of(line);
    ld_tokenizer *t;
    ld_error err = {0};
    free(scratch_file(folder, refused[i].name, refused[i].text, strlen(refused[i].text)));
    cr_assert(ld_tokenizer_open(folder, &t, &err) < 0, "%s", refused[i].text);
    cr_assert_null(t);
    cr_assert(strstr(err.text, refused[i].says) && strstr(err.text, folder), "%zu: %s", i, err.text);
    scratch_end(folder);
    json_decref(line);
  }
}

/* A BPE of a and b with one more part. */
static ld_tokenizer *with_part(const char *key, json_t *part, ld_error *err) {
  json_t *root = json_pack("{s:{s:s, s:{s:i, s:i}, s:[]}, s:o}", "model", "type", "BPE", "vocab", "a", 0, "b",
                           1, "merges", key, part);
  char *text = json_dumps(root, 0);
  ld_tokenizer *t;
  ld_tokenizer_parse(text, strlen(text), "some.json", &t, err);
  free(text);
  json_decref(root);
  return t;
}

static json_t *times(size_t n, const char *key, json_t *part) {
  json_t *list = json_array();
  for (size_t i = 0; i < n; i++) json_array_append(list, part);
  json_decref(part);
  return json_pack("{s:s, s:o}", "type", "Sequence", key, list);
}

static json_t *replace(const char *content) {
  return json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String", "a", "content", content);
}

static json_t *split(const char *regex) {
  return json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex", regex, "behavior",
                   "Isolated", "invert", false);
}

static void expect_refusal(const char *key, json_t *part, const char *text, size_t repeat, const char *says) {
  ld_error err = {0};
  ld_text input = {0};
  ld_ids ids = {0};
  ld_tokenizer *t = with_part(key, part, &err);
  cr_assert(t, "%s", err.text);
  for (size_t i = 0; i < repeat; i++) ld_text_puts(&input, text);
  cr_assert_eq(ld_tokenizer_encode(t, input.bytes, input.length, true, &ids, &err), LD_EFORMAT);
  cr_assert(strstr(err.text, says), "%s", err.text);
  cr_assert_eq(ids.n, 0);
  ld_tokenizer_free(t);
  ld_text_free(&input);
  ld_ids_free(&ids);
}

Test(tokenizer_budget, text_does_not_grow_without_bound, .timeout = 60) {
  expect_refusal("normalizer", times(40, "normalizers", replace("aa")), "a", 1, "bytes");
  expect_refusal(
      "normalizer",
      replace("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), "a",
      5000, "may make 64 of each");
  expect_refusal(
      "normalizer",
      times(2000, "normalizers", json_pack("{s:s, s:s}", "type", "Prepend", "prepend", "abcdefgh")), "a", 1,
      "bytes");
  expect_refusal("normalizer", times(60, "normalizers", json_pack("{s:s}", "type", "ByteLevel")), "\xc3\xa9",
                 1, "bytes");
  expect_refusal("pre_tokenizer",
                 times(32, "pretokenizers",
                       json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", false,
                                 "trim_offsets", true, "use_regex", false)),
                 "\xc3\xa9", 1, "bytes");
}

Test(tokenizer_budget, a_chain_of_pre_tokenizers_has_an_end) {
  ld_error err = {0};
  cr_assert_null(
      with_part("pre_tokenizer", times(11, "pretokenizers", times(3, "pretokenizers", split("a"))), &err));
  cr_assert(strstr(err.text, "more than 32 parts"), "%s", err.text);
}

/* Each match is within its limit, but all of them together are not; nor is a single match of many repeats. */
Test(tokenizer_budget, backtracking_ends_over_the_whole_text, .timeout = 60) {
  expect_refusal("pre_tokenizer", split("a*a*a*a*a*[^ab]"), "a", 3000, "too many steps");
  expect_refusal("pre_tokenizer", split("(a+)+[^ab]"), "aaaaaaaaaaaaaaaaaaaaaab", 100,
                 "takes too long for 2300");
}

Test(tokenizer_budget, thousands_of_marks_are_not_sorted, .timeout = 60) {
  expect_refusal("normalizer", json_pack("{s:s}", "type", "NFC"), "\xcc\x81\xcc\x96", 100000, "accents");
}

/* Spaces that tokens take around them are scanned only once. */
Test(tokenizer_budget, tokens_with_spaces_take_no_square, .timeout = 60) {
  static const char json[] =
      "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]},\"added_tokens\":[{\"id\":1,"
      "\"content\":\" \","
      "\"single_word\":false,\"lstrip\":true,\"rstrip\":false,\"normalized\":false,\"special\":false}]}";
  ld_tokenizer *t;
  ld_ids ids = {0};
  const size_t n = 300000;
  char *text = malloc(n);
  memset(text, ' ', n);
  cr_assert(!ld_tokenizer_parse(json, strlen(json), "some.json", &t, NULL));
  cr_assert(!ld_tokenizer_encode(t, text, n, true, &ids, NULL));
  cr_assert_eq(ids.n, n);
  free(text);
  ld_ids_free(&ids);
  ld_tokenizer_free(t);
}

Test(tokenizer_budget, files_ask_for_no_more, .timeout = 60) {
  ld_error err = {0};
  cr_assert_null(with_part("decoder", times(40, "decoders", replace("aa")), &err));
  cr_assert(strstr(err.text, "decoder Replace") && strstr(err.text, "some.json"), "%s", err.text);
  json_t *list = json_array(), *text = json_pack("{s:{s:s, s:i}}", "Sequence", "id", "A", "type_id", 0);
  for (int i = 0; i < 100; i++) json_array_append(list, text);
  json_decref(text);
  err = (ld_error){0};
  cr_assert_null(with_part("post_processor",
                           json_pack("{s:s, s:o, s:[], s:{}}", "type", "TemplateProcessing", "single", list,
                                     "pair", "special_tokens"),
                           &err));
  cr_assert(strstr(err.text, "single"), "%s", err.text);
}
