/* What formats parse: named values, before anything is tokenised. */
#include <criterion/criterion.h>

#include "data_forms.h"
#include "scratch.h"

#include "io/dataset/dataset.h"

#define GOLDEN LD_TESTS_DIR "/golden/"

static ld_dataset *open_data(const char *path, const ld_dataset_options *options) {
  ld_dataset *dataset;
  ld_error err = {0};
  cr_assert_eq(ld_dataset_open(path, options, &dataset, &err), 0, "%s", err.text);
  return dataset;
}

static ld_parsed parse(const ld_dataset *dataset, uint64_t offset, uint64_t n) {
  const ld_record record = {.offset = offset, .bytes = n};
  ld_parsed parsed = {0};
  ld_error err = {0};
  cr_assert_eq(ld_dataset_parse(dataset, &record, &parsed, &err), 0, "%s", err.text);
  return parsed;
}

static void check_string(const ld_parsed *parsed, const char *key, const char *expected) {
  const ld_value *value = ld_value_get(parsed->values, key);
  cr_assert(value && value->type == LD_STRING, "%s", key);
  cr_assert_str_eq(value->string, expected);
}

/* A labelled text in a file of this name, whose record is the last n bytes. */
static ld_parsed parse_text(const char *name, const char *text, uint64_t n) {
  const ld_dataset_options options = {.forms = of_texts, .eos = -1};
  char *folder = scratch_new(), *path = ld_path_join(folder, name);
  scratch_text(folder, name, text);
  ld_dataset *dataset = open_data(path, &options);
  const ld_parsed parsed = parse(dataset, strlen(text) - n, n);
  ld_dataset_close(dataset);
  free(path);
  scratch_end(folder);
  return parsed;
}

Test(parsed, a_line_of_jsonl_is_its_keys) {
  const char *line = "{\"sentence\": \"the river\", \"label\": 3, \"more\": [1, 2]}\n";
  ld_parsed parsed = parse_text("t.jsonl", line, strlen(line));
  check_string(&parsed, "sentence", "the river");
  cr_assert_eq(ld_value_get(parsed.values, "label")->integer, 3);
  cr_assert_eq(ld_value_get(parsed.values, "more")->n_items, 2);
  cr_assert(!parsed.place && !parsed.image.pixels);
  ld_parsed_free(&parsed);
}

/* A record goes on to the next one. */
Test(parsed, an_object_of_an_array_is_its_keys) {
  const char *object = "{\"sentence\": \"the ]} \\\"river\", \"label\": 3,\n \"more\": [{}, 2]}\n , ";
  char *text = ld_format("[{\"sentence\": \"a\"}, %s", object);
  char *whole = ld_format("%s{\"sentence\": \"b\"}]", text);
  ld_parsed parsed = parse_text("t.json", whole, strlen(object) + strlen(whole) - strlen(text));
  check_string(&parsed, "sentence", "the ]} \"river");
  cr_assert_eq(ld_value_get(parsed.values, "label")->integer, 3);
  cr_assert_eq(ld_value_get(parsed.values, "more")->n_items, 2);
  ld_parsed_free(&parsed);
  free(whole);
  free(text);
}

Test(parsed, a_row_is_its_used_columns) {
  const char *row = "7,\"the \"\"river\"\",\nholds\",2.5\n";
  char *text = ld_format("id,sentence,score\n%s", row);
  ld_parsed parsed = parse_text("t.csv", text, strlen(row));
  check_string(&parsed, "sentence", "the \"river\",\nholds");
  cr_assert_eq(ld_value_get(parsed.values, "score")->type, LD_REAL);
  cr_assert_eq(ld_value_get(parsed.values, "score")->real, 2.5);
  cr_assert_eq(parsed.values->n_items, 2);
  ld_parsed_free(&parsed);
  free(text);
}

Test(parsed, a_label_is_a_number_a_name_or_none) {
  static const struct {
    const char *cell;
    ld_value_type type;
  } cases[] = {{"3", LD_INTEGER}, {"-3", LD_INTEGER}, {"1e3", LD_REAL},  {".5", LD_REAL},
               {"a", LD_STRING},  {"1a", LD_STRING},  {" b ", LD_STRING}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char *row = ld_format("x\t%s\n", cases[i].cell), *text = ld_format("text\tlabel\n%s", row);
    ld_parsed parsed = parse_text("t.tsv", text, strlen(row));
    cr_assert_eq(ld_value_get(parsed.values, "label")->type, cases[i].type, "%s", cases[i].cell);
    ld_parsed_free(&parsed);
    free(text);
    free(row);
  }
  ld_parsed parsed = parse_text("t.tsv", "text\tlabel\nx\t \n", 4);
  cr_assert_null(ld_value_get(parsed.values, "label"));
  ld_parsed_free(&parsed);
}

Test(parsed, a_blank_line_is_empty) {
  ld_parsed parsed = parse_text("t.jsonl", "{\"text\": \"a\"}\n \n", 2);
  cr_assert(ld_parsed_is_empty(&parsed));
  parsed = parse_text("t.tsv", "text\nx\n\r\n", 2);
  cr_assert(ld_parsed_is_empty(&parsed));
}

Test(parsed, an_image_keeps_its_size) {
  const ld_image_rule rule = {.resize_height = 4, .resize_width = 4, .height = 4, .width = 4, .channels = 3};
  const ld_dataset_options options = {.forms = of_images, .image_rule = &rule, .eos = -1};
  const char *path = GOLDEN "models/resnet_cifar/train.h5";
  ld_dataset *dataset = open_data(path, &options);
  ld_parsed parsed = parse(dataset, 5, 1);
  cr_assert(parsed.image.height > 4 && parsed.image.width > 4 && parsed.image.pixels);
  cr_assert_not_null(ld_value_get(parsed.values, "label"));
  char *place = ld_format("%s: image 5", path);
  cr_assert_str_eq(parsed.place, place);
  free(place);
  ld_parsed_free(&parsed);
  ld_dataset_close(dataset);
}
