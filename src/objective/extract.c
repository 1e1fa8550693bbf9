/* Extract: which sentences of a document are its summary. Liu and Lapata, "Text Summarization with Pretrained
 * Encoders", 2019; their program is PreSumm.
 *
 * A record is {"document": "It rained. Nobody came. We went home.", "summary": "We left for the rain."}, under the
 * names that summaries have elsewhere too, or {"sentences": [...]} with a "summary" or with "labels", a 0 or 1
 * for each. From a summary the labels are computed: those of the sentences that together resemble it most
 * (metric/oracle.h). Each sentence is encoded by itself, and its first token gets the score:
 *
 *   ids        [CLS] it rained . [SEP]  [CLS] nobody came . [SEP]  [CLS] we went home . [SEP]
 *   types        0   0    0    0   0      1     1     1   1   1      0   0   0    0   0   0
 *   sentences    0                        5                         10
 *   targets      1                        0                          1
 *
 * The loss is the binary cross-entropy of the scores. The paper sums it; here it is the mean over the sentences of
 * a step, as for every objective, which is the same to AdamW but for --clip and --eps.
 *
 * A summary is made of the --sentences best, leaving out one that has three words in a row in common with a better
 * one. PreSumm prints them from the best on; here they stand in the document's order. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/sentences.h"
#include "base/vmath.h"
#include "io/dataset/dataset.h"
#include "io/dataset/tokens.h"
#include "io/json.h"
#include "metric/oracle.h"
#include "metric/pick.h"
#include "metric/rouge.h"
#include "nn/ops.h"
#include "objective/objective.h"

/* As in PreSumm, but that a document of one or two sentences is kept, and its short sentences where it has no
 * others. */
enum { LONGEST = 200 /* tokens */, SHORTEST = 5 /* words */ };
#define CUT_PARTS                                                                                            \
  "sentences of fewer than 5 words or beyond the first 100, which are left out, or of more than 200 "        \
  "tokens, which are truncated"

static const char *const pairs[][2] = {
    {"document", "summary"},   /* ours, XSum, SciTLDR */
    {"article", "highlights"}, /* CNN / Daily Mail */
    {"article", "summary"},    /* Gigaword */
    {"dialogue", "summary"},   /* SAMSum, DialogSum */
    {"text", "summary"},       /* BillSum */
    {"text", "highlights"},    /* others on the hub */
    {"document", "highlights"},
    {"source", "target"}, /* as for an encoder-decoder */
    {NULL, NULL},
};

static const ld_column_names names = {.pairs = pairs,
                                      .advice = "name the document \"document\" (or \"article\", "
                                                "\"dialogue\", \"text\", \"source\"), and its summary "
                                                "\"summary\" (or \"highlights\", \"target\")"};

/* The sentences of a sample as a list, which the caller frees. */
static const char **list_sentences(const ld_sample *sample) {
  const char **list = ld_alloc((size_t)sample->n_parts, sizeof *list);
  const char *at = sample->sentences.bytes;
  for (int32_t i = 0; i < sample->n_parts; i++, at += strlen(at) + 1) list[i] = at;
  return list;
}

static void add_sentence(const char *text, size_t length, ld_sample *sample) {
  if (sample->n_parts == LD_MOST_SENTENCES) {
    sample->cut |= LD_CUT_PARTS;
    return;
  }
  ld_text_append(&sample->sentences, text, length);
  ld_text_append(&sample->sentences, "", 1);
  ld_ids_push(&sample->chosen, 0);
  sample->n_parts++;
}

static bool is_short(const char *sentence) {
  static const char blanks[] = " \t\n\r\f\v";
  int n = 0;
  for (const char *at = sentence; n < SHORTEST && *(at += strspn(at, blanks)); n++) at += strcspn(at, blanks);
  return n < SHORTEST;
}

/* Adds the sentence's tokens to the sample; its first one belongs to part `i`. */
static int encode_one(const ld_dataset *dataset, const char *sentence, int32_t i, ld_sample *sample,
                      ld_error *err) {
  const ld_input input = {.text = sentence, .length = strlen(sentence)};
  ld_ids ids = {0}, types = {0};
  size_t n_whole;
  const int rc = ld_data_encode_most(dataset, input, LONGEST, &ids, &types, &n_whole, err);
  if (n_whole > ids.n) sample->cut |= LD_CUT_PARTS;
  for (size_t t = 0; t < ids.n && !rc; t++) {
    ld_ids_push(&sample->tokens, ids.ids[t]);
    ld_ids_push(&sample->parts, t ? -1 : i);
  }
  ld_ids_free(&ids);
  ld_ids_free(&types);
  return rc;
}

static int encode(const ld_dataset *dataset, ld_sample *sample, ld_error *err) {
  const char **list = list_sentences(sample);
  bool all = true;
  int rc = 0;
  for (int32_t i = 0; i < sample->n_parts; i++) all = all && is_short(list[i]);
  for (int32_t i = 0; i < sample->n_parts && !rc; i++) {
    if (all || !is_short(list[i]))
      rc = encode_one(dataset, list[i], i, sample, err);
    else
      sample->cut |= LD_CUT_PARTS;
  }
  free(list);
  return rc;
}

/* Truncates the tokens as PreSumm does, within a sentence, but keeps the last token, which ends it. A sentence whose first
 * token would be that one is left out. */
static void cut(const ld_dataset *dataset, ld_sample *sample) {
  const int seq_len = ld_dataset_asked(dataset)->seq_len;
  ld_ids *tokens = &sample->tokens;
  const size_t most = seq_len > 0 ? (size_t)seq_len : SIZE_MAX;
  sample->n_whole = tokens->n;
  if (tokens->n <= most) return;
  sample->cut |= LD_CUT_INPUT;
  tokens->ids[most - 1] = tokens->ids[tokens->n - 1];
  sample->parts.ids[most - 1] = -1;
  tokens->n = sample->parts.n = most;
}

/* Fills in the rest of a sample that has its sentences and what is to be chosen. A document without any that is
 * only predicted counts as one empty sentence, so that it has a prediction. */
static int finish(const ld_dataset *dataset, bool is_known, ld_sample *sample, ld_error *err) {
  const bool unlabelled = ld_dataset_asked(dataset)->unlabelled;
  if (!sample->n_parts && unlabelled) add_sentence("", 0, sample);
  const int rc = encode(dataset, sample, err);
  if (rc) return rc;
  cut(dataset, sample);
  ld_data_targets(sample, SIZE_MAX);
  for (size_t i = 0; i < sample->tokens.n; i++)
    sample->target[i] = sample->parts.ids[i] >= 0 && (is_known || unlabelled);
  return 0;
}

static int choose_by_summary(const ld_dataset *dataset, const ld_value *values, const char *summary,
                             ld_sample *sample, ld_error *err) {
  size_t chosen[LD_MOST_SENTENCES];
  const char **list = list_sentences(sample);
  const size_t n =
      ld_oracle(list, (size_t)sample->n_parts, summary, (size_t)ld_dataset_asked(dataset)->sentences, chosen);
  for (size_t i = 0; i < n; i++) sample->chosen.ids[chosen[i]] = 1;
  free(list);
  return ld_data_references(values, summary, sample, err);
}

static int make_document(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed,
                         ld_sample *sample, ld_error *err) {
  (void)record;
  const bool unlabelled = ld_dataset_asked(dataset)->unlabelled;
  const char *document, *summary = "";
  int rc = ld_data_string(parsed->values, ld_dataset_text_key(dataset), &document, err);
  if (!rc && !unlabelled) rc = ld_data_string(parsed->values, ld_dataset_pair_key(dataset), &summary, err);
  if (rc) return rc;
  ld_sentence sentence;
  const size_t length = strlen(document);
  for (size_t at = 0; ld_sentence_next(document, length, &at, &sentence);)
    add_sentence(sentence.at, sentence.length, sample);
  if (*summary) rc = choose_by_summary(dataset, parsed->values, summary, sample, err);
  return rc ? rc : finish(dataset, *summary, sample, err);
}

static int take_sentences(const ld_value *list, ld_sample *sample, ld_error *err) {
  for (size_t i = 0; i < list->n_items; i++) {
    if (list->items[i].type != LD_STRING)
      return ld_fail(err, LD_EFORMAT, "sentences: item %zu is %s, expected a string", i + 1,
                     ld_value_type_name(list->items[i].type));
    add_sentence(list->items[i].string, strlen(list->items[i].string), sample);
  }
  return 0;
}

/* The sentences with label 1 then are the reference, too. */
static int take_labels(const ld_value *labels, size_t n_sentences, ld_sample *sample, ld_error *err) {
  if (labels->type != LD_LIST || labels->n_items != n_sentences)
    return ld_fail(err, LD_EFORMAT, "labels: expected a list of 0 and 1, one for each of the %zu sentences",
                   n_sentences);
  const char **list = list_sentences(sample);
  int rc = 0;
  for (size_t i = 0; i < labels->n_items && !rc; i++) {
    const ld_value *label = &labels->items[i];
    if (label->type != LD_INTEGER || label->integer < 0 || label->integer > 1)
      rc = ld_fail(err, LD_EFORMAT, "labels: item %zu must be 0 or 1", i + 1);
    if (rc || (int32_t)i >= sample->n_parts) continue;
    sample->chosen.ids[i] = (int32_t)label->integer;
    if (label->integer) ld_text_printf(&sample->references, "%s\n", list[i]);
  }
  ld_text_append(&sample->references, "", 1);
  free(list);
  return rc;
}

static int make_sentences(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed,
                          ld_sample *sample, ld_error *err) {
  (void)record;
  const ld_value *values = parsed->values, *list = ld_value_get(values, "sentences"),
                 *labels = ld_value_get(values, "labels");
  const char *key = ld_value_get(values, "highlights") ? "highlights" : "summary", *summary = "";
  const bool unlabelled = ld_dataset_asked(dataset)->unlabelled, computes = !unlabelled && !labels;
  int rc = take_sentences(list, sample, err);
  if (!rc && labels && !unlabelled) rc = take_labels(labels, list->n_items, sample, err);
  if (!rc && computes && !ld_value_get(values, key))
    rc = ld_fail(err, LD_EFORMAT,
                 "the record has neither a \"summary\" nor \"labels\": give one of them for its sentences");
  if (!rc && computes) rc = ld_data_string(values, key, &summary, err);
  if (!rc && *summary) rc = choose_by_summary(dataset, values, summary, sample, err);
  return rc ? rc : finish(dataset, labels || *summary, sample, err);
}

#define DOCUMENT                                                                                             \
  .takes = "a summariser that chooses sentences takes documents in files that end in", .input = "text",      \
  .record = "document", .row = "document", .target = "scored sentence", .cut_parts = CUT_PARTS,              \
  .without_any = "sentences and a summary (by the keys 'document' and 'summary', or 'sentences')"

static const ld_data_form document = {DOCUMENT,          .name = "document", .more = {"references"},
                                      .columns = &names, .pairs = true,      .make = make_document};
static const ld_data_form sentences = {DOCUMENT,
                                       .name = "sentences",
                                       .keys = {"sentences"},
                                       .more = {"summary", "highlights", "labels", "references"},
                                       .list = "sentences",
                                       .make = make_sentences};
static const ld_data_form *const forms[] = {&document, &sentences, NULL};

/* Types alternate where the model has two. */
static void lay(const ld_laid *laid, ld_lanes *lanes) {
  const ld_sample *sample = laid->sample;
  ld_lane *text = ld_lane_of(lanes, LD_TEXT), *firsts = ld_lane_of(lanes, LD_SENTENCES),
          *targets = ld_lane_of(lanes, LD_TARGETS);
  int32_t type = 1;
  ld_lane_begin_segment(text);
  ld_lane_begin_segment(firsts);
  ld_lane_begin_segment(targets);
  for (int i = 0; i < laid->count; i++) {
    if (sample->target[i]) {
      const int32_t part = sample->parts.ids[i];
      type = !type;
      ld_lane_add_token(firsts, text->n_rows, 0);
      ld_lane_add_token(targets, (size_t)part < sample->chosen.n ? sample->chosen.ids[part] : 0, 0);
      targets->positions[targets->n_rows - 1] = part;
    }
    ld_lane_add_token(text, sample->tokens.ids[i], laid->model->n_types > 1 ? type : 0);
  }
}

/* ", to choose: sentence 2 and 5" */
static void put_target(const ld_field *targets, const ld_labels *labels, ld_text *out) {
  (void)labels;
  int n = 0;
  for (int i = 0; i < targets->n_rows; i++)
    if (targets->ids[i] > 0)
      ld_text_printf(out, "%s%d", n++ ? " and " : ", to choose: sentence ", targets->positions[i] + 1);
  if (!n) ld_text_puts(out, ", to choose: nothing");
}

static ld_tensor *loss(const ld_model *model, ld_tape *tape, const ld_batch *batch, double *sum) {
  ld_tensor *scores = ld_model_logits(model, tape, batch);
  ld_op_binary_loss(tape, scores, ld_batch_field(batch, LD_TARGETS), sum);
  return scores;
}

/* The sentences chosen for a record, as rows of its outputs. Returns their number. */
static size_t choose(const ld_outputs *outputs, const char *const *list, size_t *rows) {
  const size_t n = (size_t)outputs->rows;
  const char **scored = ld_alloc(n, sizeof *scored);
  float *scores = ld_alloc(n, sizeof *scores);
  for (size_t i = 0; i < n; i++) {
    scored[i] = list[outputs->parts[i]];
    scores[i] = outputs->data[i * (size_t)outputs->stride];
  }
  const size_t chosen = ld_pick_sentences(scored, scores, n, (size_t)outputs->sentences, rows);
  free(scored);
  free(scores);
  return chosen;
}

/* "sentences": ["Nobody came."], "indexes": [1], "scores": [0.81] */
static void put_prediction(const ld_labels *labels, const ld_outputs *outputs, ld_text *line) {
  (void)labels;
  const char **list = list_sentences(outputs->sample);
  size_t rows[LD_MOST_SENTENCES];
  const size_t n = choose(outputs, list, rows);
  ld_text_puts(line, "\"sentences\": [");
  for (size_t i = 0; i < n; i++) {
    ld_text_puts(line, i ? ", " : "");
    ld_json_quote(line, list[outputs->parts[rows[i]]]);
  }
  ld_text_puts(line, "], \"indexes\": [");
  for (size_t i = 0; i < n; i++) ld_text_printf(line, "%s%d", i ? ", " : "", (int)outputs->parts[rows[i]]);
  ld_text_puts(line, "], \"scores\": [");
  for (size_t i = 0; i < n; i++)
    ld_text_printf(line, "%s%.6g", i ? ", " : "",
                   (double)ld_sigmoidf(outputs->data[rows[i] * (size_t)outputs->stride]));
  ld_text_puts(line, "]");
  free(list);
}

/* Summaries that are compared with the reference: the model's, the first sentences, and the best ones. */
enum { OURS, LEAD, ORACLE, N_SUMMARIES, N_ROUGES = 3 };

#define ROUGES(key_, name_, title_)                                                                          \
  {.key = key_ "rouge1", .name = name_ "ROUGE-1", .title = title_ "ROUGE-1", .digits = 4},                   \
      {.key = key_ "rouge2", .name = name_ "ROUGE-2", .title = title_ "ROUGE-2", .digits = 4}, {             \
    .key = key_ "rougeL", .name = name_ "ROUGE-L", .title = title_ "ROUGE-L", .digits = 4                    \
  }

static const ld_metric metrics[] = {
    ROUGES("", "", ""), ROUGES("lead_", "lead ", "LEAD "), ROUGES("oracle_", "oracle ", "oracle "), {0}};

static const ld_text_metric *const rouges[N_ROUGES] = {&ld_metric_rouge1, &ld_metric_rouge2,
                                                       &ld_metric_rougeL};

static void put_line(ld_text *text, const char *sentence) {
  ld_text_puts(text, sentence);
  ld_text_puts(text, "\n");
}

static void write_summaries(const ld_outputs *outputs, ld_text *texts) {
  const ld_sample *sample = outputs->sample;
  const char **list = list_sentences(sample);
  size_t rows[LD_MOST_SENTENCES];
  const size_t n = choose(outputs, list, rows);
  for (size_t i = 0; i < n; i++) put_line(&texts[OURS], list[outputs->parts[rows[i]]]);
  for (int i = 0; i < sample->n_parts && i < outputs->sentences; i++) put_line(&texts[LEAD], list[i]);
  for (int i = 0; i < sample->n_parts; i++)
    if (sample->chosen.ids[i]) put_line(&texts[ORACLE], list[i]);
  free(list);
}

static void count(const ld_outputs *outputs, int64_t *counts) {
  const ld_text *all = &outputs->sample->references;
  const char *references[LD_MOST_SENTENCES];
  size_t n = 0;
  for (size_t at = 0; at < all->length && n < LD_MOST_SENTENCES; at += strlen(all->bytes + at) + 1)
    references[n++] = all->bytes + at;
  ld_text texts[N_SUMMARIES] = {0};
  write_summaries(outputs, texts);
  for (int i = 0; i < N_SUMMARIES; i++) {
    const ld_written written = {
        .text = texts[i].length ? texts[i].bytes : "", .references = references, .n_references = n};
    for (int k = 0; k < N_ROUGES; k++)
      rouges[k]->count(&written, counts + (i * N_ROUGES + k) * LD_MOST_COUNTS);
    ld_text_free(&texts[i]);
  }
}

static void score(const ld_answers *answers, ld_scores *out) {
  for (int i = 0; i < N_SUMMARIES * N_ROUGES; i++)
    out->value[i] = rouges[i % N_ROUGES]->value(answers->counts + i * LD_MOST_COUNTS);
}

const ld_objective ld_objective_extract = {
    .name = "extract",
    .model = "a summariser that chooses sentences",
    .forms = forms,
    .loss_unit = "nats",
    .metrics = metrics,
    .head = LD_HEAD_SENTENCE,
    .least_outputs = 1,
    .most_outputs = 1,
    .lay = lay,
    .put_target = put_target,
    .loss = loss,
    .count = count,
    .score = score,
    .put_prediction = put_prediction,
};
