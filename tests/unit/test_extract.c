/* Summarisers that choose sentences: scores, loss and every gradient against transformers + PEFT, recorded in
 * tests/golden/models; what records become; which errors they give. */
#include "golden.h"
#include "io/dataset/dataset.h"
#include "io/dataset/tokens.h"
#include "nn/ops.h"
#include "scratch.h"

static void read_document(const judged *c, int number, ld_sample *sample) {
  const ld_stored *ids = recorded(c, "document%d.%s", number, "ids"),
                  *sentences = recorded(c, "document%d.%s", number, "sentences"),
                  *labels = recorded(c, "document%d.%s", number, "labels");
  sample->tokens.n = sample->parts.n = sample->chosen.n = 0;
  for (int i = 0; i < ids->shape[0]; i++) {
    ld_ids_push(&sample->tokens, ((const int32_t *)ids->data)[i]);
    ld_ids_push(&sample->parts, -1);
  }
  ld_data_targets(sample, SIZE_MAX);
  for (int i = 0; i < sentences->shape[0]; i++) {
    const int32_t at = ((const int32_t *)sentences->data)[i];
    sample->target[at] = 1;
    sample->parts.ids[at] = i;
    ld_ids_push(&sample->chosen, ((const int32_t *)labels->data)[i]);
  }
}

/* All recorded documents as one batch, as the objective lays them. */
static ld_batch lay_documents(const judged *c, ld_lanes *lanes) {
  ld_sample sample = {0};
  ld_batch batch = {0};
  for (int i = 0; i < one_int(c, "n_documents"); i++) {
    read_document(c, i, &sample);
    const ld_laid laid = {.sample = &sample, .model = c->base.model, .count = (int)sample.tokens.n};
    c->base.objective->lay(&laid, lanes);
  }
  for (int i = 0; i < lanes->n; i++) batch.fields[i] = ld_lane_field(&lanes->list[i]);
  ld_sample_free(&sample);
  return batch;
}

static double run(const judged *c, const ld_batch *batch, bool recompute, float *scores) {
  ld_tape *tape = ld_tape_create();
  double loss = 0;
  const ld_tensor *outputs = NULL;
  memset(c->base.params->grad, 0, c->base.params->n_floats * sizeof(float));
  for (int dry = 1; dry >= 0; dry--) {
    ld_tape_begin(tape, LD_PASS_TRAIN, dry, recompute);
    outputs = c->base.objective->loss(c->base.model, tape, batch, &loss);
    if (!dry) memcpy(scores, outputs->data, (size_t)outputs->rows * sizeof *scores);
    ld_tape_backward(tape);
    if (dry) cr_assert(ld_tape_reserve(tape));
  }
  ld_tape_free(tape);
  return loss;
}

static void check_case(const char *name, const char *config) {
  judged c;
  ld_lanes lanes = {0};
  float scores[64];
  open_case(&c, name, config, "adapter");
  cr_assert(c.base.objective == &ld_objective_extract, "%s", name);
  const ld_batch batch = lay_documents(&c, &lanes);
  const double loss = run(&c, &batch, true, scores);
  cr_assert(loss == run(&c, &batch, false, scores), "%s: the loss changes with recompute", name);
  check_loss_of(&c, loss);
  check_gradients_of(&c, one_int(&c, "n_targets"));
  const int32_t *segment = ld_batch_field(&batch, LD_TARGETS)->segment;
  for (int i = 0; i < one_int(&c, "n_documents"); i++) {
    const ld_stored *want = recorded(&c, "document%d.%s", i, "scores");
    cr_assert_eq(want->shape[0], segment[i + 1] - segment[i]);
    const double error = relative(scores + segment[i], want->data, (size_t)want->shape[0]);
    cr_assert(error < TOLERANCE, "%s: scores of document %d: %.2e", name, i, error);
  }
  ld_lanes_free(&lanes);
  close_case(&c);
}

Test(extract, every_body) {
  cr_assert(for_cases("n_documents", check_case, "config.json") >= 6);
}

typedef struct setting {
  char *folder, *path;
  ld_tokenizer *tokenizer;
  ld_dataset *dataset;
  ld_index index;
  ld_sample sample;
} setting;

static int open_text(setting *s, const char *ending, const char *text, ld_dataset_options options,
                     ld_error *err) {
  *s = (setting){.folder = scratch_new()};
  s->path = scratch_file(s->folder, ending, text, strlen(text));
  must(ld_tokenizer_open(MODELS "/bert_extract", &s->tokenizer, err), err);
  options.forms = ld_objective_extract.forms;
  options.tokenizer = s->tokenizer;
  options.eos = -1;
  if (!options.sentences) options.sentences = 3;
  const int rc = ld_dataset_open(s->path, &options, &s->dataset, err);
  return rc ? rc : ld_dataset_index(s->dataset, 0, 1, &s->index, err);
}

static void read_record(setting *s, size_t i) {
  ld_error err = {0};
  cr_assert(i < s->index.n);
  must(ld_dataset_read(s->dataset, &s->index.records[i], &s->sample, &err), &err);
}

static void end(setting *s) {
  ld_sample_free(&s->sample);
  ld_index_free(&s->index);
  ld_dataset_close(s->dataset);
  ld_tokenizer_free(s->tokenizer);
  free(s->path);
  scratch_end(s->folder);
}

#define RIVER "The river holds the old lamp."
#define CLOCK "Mira counts the red clocks again."
#define STONE "A stone carries the engine slowly."

/* The sentences, which of them are to be chosen, and where their first tokens are. */
static void check_sample(const ld_sample *s, int n, const int *chosen) {
  int next = 0;
  cr_assert_eq(s->n_parts, n);
  cr_assert_eq(s->chosen.n, (size_t)n);
  for (int i = 0; i < n; i++) cr_assert_eq(s->chosen.ids[i], chosen[i], "sentence %d", i);
  for (size_t t = 0; t < s->tokens.n; t++) {
    cr_assert_eq(s->parts.ids[t] >= 0, t == 0 || s->tokens.ids[t - 1] == 3, "token %zu", t); /* 3: [SEP] */
    cr_assert_eq(s->target[t], s->parts.ids[t] >= 0);
    if (s->parts.ids[t] >= 0) cr_assert_eq(s->parts.ids[t], next++);
  }
}

Test(extract, a_document_and_its_summary) {
  static const char *const texts[][2] = {
      {"a.jsonl", "{\"document\": \"" RIVER " " CLOCK "\\n" STONE "\", \"summary\": \"the red clocks\"}\n"},
      {"b.jsonl", "{\"article\": \"" RIVER " " CLOCK " " STONE "\", \"highlights\": \"the red clocks\"}\n"},
      {"c.csv", "summary,text\nthe red clocks,\"" RIVER "\n" CLOCK " " STONE "\"\n"},
      {"d.tsv", "source\ttarget\n" RIVER " " CLOCK " " STONE "\tthe red clocks\n"},
      {"e.jsonl",
       "{\"sentences\": [\"" RIVER "\", \"" CLOCK "\", \"" STONE "\"], \"summary\": \"the red clocks\"}"},
      {"f.jsonl", "{\"sentences\": [\"" RIVER "\", \"" CLOCK "\", \"" STONE "\"], \"labels\": [0, 1, 0]}"}};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    setting s;
    ld_error err = {0};
    must(open_text(&s, texts[i][0], texts[i][1], (ld_dataset_options){0}, &err), &err);
    read_record(&s, 0);
    check_sample(&s.sample, 3, (int[]){0, 1, 0});
    cr_assert_eq(s.index.records[0].n_targets, 3);
    cr_assert_eq(s.index.records[0].cut, 0);
    cr_assert_str_eq(s.sample.references.bytes, i == 5 ? CLOCK "\n" : "the red clocks");
    end(&s);
  }
}

Test(extract, at_most_so_many_sentences_are_to_be_chosen) {
  setting s;
  ld_error err = {0};
  const char *text = "{\"document\": \"" RIVER " " CLOCK " " STONE "\", \"summary\": \"" RIVER STONE "\"}";
  must(open_text(&s, "a.jsonl", text, (ld_dataset_options){.sentences = 3}, &err), &err);
  read_record(&s, 0);
  check_sample(&s.sample, 3, (int[]){1, 0, 1});
  end(&s);
  must(open_text(&s, "a.jsonl", text, (ld_dataset_options){.sentences = 1}, &err), &err);
  read_record(&s, 0);
  cr_assert_eq(s.sample.chosen.ids[0] + s.sample.chosen.ids[1] + s.sample.chosen.ids[2], 1);
  end(&s);
}

Test(extract, short_sentences_are_left_out_unless_all_are) {
  setting s;
  ld_error err = {0};
  must(open_text(&s, "a.jsonl",
                 "{\"sentences\": [\"The lamp.\", \"" CLOCK "\", \"No.\"], \"labels\": [1, 0, 1]}\n"
                 "{\"sentences\": [\"The lamp.\", \"No.\"], \"labels\": [0, 1]}\n",
                 (ld_dataset_options){0}, &err),
       &err);
  cr_assert_eq(s.index.records[0].n_targets, 1);
  cr_assert_eq(s.index.records[0].cut, LD_CUT_PARTS);
  cr_assert_eq(s.index.records[0].n_parts, 3);
  read_record(&s, 0);
  cr_assert_eq(s.sample.parts.ids[0], 1);
  cr_assert_eq(s.index.records[1].n_targets, 2);
  cr_assert_eq(s.index.records[1].cut, 0);
  end(&s);
}

Test(extract, many_and_long_sentences_are_truncated) {
  setting s;
  ld_error err = {0};
  ld_text text = {0};
  ld_text_puts(&text, "{\"sentences\": [\"");
  for (int i = 0; i < 300; i++) ld_text_puts(&text, "the ");
  for (int i = 0; i < 120; i++) ld_text_puts(&text, "\", \"" RIVER);
  ld_text_puts(&text, "\"], \"summary\": \"the river\"}");
  must(open_text(&s, "a.jsonl", text.bytes, (ld_dataset_options){0}, &err), &err);
  read_record(&s, 0);
  cr_assert_eq(s.sample.n_parts, 100);
  cr_assert_eq(s.index.records[0].n_targets, 100);
  cr_assert_eq(s.index.records[0].cut, LD_CUT_PARTS);
  cr_assert_eq(s.sample.parts.ids[200], 1);
  cr_assert_eq(s.sample.tokens.ids[199], 3);
  end(&s);

  must(open_text(&s, "a.jsonl", text.bytes, (ld_dataset_options){.seq_len = 210}, &err), &err);
  read_record(&s, 0);
  cr_assert_eq(s.sample.tokens.n, 210);
  cr_assert_eq(s.sample.tokens.ids[209], 3);
  cr_assert_eq(s.index.records[0].cut, LD_CUT_PARTS | LD_CUT_INPUT);
  const int n = s.index.records[0].n_targets;
  cr_assert(n > 1 && n < 4);
  end(&s);
  ld_text_free(&text);
}

Test(extract, what_is_predicted_needs_no_summary) {
  setting s;
  ld_error err = {0};
  must(open_text(&s, "a.jsonl", "{\"document\": \"" RIVER " " CLOCK "\"}\n{\"document\": \" \"}\n",
                 (ld_dataset_options){.unlabelled = true}, &err),
       &err);
  cr_assert_eq(s.index.n, 2);
  cr_assert_eq(s.index.records[0].n_targets, 2);
  cr_assert_eq(s.index.records[1].n_targets, 1);
  end(&s);
  must(open_text(&s, "a.jsonl", "{\"sentences\": [\"" RIVER "\"]}\n{\"sentences\": []}\n",
                 (ld_dataset_options){.unlabelled = true}, &err),
       &err);
  cr_assert_eq(s.index.n, 2);
  end(&s);
}

Test(extract, a_document_without_a_sentence_or_a_summary_is_left_out) {
  setting s;
  ld_error err = {0};
  must(open_text(&s, "a.jsonl",
                 "{\"document\": \"\", \"summary\": \"the river\"}\n{\"document\": \"" RIVER
                 "\", \"summary\": \"\"}\n",
                 (ld_dataset_options){0}, &err),
       &err);
  cr_assert_eq(s.index.n_empty, 1);
  cr_assert_eq(s.index.n, 1);
  cr_assert_eq(s.index.records[0].n_targets, 0);
  end(&s);
}

Test(extract, errors_name_line_and_key) {
#define GOOD "{\"sentences\": [\"a\"], \"labels\": [1]}\n"
  static const char *const refused[][2] = {
      {"{\"document\": \"a\"}", "line 1: summary: missing, expected a string"},
      {"{\"document\": \"a\", \"summary\": 3}", "line 1: summary: expected a string"},
      {"{\"document\": [\"a\"], \"summary\": \"a\"}", "line 1: document: expected a string"},
      {"{\"document\": \"a\", \"summary\": \"a\", \"references\": \"a\"}",
       "line 1: references: expected a list of texts, found a string"},
      {"{\"sentences\": \"a\", \"summary\": \"a\"}",
       "line 1: the keys are \"sentences\", \"summary\", and none has"},
      {GOOD "{\"sentences\": [\"a\", 3], \"labels\": [1, 0]}",
       "line 2: sentences: item 2 is an integer, expected a string"},
      {GOOD "{\"sentences\": [\"a\", \"b\"], \"labels\": [1]}",
       "line 2: labels: expected a list of 0 and 1, one for each of the 2 sentences"},
      {GOOD "{\"sentences\": [\"a\"], \"labels\": [2]}", "line 2: labels: item 1 must be 0 or 1"},
      {GOOD "{\"sentences\": [\"a\"], \"labels\": [true]}", "line 2: labels: item 1 must be 0 or 1"},
      {GOOD "{\"sentences\": [\"a\"]}", "line 2: the record has neither a \"summary\" nor \"labels\""},
      {GOOD "{\"sentences\": [\"a\"], \"summary\": []}", "line 2: summary: expected a string"},
      {GOOD "{\"sentences\": \"a\", \"labels\": [1]}",
       "line 2: the record's keys are \"sentences\", \"labels\", expected"}};
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    setting s;
    ld_error err = {0};
    cr_assert_eq(open_text(&s, "a.jsonl", refused[i][0], (ld_dataset_options){0}, &err), LD_EFORMAT,
                 "case %zu", i);
    cr_assert(strstr(err.text, refused[i][1]), "case %zu: %s", i, err.text);
    end(&s);
  }
}

/* Scores become chosen sentences, and these are compared with the reference, beside the first and the best ones. */
Test(extract, what_is_chosen_and_what_that_is_worth) {
  setting s;
  ld_error err = {0};
  must(open_text(&s, "a.jsonl",
                 "{\"sentences\": [\"" RIVER "\", \"" CLOCK "\", \"" STONE "\"], \"labels\": [0, 1, 0]}",
                 (ld_dataset_options){.sentences = 1}, &err),
       &err);
  read_record(&s, 0);
  const float data[] = {-1, 0.5f, 1};
  const int32_t parts[] = {0, 1, 2};
  ld_outputs outputs = {.data = data,
                        .rows = 3,
                        .cols = 1,
                        .stride = 1,
                        .parts = parts,
                        .n_parts = 3,
                        .sample = &s.sample,
                        .sentences = 2};
  ld_text line = {0};
  ld_objective_extract.put_prediction(NULL, &outputs, &line);
  cr_assert_str_eq(line.bytes, "\"sentences\": [\"" CLOCK "\", \"" STONE
                               "\"], \"indexes\": [1, 2], \"scores\": [0.622459, 0.731059]");
  ld_text_free(&line);
  outputs.sentences = 1;
  int64_t counts[LD_MAX_COUNTS] = {0};
  ld_scores scores = {0};
  ld_objective_extract.count(&outputs, counts);
  ld_objective_extract.score(&(ld_answers){.counts = counts}, &scores);
  cr_assert(fabs(scores.value[0] - 2 / 12.0) < 1e-9, "%g",
            scores.value[0]); /* "the" is in both, of 6 words each */
  cr_assert(fabs(scores.value[3] - 2 / 12.0) < 1e-9, "%g", scores.value[3]);
  cr_assert(scores.value[6] == 1 && scores.value[7] == 1 && scores.value[8] == 1);
  end(&s);
}
