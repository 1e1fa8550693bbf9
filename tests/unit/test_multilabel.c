/* Several labels for a text: which records have them, and their scores. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/dataset/data_form.h"
#include "io/dataset/dataset.h"
#include "objective/objective.h"
#include "scratch.h"

typedef struct setting {
  char *folder, *path;
  ld_tokenizer *tokenizer;
  ld_dataset *dataset;
  ld_index index;
} setting;

static int open_text(setting *s, const char *text, bool unlabelled, ld_error *err) {
  *s = (setting){.folder = scratch_new()};
  s->path = scratch_file(s->folder, "a.jsonl", text, strlen(text));
  cr_assert_eq(ld_tokenizer_open(LD_TESTS_DIR "/golden/models/bert", &s->tokenizer, err), 0, "%s", err->text);
  const ld_dataset_options options = {
      .forms = ld_objective_multilabel.forms, .tokenizer = s->tokenizer, .eos = -1, .unlabelled = unlabelled};
  const int rc = ld_dataset_open(s->path, &options, &s->dataset, err);
  return rc ? rc : ld_dataset_index(s->dataset, 0, 1, &s->index, err);
}

static void end(setting *s) {
  ld_index_free(&s->index);
  ld_dataset_close(s->dataset);
  ld_tokenizer_free(s->tokenizer);
  free(s->path);
  scratch_end(s->folder);
}

Test(multilabel, a_list_may_have_any_number_of_labels) {
  setting s;
  ld_error err = {0};
  ld_sample sample = {0};
  const char *text =
      "{\"text\": \"the river\", \"labels\": [\"sea\", \"home\"]}\n{\"text\": \"mira\", \"labels\": []}\n"
      "{\"text\": \"olsen\", \"text_pair\": \"saw\", \"labels\": [\"sea\"]}\n";
  cr_assert_eq(open_text(&s, text, false, &err), 0, "%s", err.text);
  cr_assert_str_eq(ld_dataset_form(s.dataset)->name, "several labels");
  cr_assert_eq(s.index.n, 3);
  cr_assert_eq(s.index.labels.kind, LD_LABEL_NAME);
  cr_assert_eq(s.index.labels.n_names, 2);
  for (int i = 0; i < 3; i++) {
    cr_assert_eq(s.index.records[i].n_targets, 1);
    cr_assert_eq(s.index.records[i].label, -1);
  }
  cr_assert_eq(ld_dataset_read(s.dataset, &s.index.records[0], &sample, &err), 0, "%s", err.text);
  cr_assert(sample.tags.length == 9 && !memcmp(sample.tags.bytes, "sea\0home", 9));

  /* as the batch has them, with the base's classes */
  char *names[] = {"home", "other", "sea"};
  ld_lanes lanes = {0};
  const ld_labels labels = {.kind = LD_LABEL_NAME, .names = names, .n_names = 3};
  ld_laid laid = {.sample = &sample, .record = &s.index.records[0], .labels = &labels};
  ld_objective_multilabel.lay(&laid, &lanes);
  const ld_lane *targets = ld_lane_of(&lanes, LD_TARGETS);
  cr_assert(targets->ids[0] == 1 && targets->ids[1] == 0 && targets->ids[2] == 1);
  cr_assert_eq(ld_dataset_read(s.dataset, &s.index.records[1], &sample, &err), 0, "%s", err.text);
  ld_objective_multilabel.lay(&laid, &lanes);
  cr_assert(targets->ids[3] == 0 && targets->ids[4] == 0 && targets->ids[5] == 0);
  const ld_record one = {.label = 1};
  laid.record = &one;
  ld_objective_multilabel.lay(&laid, &lanes);
  cr_assert(targets->ids[6] == 0 && targets->ids[7] == 1 && targets->ids[8] == 0);
  ld_lanes_free(&lanes);
  ld_sample_free(&sample);
  end(&s);
}

Test(multilabel, one_label_is_not_a_list) {
  setting s;
  ld_error err = {0};
  cr_assert_eq(open_text(&s, "{\"text\": \"the river\", \"labels\": 3}\n", false, &err), 0, "%s", err.text);
  cr_assert_eq(ld_dataset_form(s.dataset), &ld_form_labelled);
  cr_assert_eq(s.index.records[0].label, 3);
  end(&s);
}

Test(multilabel, what_is_predicted_needs_no_labels) {
  setting s;
  ld_error err = {0};
  cr_assert_eq(open_text(&s, "{\"text\": \"the river\", \"labels\": [3]}\n", true, &err), 0, "%s", err.text);
  cr_assert_eq(s.index.labels.kind, LD_LABEL_NONE);
  end(&s);
  cr_assert_eq(open_text(&s, "{\"text\": \"the river\"}\n", true, &err), 0, "%s", err.text);
  end(&s);
}

Test(multilabel, errors_name_line_and_key) {
#define GOOD "{\"text\": \"a\", \"labels\": [\"x\"]}\n"
  static const char *const refused[][2] = {
      {GOOD "{\"text\": \"a\", \"labels\": [\"x\", 3]}",
       "line 2: labels: item 2 is an integer, expected a string"},
      {GOOD "{\"text\": \"a\", \"labels\": \"x\"}",
       "line 2: the record's keys are \"text\", \"labels\", expected "
       "\"text\" and \"labels\" (a list), as in the first record"},
      {GOOD "{\"text\": \"a\"}",
       "line 2: the record's keys are \"text\", expected \"text\" and \"labels\" (a list)"},
      {GOOD "{\"text\": \"a\", \"labels\": [\"\"]}", "line 2: label: an empty name"},
      {GOOD "{\"text\": 3, \"labels\": []}", "line 2: text: expected a string"},
      {"{\"text\": \"a\", \"label\": 1}\n{\"text\": \"a\", \"label\": [\"x\"]}",
       "line 2: label: expected a string or a number, found a list"}};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    setting s;
    ld_error err = {0};
    cr_assert_eq(open_text(&s, refused[i][0], false, &err), LD_EFORMAT, "case %zu", i);
    cr_assert(strstr(err.text, refused[i][1]), "case %zu: %s", i, err.text);
    end(&s);
  }
}

/* Logits become answers, and these the objective's metrics. */
Test(multilabel, a_logit_above_0_is_a_label) {
  float logits[] = {0.1f, -0.1f, 0, 2};
  const int32_t targets[] = {1, 1, 0, 1};
  const int64_t first[] = {0, 2, 4};
  const ld_tensor outputs = {.data = logits, .rows = 2, .cols = 2, .stride = 2};
  const ld_batch batch = {.fields = {{.name = LD_TARGETS, .n_rows = 4, .ids = targets}}};
  ld_answer list[4];
  ld_objective_multilabel.answer(&outputs, &batch, list);
  cr_assert(list[0].given == 1 && list[1].given == 0 && list[2].given == 0 && list[3].given == 1);
  const ld_answers answers = {.list = list, .first = first, .n = 4, .n_records = 2, .n_classes = 2};
  ld_scores scores = {0};
  ld_objective_multilabel.score(&answers, &scores);
  const double wanted[] = {4.0 / 5, (1 + 2.0 / 3) / 2, 0.5};
  for (int i = 0; i < 3; i++)
    cr_assert(fabs(scores.value[i] - wanted[i]) < 1e-12, "%d: %g", i, scores.value[i]);
  char *names[] = {"a", "b"};
  const ld_labels labels = {.names = names, .n_names = 2};
  ld_text line = {0};
  ld_objective_multilabel.put_prediction(
      &labels, &(ld_outputs){.data = logits + 2, .rows = 1, .cols = 2, .stride = 2}, &line);
  cr_assert_str_eq(line.bytes, "\"labels\": [\"b\"], \"probabilities\": {\"a\": 0.5, \"b\": 0.880797}");
  ld_text_clear(&line);
  ld_objective_multilabel.put_prediction(&labels, NULL, &line);
  cr_assert_str_eq(line.bytes, "\"labels\": null");
  ld_text_free(&line);
}
