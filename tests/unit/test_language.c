/* Languages of translation models: their tokens around a text. */
#include "io/tokenizer/language.h"

#include "scratch.h"
#include "tokenizer_golden.h"

Test(language, codes) {
  static const char *const yes[] = {"de_DE", "en_XX", "fil_PH", "deu_Latn", "zho_Hans"},
                           *const no[] = {"",       "de",        "de_",   "de_D",   "de_DEU",
                                          "DE_de",  "d_DE",      "de-DE", "de_DEs", "a_b_c",
                                          "de_Del", "deut_Latn", "<s>",   "de_DE "};
  for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) cr_assert(ld_is_language(yes[i]), "%s", yes[i]);
  for (size_t i = 0; i < sizeof no / sizeof *no; i++) cr_assert_not(ld_is_language(no[i]), "%s", no[i]);
}

/* The pieces of the style "pegasus", as the class reads them. */
static ld_tokenizer *open_class(const char *settings) {
  char *folder = scratch_new(), *link = ld_path_join(folder, "tokenizer.json");
  ld_tokenizer *t;
  ld_error err = {0};
  cr_assert_eq(symlink(GOLDEN "pegasus/tokenizer.json", link), 0);
  free(scratch_file(folder, "tokenizer_config.json", settings, strlen(settings)));
  cr_assert(!ld_tokenizer_open(folder, &t, &err), "%s", err.text);
  scratch_end(folder);
  free(link);
  return t;
}

static void expect(const ld_tokenizer *t, const char *language, const char *pair, const char *const *wanted) {
  const ld_input input = {.text = "a",
                          .length = 1,
                          .pair = pair,
                          .pair_length = pair ? strlen(pair) : 0,
                          .most = pair ? 0 : 4,
                          .language = language};
  ld_ids ids = {0}, types = {0};
  ld_error err = {0};
  cr_assert(!ld_tokenizer_encode_input(t, &input, &ids, &types, &err), "%s", err.text);
  for (size_t i = 0; i < ids.n; i++)
    cr_assert(wanted[i] && !strcmp(ld_tokenizer_token(t, ids.ids[i]), wanted[i]), "%s: token %zu is %s",
              language, i, ld_tokenizer_token(t, ids.ids[i]));
  cr_assert_null(wanted[ids.n]);
  cr_assert_eq(types.n, ids.n);
  ld_ids_free(&ids);
  ld_ids_free(&types);
}

#define A "\xe2\x96\x81"
#define TOKENS(...) ((const char *const[]){__VA_ARGS__, NULL})

Test(language, mbart) {
  ld_tokenizer *t = open_class("{\"tokenizer_class\": \"MBartTokenizer\", \"src_lang\": \"ro_RO\"}");
  expect(t, NULL, NULL, TOKENS(A, "a", "</s>", "ro_RO"));
  expect(t, "de_DE", NULL, TOKENS(A, "a", "</s>", "de_DE"));
  expect(t, "en_XX", "a", TOKENS(A, "a", A, "a", "</s>", "en_XX"));
  ld_tokenizer_free(t);
}

Test(language, mbart50) {
  ld_tokenizer *t = open_class("{\"tokenizer_class\": \"MBart50Tokenizer\"}");
  expect(t, NULL, NULL, TOKENS("en_XX", A, "a", "</s>"));
  expect(t, "sl_SI", NULL, TOKENS("sl_SI", A, "a", "</s>"));
  ld_tokenizer_free(t);
}

Test(language, unknown_ones) {
  ld_tokenizer *t = open_class("{\"tokenizer_class\": \"MBartTokenizer\"}"), *none = open_style("t5");
  const ld_input input = {.text = "a", .length = 1, .language = "xx_XX"};
  ld_ids ids = {0}, types = {0};
  ld_error err = {0};
  int32_t id;
  cr_assert_eq(ld_tokenizer_encode_input(t, &input, &ids, &types, &err), LD_EMISMATCH);
  cr_assert(strstr(err.text, "\"xx_XX\"; it has ar_AR cs_CZ") && strstr(err.text, "zh_CN"), "%s", err.text);
  cr_assert_eq(ld_tokenizer_language(t, "</s>", &id, &err), LD_EMISMATCH);
  cr_assert_eq(ld_tokenizer_language(none, "de_DE", &id, &err), LD_EMISMATCH);
  cr_assert(strstr(err.text, "no languages"), "%s", err.text);
  cr_assert(!ld_tokenizer_language(t, "de_DE", &id, &err));
  cr_assert_str_eq(ld_tokenizer_token(t, id), "de_DE");
  cr_assert_eq(ids.n, 0);
  ld_tokenizer_free(t);
  ld_tokenizer_free(none);
}
