/* CLIP's tokenizer: the recorded ones, and what else a text encoder's folder says. */
#include "io/tokenizer/ids.h"
#include "tokenizer_golden.h"

Test(clip_tokenizer, file) {
  check_style("clip", "clip.jsonl", 400);
}

Test(clip_tokenizer, folder_with_a_vocabulary) {
  check_style("clip_vocab", "clip.jsonl", 400);
}

Test(clip_tokenizer, says_how_texts_are_padded) {
  ld_tokenizer *folder = open_style("clip_vocab"), *file = open_style("clip");
  cr_assert_eq(ld_tokenizer_pad(folder), 0);
  cr_assert_eq(ld_tokenizer_pad(folder), ld_tokenizer_id(folder, "!"));
  cr_assert_eq(ld_tokenizer_most(folder), 77);
  cr_assert_eq(ld_tokenizer_pad(file), -1);
  cr_assert_eq(ld_tokenizer_most(file), 0);
  ld_tokenizer_free(folder);
  ld_tokenizer_free(file);
}

/* A prompt that is too long keeps its first and its last token. */
Test(clip_tokenizer, truncates_within_the_ends) {
  ld_tokenizer *t = open_style("clip_vocab");
  ld_text prompt = {0};
  ld_ids whole = {0}, cut = {0}, types = {0};
  for (int i = 0; i < 100; i++) ld_text_puts(&prompt, "lamp,");
  ld_input input = {.text = prompt.bytes, .length = prompt.length};
  cr_assert(!ld_tokenizer_encode_input(t, &input, &whole, &types, NULL));
  input.most = (size_t)ld_tokenizer_most(t);
  cr_assert(!ld_tokenizer_encode_input(t, &input, &cut, &types, NULL));
  cr_assert_eq(cut.n, 77);
  cr_assert(!memcmp(cut.ids, whole.ids, 76 * sizeof *cut.ids));
  cr_assert_eq(cut.ids[76], ld_tokenizer_eos(t));
  ld_ids_free(&whole);
  ld_ids_free(&cut);
  ld_ids_free(&types);
  ld_text_free(&prompt);
  ld_tokenizer_free(t);
}

/* Of two text encoders each reads what its own tokenizer makes of the text: in the second one, "!" is the padding and
 * so a token of its own, which takes no part in a word. */
Test(clip_tokenizer, one_after_another) {
  const char *const text = "a lamp!";
  ld_tokenizer *file = open_style("clip"), *folder = open_style("clip_vocab");
  ld_ids first = {0}, second = {0}, both = {0}, input_ids = {0}, types = {0};
  cr_assert(!ld_tokenizer_encode(file, text, strlen(text), true, &first, NULL));
  cr_assert(!ld_tokenizer_encode(folder, text, strlen(text), true, &second, NULL));
  ld_tokenizer_follow(file, folder);
  cr_assert(!ld_tokenizer_encode(file, text, strlen(text), true, &both, NULL));
  const ld_input input = {.text = text, .length = strlen(text)};
  cr_assert(!ld_tokenizer_encode_input(file, &input, &input_ids, &types, NULL));
  cr_assert_eq(both.n, first.n + 1 + second.n);
  cr_assert(!memcmp(both.ids, first.ids, first.n * sizeof *both.ids));
  cr_assert_eq(both.ids[first.n], LD_NEXT_TOKENIZER);
  cr_assert(!memcmp(both.ids + first.n + 1, second.ids, second.n * sizeof *both.ids));
  cr_assert(second.n != first.n || memcmp(first.ids, second.ids, first.n * sizeof *first.ids));
  cr_assert_eq(input_ids.n, both.n);
  cr_assert_eq(types.n, both.n);
  cr_assert(!memcmp(input_ids.ids, both.ids, both.n * sizeof *both.ids));
  ld_ids_free(&first);
  ld_ids_free(&second);
  ld_ids_free(&both);
  ld_ids_free(&input_ids);
  ld_ids_free(&types);
  ld_tokenizer_free(file);
}

static void expect_text(const ld_tokenizer *t, const ld_ids *ids, const char *expected) {
  json_t *text = json_string(expected);
  expect_decoded(t, expected, ids, false, text);
  json_decref(text);
}

/* The mark of a word's end also counts where tokens spell it together, and blanks remain only within. */
Test(clip_tokenizer, decodes_words) {
  static const char *const tokens[] = {"\xc4\xa0", "a",     "<", "/", "w",    ">",
                                       "\xc4\x9d", "b</w>", "<", "/", "w</w>"};
  ld_tokenizer *t = open_style("clip_vocab");
  ld_ids ids = {0};
  for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
    ld_ids_push(&ids, ld_tokenizer_id(t, tokens[i]));
  expect_text(t, &ids,
              "a \x1d"
              "b </w");
  ids.n = 1;
  expect_text(t, &ids, "");
  ids.n = 5;
  expect_text(t, &ids, "a</w");
  ld_ids_free(&ids);
  ld_tokenizer_free(t);
}
