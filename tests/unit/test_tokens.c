/* Classes of tokens: the scores of entities against seqeval's, and which token of a word has its label. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/dataset/dataset.h"
#include "objective/objective.h"
#include "scratch.h"

typedef struct entity_case {
  const char *truth, *given;
  double scores[3];
} entity_case;

#include "entity_cases.h"

/* The class of a tag, which is added if it is new. */
static uint32_t class_of(ld_labels *labels, const char *name) {
  for (size_t i = 0; i < labels->n_names; i++)
    if (!strcmp(labels->names[i], name)) return (uint32_t)i;
  labels->names = ld_grow(labels->names, labels->n_names, &labels->room, sizeof *labels->names);
  labels->names[labels->n_names++] = ld_strdup(name);
  return (uint32_t)labels->n_names - 1;
}

Test(tokens, scores_are_seqevals) {
  for (size_t c = 0; c < sizeof entity_cases / sizeof *entity_cases; c++) {
    ld_labels labels = {.kind = LD_LABEL_NAME};
    ld_answer answers[64];
    int64_t first[8] = {0};
    ld_answers all = {.list = answers, .first = first, .labels = &labels};
    char *truth = ld_strdup(entity_cases[c].truth), *given = ld_strdup(entity_cases[c].given), *rest[2];
    char *t = strtok_r(truth, " ", &rest[0]), *g = strtok_r(given, " ", &rest[1]);
    for (; t; t = strtok_r(NULL, " ", &rest[0]), g = strtok_r(NULL, " ", &rest[1])) {
      if (*t == '|')
        first[++all.n_records] = all.n;
      else
        answers[all.n++] = (ld_answer){class_of(&labels, t), class_of(&labels, g)};
    }
    first[++all.n_records] = all.n;
    ld_scores scores = {0};
    ld_objective_tokens.score(&all, &scores);
    for (int i = 0; i < 3; i++)
      cr_assert(fabs(scores.value[i] - entity_cases[c].scores[i]) < 1e-9, "%s: score %d is %g",
                entity_cases[c].truth, i, scores.value[i]);
    ld_labels_free(&labels);
    free(truth), free(given);
  }
}

/* One record of a CoNLL file, with the tokenizer of the golden BERT model. */
Test(tokens, a_label_stands_at_the_first_token_of_a_word) {
  ld_tokenizer *tokenizer;
  ld_dataset *dataset;
  ld_index index;
  ld_error err = {0};
  ld_sample sample = {0};
  static const char text[] = "mira X B-P\r\nzyx I-P\r\n\r\n\r\nmira O";
  char *folder = scratch_new(), *path = scratch_file(folder, "a.conll", text, sizeof text - 1);
  cr_assert_eq(ld_tokenizer_open(LD_TESTS_DIR "/golden/models/bert", &tokenizer, &err), 0, "%s", err.text);
  for (int most = 0; most <= 4; most += 4) {
    const ld_dataset_options options = {
        .forms = ld_objective_tokens.forms, .tokenizer = tokenizer, .eos = -1, .seq_len = most};
    cr_assert_eq(ld_dataset_open(path, &options, &dataset, &err), 0, "%s", err.text);
    cr_assert_eq(ld_dataset_index(dataset, 0, 1, &index, &err), 0, "%s", err.text);
    cr_assert_eq(index.n, 2);
    cr_assert_eq(ld_dataset_read(dataset, &index.records[0], &sample, &err), 0, "%s", err.text);
    int n = 0;
    for (size_t i = 0; i < sample.tokens.n; i++) n += sample.target[i];
    cr_assert(!sample.target[0] && sample.target[1] && !sample.target[sample.tokens.n - 1]);
    cr_assert_eq(n, index.records[0].n_targets);
    cr_assert(most ? sample.tokens.n == 4 && sample.n_whole > 4 : n == 2);
    cr_assert_str_eq(sample.tags.bytes, "B-P");
    ld_index_free(&index);
    ld_dataset_close(dataset);
  }
  ld_sample_free(&sample);
  ld_tokenizer_free(tokenizer);
  free(path);
  scratch_end(folder);
}

/* Wherever the parts begin and end, joined they are the same records. */
Test(tokens, sentences_are_the_same_in_parts) {
  static const char text[] = "a O\n\nb O\nc O\n\n\n\nd O\n \t\n# e\nf O";
  ld_tokenizer *tokenizer;
  ld_dataset *dataset;
  ld_index whole, part;
  ld_error err = {0};
  char *folder = scratch_new(), *path = scratch_file(folder, "a.conll", text, sizeof text - 1);
  cr_assert_eq(ld_tokenizer_open(LD_TESTS_DIR "/golden/models/bert", &tokenizer, &err), 0, "%s", err.text);
  const ld_dataset_options options = {.forms = ld_objective_tokens.forms, .tokenizer = tokenizer, .eos = -1};
  cr_assert_eq(ld_dataset_open(path, &options, &dataset, &err), 0, "%s", err.text);
  cr_assert_eq(ld_dataset_index(dataset, 0, 1, &whole, &err), 0, "%s", err.text);
  cr_assert_eq(whole.n, 4);
  for (int n_parts = 2; n_parts < 40; n_parts++) {
    size_t n = 0;
    for (int i = 0; i < n_parts; i++) {
      cr_assert_eq(ld_dataset_index(dataset, i, n_parts, &part, &err), 0, "%s", err.text);
      for (size_t k = 0; k < part.n; k++, n++)
        cr_assert(n < 4 && part.records[k].offset == whole.records[n].offset, "%d parts", n_parts);
      ld_index_free(&part);
    }
    cr_assert_eq(n, 4, "%zu records in %d parts", n, n_parts);
  }
  ld_index_free(&whole);
  ld_dataset_close(dataset);
  ld_tokenizer_free(tokenizer);
  free(path);
  scratch_end(folder);
}
