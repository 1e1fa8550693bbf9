/* Words that were split before, against the tokenizers library (make_tokenizers.py describes the formats). */
#include "scratch.h"
#include "tokenizer_golden.h"

/* The words of words.jsonl; the caller frees them. */
static json_t *read_words(void) {
  json_t *words = json_array();
  char *line = NULL;
  size_t room = 0;
  FILE *file = fopen(GOLDEN "words.jsonl", "r");
  cr_assert(file);
  while (next_line(file, &line, &room)) json_array_append_new(words, string_of(line));
  fclose(file);
  free(line);
  return words;
}

/* A row of words.txt: "13 7 440<tab>most<tab>ids<tab>beginnings". */
static void check_row(const ld_tokenizer *t, const char *style, const json_t *words, char *row) {
  char *all = ld_strdup(row), *rest = all, *numbers = strsep(&rest, "\t");
  const char *list[64];
  ld_words input = {.list = list};
  for (char *number; (number = strsep(&numbers, " "));)
    if (*number) list[input.n++] = json_string_value(json_array_get(words, strtoul(number, NULL, 10)));
  input.most = strtoul(strsep(&rest, "\t"), NULL, 10);
  const char *code = strsep(&rest, "\t");
  ld_ids expected = ids_of(code, strlen(code)), begins = ids_of(rest, strlen(rest)), ids = {0}, word = {0};
  size_t n_whole = 0;
  ld_error err = {0};
  cr_assert(!ld_tokenizer_encode_words(t, &input, &ids, &word, &n_whole, &err), "%s: %s: %s", style, row,
            err.text);
  expect_ids(style, row, &ids, &expected);
  for (size_t i = 0; i < begins.n; i++) begins.ids[i]--;
  expect_ids(style, row, &word, &begins);
  cr_assert(input.most && n_whole > input.most ? ids.n == input.most : ids.n == n_whole, "%s: %s", style,
            row);
  ld_ids_free(&expected);
  ld_ids_free(&begins);
  ld_ids_free(&ids);
  ld_ids_free(&word);
  free(all);
}

static void check_words(const char *style) {
  ld_tokenizer *t = open_style(style);
  json_t *words = read_words();
  char *path = ld_format(GOLDEN "%s/words.txt", style), *row = NULL;
  FILE *file = fopen(path, "r");
  cr_assert(file, "%s", path);
  size_t room = 0, n = 0;
  for (; next_line(file, &row, &room); n++) check_row(t, style, words, row);
  cr_assert_geq(n, 200);
  fclose(file);
  free(row);
  free(path);
  json_decref(words);
  ld_tokenizer_free(t);
}

Test(tokenizer_words, wordpiece) {
  check_words("bert");
  check_words("bert_cased");
}

Test(tokenizer_words, byte_level) {
  check_words("roberta");
  check_words("gpt2");
}

/* These put no blank before a word; a ByteLevel in a Sequence does not either. */
Test(tokenizer_words, others) {
  check_words("llama2");
  check_words("smollm");
  check_words("t5");
}

/* At every limit the last ids remain, between the special ones; the first of them begins its word. */
Test(tokenizer_words, cut_on_the_left) {
  static const char *const list[] = {"The", "kettle", "", "warms", "unaffable", "rivers"};
  ld_words words = {.list = list, .n = sizeof list / sizeof *list};
  ld_tokenizer *t;
  ld_error err = {0};
  ld_ids ids = {0}, word = {0};
  size_t n_whole;
  json_t *root = json_load_file(GOLDEN "bert/tokenizer.json", 0, NULL);
  char *folder = scratch_new(), *text = json_dumps(root, 0);
  scratch_text(folder, "tokenizer.json", text);
  scratch_text(folder, "tokenizer_config.json",
               "{\"tokenizer_class\": \"BertTokenizer\", \"truncation_side\": \"left\"}");
  cr_assert(!ld_tokenizer_open(folder, &t, &err), "%s", err.text);
  cr_assert(!ld_tokenizer_encode_words(t, &words, &ids, &word, &n_whole, &err), "%s", err.text);
  cr_assert(ids.n == n_whole && word.ids[0] == -1 && word.ids[1] == 0 && word.ids[n_whole - 1] == -1);
  for (words.most = 2; words.most < n_whole; words.most++) {
    ld_ids cut = {0}, begins = {0};
    const size_t gone = n_whole - words.most;
    cr_assert(!ld_tokenizer_encode_words(t, &words, &cut, &begins, &n_whole, &err), "%s", err.text);
    cr_assert(cut.n == words.most && begins.n == words.most && n_whole == ids.n);
    cr_assert(cut.ids[0] == ids.ids[0] && begins.ids[0] == -1);
    size_t at = gone + 1; /* of the word that is truncated */
    while (words.most > 2 && word.ids[at] < 0) at--;
    for (size_t i = 1; i < cut.n; i++)
      cr_assert(cut.ids[i] == ids.ids[gone + i] && begins.ids[i] == word.ids[i == 1 ? at : gone + i]);
    ld_ids_free(&cut);
    ld_ids_free(&begins);
  }
  ld_ids_free(&ids);
  ld_ids_free(&word);
  ld_tokenizer_free(t);
  json_decref(root);
  free(text);
  scratch_end(folder);
}

Test(tokenizer_words, errors_leave_the_lists) {
  static const char *const list[] = {"lamp", "\xff"};
  ld_tokenizer *t = open_style("bert");
  ld_ids ids = {0}, word = {0};
  ld_error err = {0};
  size_t n_whole;
  cr_assert_eq(ld_tokenizer_encode_words(t, &(ld_words){list, 1, 1}, &ids, &word, &n_whole, &err),
               LD_EMISMATCH);
  cr_assert(strstr(err.text, "2 special tokens") && strstr(err.text, "--seq-len"), "%s", err.text);
  cr_assert_eq(ld_tokenizer_encode_words(t, &(ld_words){list, 2, 0}, &ids, &word, &n_whole, &err),
               LD_EFORMAT);
  cr_assert(strstr(err.text, "UTF-8"), "%s", err.text);
  cr_assert(!ids.n && !word.n);
  cr_assert(!ld_tokenizer_encode_words(t, &(ld_words){list, 0, 0}, &ids, &word, &n_whole, &err));
  cr_assert(ids.n == 2 && word.n == 2 && n_whole == 2);
  ld_ids_free(&ids);
  ld_ids_free(&word);
  ld_tokenizer_free(t);
}
