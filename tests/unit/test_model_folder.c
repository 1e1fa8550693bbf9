#include "scratch.h"

#include "io/hub/model_folder.h"
#include "io/hub/safetensors.h"

static void add_tensors(const char *folder, const char *name, const ld_named *tensors, size_t n) {
  char *path = ld_path_join(folder, name);
  ld_error err = {0};
  cr_assert_eq(ld_safetensors_write(path, tensors, n, &err), 0, "%s", err.text);
  free(path);
}

static float numbers[100000];

static ld_named named(const char *name, int64_t rows, int64_t columns, const float *data) {
  return (ld_named){.name = name,
                    .tensor = {.data = data, .dtype = LD_F32, .ndim = 2, .shape = {rows, columns}}};
}

static ld_model_folder *open_good(const char *path) {
  ld_model_folder *folder;
  ld_error err = {0};
  cr_assert_eq(ld_model_folder_open(path, &folder, &err), 0, "%s", err.text);
  return folder;
}

static void refused(const char *path, int code, const char *why) {
  ld_model_folder *folder;
  ld_error err = {0};
  cr_assert_eq(ld_model_folder_open(path, &folder, &err), code, "%s", err.text);
  cr_assert(strstr(err.text, why), "%s", err.text);
}

static void add_two_shards(const char *folder) {
  const ld_named first[] = {named("b", 2, 3, numbers), named("d", 1, 1, numbers + 6)};
  const ld_named second[] = {named("a", 300, 300, numbers + 7), named("c", 4, 1, numbers + 2)};
  add_tensors(folder, "model-00001-of-00002.safetensors", first, 2);
  add_tensors(folder, "model-00002-of-00002.safetensors", second, 2);
}

static void fill_numbers(void) {
  for (int i = 0; i < 100000; i++) numbers[i] = (float)i * .5f;
}

#define FIRST "\"model-00001-of-00002.safetensors\""
#define SECOND "\"model-00002-of-00002.safetensors\""
#define INDEX "model.safetensors.index.json"

Test(model_folder, what_stands_in_the_place_of_weights_is_explained) {
  static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n";
  char *folder = scratch_new();
  scratch_text(folder, "config.json", pointer);
  refused(folder, LD_EFORMAT, "config.json: is a git-lfs pointer");
  scratch_text(folder, "config.json", "{\"model_type\": \"x\"}");
  scratch_text(folder, "pytorch_model.bin", "PK\3\4");
  refused(folder, LD_EFILE,
          "'pytorch_model.bin' is a pickle, which is not read. This converts it: python3 -c");
  scratch_text(folder, "model.safetensors", pointer);
  refused(folder, LD_EFORMAT,
          "model.safetensors: is a git-lfs pointer and not the file itself: run 'git lfs pull'");
  scratch_text(folder, "model.safetensors", "PK\3\4.......");
  refused(folder, LD_EFORMAT, "is a pickle of PyTorch, not a safetensors file");
  scratch_end(folder);
}

Test(model_folder, shards_and_one_file_are_the_same_model, .init = fill_numbers) {
  char *one = scratch_new(), *two = scratch_new();
  const ld_named all[] = {named("a", 300, 300, numbers + 7), named("b", 2, 3, numbers),
                          named("c", 4, 1, numbers + 2), named("d", 1, 1, numbers + 6)};
  scratch_text(one, "config.json", "{\"model_type\": \"x\"}");
  scratch_text(two, "config.json", "{\"model_type\": \"x\"}");
  add_tensors(one, "model.safetensors", all, 4);
  add_two_shards(two);
  scratch_text(two, INDEX,
               "{\"weight_map\": {\"a\": " SECOND ", \"b\": " FIRST ", \"c\": " SECOND ", \"d\": " FIRST
               "}}");
  ld_model_folder *a = open_good(one), *b = open_good(two);
  cr_assert_eq(ld_model_folder_count(b), 4);
  for (size_t i = 0; i < 4; i++) cr_assert_str_eq(ld_model_folder_name(b, i), all[i].name);
  const ld_stored *d = ld_model_folder_find(b, "d");
  cr_assert(d && *(const float *)d->data == numbers[6]);
  cr_assert_null(ld_model_folder_find(b, "e"));
  cr_assert_str_eq(ld_model_folder_digest(a), ld_model_folder_digest(b));
  cr_assert_eq(strlen(ld_model_folder_digest(a)), LD_DIGEST_TEXT);
  cr_assert_str_eq(ld_value_get(ld_model_folder_config(a), "model_type")->string, "x");
  ld_model_folder_close(a);
  ld_model_folder_close(b);
  scratch_end(one), scratch_end(two);
}

static void digest_of(const char *folder, const ld_named *tensor, char *digest) {
  add_tensors(folder, "model.safetensors", tensor, 1);
  ld_model_folder *model = open_good(folder);
  strcpy(digest, ld_model_folder_digest(model));
  ld_model_folder_close(model);
}

Test(model_folder, the_digest_tells_other_weights, .init = fill_numbers) {
  char *folder = scratch_new(), before[LD_DIGEST_TEXT + 1], after[LD_DIGEST_TEXT + 1];
  scratch_text(folder, "config.json", "{}");
  /* Every number counts: 700 lies between the blocks of version 1. */
  static const size_t places[] = {0, 89999, 700};
  for (size_t i = 0; i < 3; i++) {
    const ld_named tensor = named("w", 300, 300, numbers);
    digest_of(folder, &tensor, before);
    numbers[places[i]] += 1;
    digest_of(folder, &tensor, after);
    cr_assert_str_neq(before, after);
  }
  const ld_named small = named("w", 10, 10, numbers), other_shape = named("w", 5, 20, numbers),
                 other_name = named("x", 10, 10, numbers);
  digest_of(folder, &small, before);
  digest_of(folder, &other_shape, after);
  cr_assert_str_neq(before, after);
  digest_of(folder, &other_name, after);
  cr_assert_str_neq(before, after);
  numbers[57] += 1;
  digest_of(folder, &small, after);
  cr_assert_str_neq(before, after);
  scratch_end(folder);
}

Test(model_folder, errors_name_what_is_missing, .init = fill_numbers) {
  char *folder = scratch_new();
  refused("/nowhere/model", LD_EFILE, "/nowhere/model");
  refused(folder, LD_EFILE, "config.json");
  scratch_text(folder, "config.json", "[]");
  refused(folder, LD_EFORMAT, "expected a JSON object");
  scratch_text(folder, "config.json", "{");
  refused(folder, LD_EFORMAT, "line 1");
  scratch_text(folder, "config.json", "{}");
  refused(folder, LD_EFILE, "looked for model.safetensors or model.safetensors.index.json");
  const ld_named tensor = named("a", 1, 1, numbers);
  add_tensors(folder, "weights.safetensors", &tensor, 1);
  refused(folder, LD_EFILE, "found 'weights.safetensors'");
  scratch_end(folder);
}

Test(model_folder, a_wrong_index_is_refused, .init = fill_numbers) {
  char *folder = scratch_new();
  scratch_text(folder, "config.json", "{}");
  add_two_shards(folder);
  scratch_text(folder, INDEX, "{}");
  refused(folder, LD_EFORMAT, "weight_map");
  scratch_text(folder, INDEX, "{\"weight_map\": {\"a\": \"../x.safetensors\"}}");
  refused(folder, LD_EFORMAT, "beside it");
  scratch_text(folder, INDEX, "{\"weight_map\": {\"a\": \"sub/x.safetensors\"}}");
  refused(folder, LD_EFORMAT, "beside it");
  scratch_text(folder, INDEX, "{\"weight_map\": {\"a\": 1}}");
  refused(folder, LD_EFORMAT, "beside it");
  scratch_text(folder, INDEX, "{\"weight_map\": {\"a\": \"gone.safetensors\"}}");
  refused(folder, LD_EFILE, "gone.safetensors");
  scratch_text(folder, INDEX, "{\"weight_map\": {\"a\": " FIRST "}}");
  refused(folder, LD_EFORMAT, "tensor 'a' is not in model-00001");
  scratch_text(folder, INDEX, "{\"weight_map\": {\"z\": " FIRST "}}");
  refused(folder, LD_EFORMAT, "tensor 'z' is not in");
  const ld_named again = named("b", 1, 1, numbers);
  add_tensors(folder, "more.safetensors", &again, 1);
  scratch_text(folder, INDEX, "{\"weight_map\": {\"d\": " FIRST ", \"b\": \"more.safetensors\"}}");
  refused(folder, LD_EFORMAT, "'b' is in both");
  scratch_end(folder);
}

/* In a model of 10 tokens. */
static void ends_at(const ld_model_folder *folder, const int32_t *want, int n_want) {
  int32_t ids[LD_MAX_EOS];
  int n;
  ld_error err = {0};
  cr_assert_eq(ld_model_folder_eos(folder, 10, ids, &n, &err), 0, "%s", err.text);
  cr_assert_eq(n, n_want);
  cr_assert_arr_eq(ids, want, (size_t)n * sizeof *ids);
}

Test(model_folder, special_tokens, .init = fill_numbers) {
  char *folder = scratch_new();
  const ld_named tensor = named("a", 1, 1, numbers);
  add_tensors(folder, "model.safetensors", &tensor, 1);
  scratch_text(folder, "config.json", "{\"eos_token_id\": 5}");
  ld_model_folder *model = open_good(folder);
  cr_assert_null(ld_model_folder_token(model, "eos_token"));
  ends_at(model, (int32_t[]){5}, 1);
  ld_model_folder_close(model);
  scratch_text(folder, "tokenizer_config.json",
               "{\"eos_token\": {\"content\": \"</s>\"}, \"pad_token\": null}");
  scratch_text(folder, "special_tokens_map.json", "{\"pad_token\": \"<pad>\", \"eos_token\": \"other\"}");
  scratch_text(folder, "generation_config.json", "{\"eos_token_id\": [7, 8, 9]}");
  model = open_good(folder);
  cr_assert_str_eq(ld_model_folder_token(model, "eos_token"), "</s>");
  cr_assert_str_eq(ld_model_folder_token(model, "pad_token"), "<pad>");
  cr_assert_null(ld_model_folder_token(model, "bos_token"));
  ends_at(model, (int32_t[]){7, 8, 9}, 3);
  ld_model_folder_close(model);
  scratch_text(folder, "generation_config.json", "{");
  refused(folder, LD_EFORMAT, "generation_config.json");
  scratch_end(folder);
}

static void put_eos(const char *folder, const char *file, const char *value) {
  char *text = ld_format("{\"eos_token_id\": %s}", value);
  scratch_text(folder, file, text);
  free(text);
}

/* Both files may hold invalid ids: transformers ignores a number outside the vocabulary, and fails on other
 * types. */
Test(model_folder, ends_that_are_no_ids, .init = fill_numbers) {
  static const struct {
    const char *value;
    int n;
  } taken[] = {{"null", 0}, {"[]", 0}, {"-1", 0}, {"10", 0}, {"1000000000", 0}, {"9", 1}, {"[-1, 9, 10]", 1}};
  static const char *const refused_values[] = {
      "\"9\"", "9.0", "true", "{}", "[null]", "[\"9\"]", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"};
  static const char *const files[] = {"config.json", "generation_config.json"};
  const ld_named tensor = named("a", 1, 1, numbers);
  for (int f = 0; f < 2; f++) {
    char *folder = scratch_new();
    add_tensors(folder, "model.safetensors", &tensor, 1);
    scratch_text(folder, "config.json", "{}");
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
      put_eos(folder, files[f], taken[i].value);
      ld_model_folder *model = open_good(folder);
      ends_at(model, (int32_t[]){9}, taken[i].n);
      ld_model_folder_close(model);
    }
    for (size_t i = 0; i < sizeof refused_values / sizeof *refused_values; i++) {
      int32_t ids[LD_MAX_EOS];
      int n;
      ld_error err = {0};
      put_eos(folder, files[f], refused_values[i]);
      ld_model_folder *model = open_good(folder);
      cr_assert(ld_model_folder_eos(model, 10, ids, &n, &err), "%s", refused_values[i]);
      cr_assert(strstr(err.text, files[f]) && strstr(err.text, "eos_token_id"), "%s", err.text);
      ld_model_folder_close(model);
    }
    scratch_end(folder);
  }
}
