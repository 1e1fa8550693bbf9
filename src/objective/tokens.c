/* Tokens: a class for each word of a text, such as the kind of entity that it belongs to.
 *
 * A record is {"tokens": ["Mark", "Watney", "visited", "Mars"], "tags": ["B-PER", "I-PER", "O", "B-LOC"]}.
 * Each word is encoded by itself. Its label is placed at its first token; the other tokens have none:
 *
 *   ids     [CLS]  mark   wat    ##ney  visited  mars   [SEP]
 *   tags           B-PER  I-PER  -      O        B-LOC
 *
 * Scores are those of seqeval (1.2.2) in its default mode: an entity counts as found when its kind, its
 * beginning and its end are right. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/dataset/dataset.h"
#include "io/dataset/tokens.h"
#include "io/json.h"
#include "linalg/rows.h"
#include "objective/classes_common.h"

/* A list of strings among the values, under either name; NULL with an error if it is anything else. */
static const ld_value *list_of(const ld_value *values, const char *name, const char *other, ld_error *err) {
  const ld_value *list = ld_value_get(values, name);
  const char *key = list ? name : other;
  if (!list) list = ld_value_get(values, other);
  if (!list || list->type != LD_LIST) {
    ld_fail(err, LD_EFORMAT, "%s: expected a list of strings, found %s", list ? key : name,
            list ? ld_value_type_name(list->type) : "nothing");
    return NULL;
  }
  for (size_t i = 0; i < list->n_items; i++) {
    if (list->items[i].type == LD_STRING) continue;
    ld_fail(err, LD_EFORMAT,
            "%s: item %zu is %s, expected a string: write tags by their names, such as \"B-PER\"", key, i + 1,
            ld_value_type_name(list->items[i].type));
    return NULL;
  }
  return list;
}

static int encode(const ld_dataset *dataset, const ld_value *words, ld_sample *sample, ld_error *err) {
  const ld_dataset_options *asked = ld_dataset_asked(dataset);
  const char **list = ld_alloc(words->n_items, sizeof *list);
  for (size_t i = 0; i < words->n_items; i++) list[i] = words->items[i].string;
  const ld_words all = {list, words->n_items, asked->seq_len > 0 ? (size_t)asked->seq_len : 0};
  const int rc = ld_tokenizer_encode_words(asked->tokenizer, &all, &sample->tokens, &sample->parts,
                                           &sample->n_whole, err);
  sample->n_parts = (int32_t)words->n_items;
  if (sample->n_whole > sample->tokens.n) sample->cut |= LD_CUT_INPUT;
  for (size_t i = 0; i < sample->tokens.n && !rc; i++) ld_ids_push(&sample->types, 0);
  free(list);
  return rc;
}

static int make(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed,
                ld_sample *sample, ld_error *err) {
  (void)record;
  const ld_value *words = list_of(parsed->values, "tokens", "tokens", err), *tags = NULL;
  if (!words) return LD_EFORMAT;
  if (!ld_dataset_asked(dataset)->unlabelled && !(tags = list_of(parsed->values, "tags", "ner_tags", err)))
    return LD_EFORMAT;
  if (tags && tags->n_items != words->n_items)
    return ld_fail(err, LD_EFORMAT, "%zu tokens, but %zu tags", words->n_items, tags->n_items);
  const int rc = encode(dataset, words, sample, err);
  if (!rc) ld_data_targets(sample, SIZE_MAX);
  for (size_t i = 0; i < sample->tokens.n && !rc; i++) {
    const int32_t word = sample->parts.ids[i];
    sample->target[i] = word >= 0;
    if (word < 0 || !tags) continue;
    const char *tag = tags->items[word].string;
    ld_text_append(&sample->tags, tag, strlen(tag) + 1);
  }
  return rc;
}

static const ld_data_form tagged = {.name = "tagged",
                                    .takes = "a classifier of tokens takes files that end in",
                                    .keys = {"tokens"},
                                    .more = {"tags", "ner_tags"},
                                    .input = "text",
                                    .record = "text",
                                    .row = "text",
                                    .target = "word",
                                    .without_any = "a word with a tag (by the keys 'tokens' and 'tags')",
                                    .make = make};
static const ld_data_form *const forms[] = {&tagged, NULL};

enum { F1, PRECISION, RECALL, ACCURACY };
static const ld_metric metrics[] = {
    [F1] = {.key = "f1", .name = "F1", .title = "entity F1", .digits = 4},
    [PRECISION] = {.key = "precision", .name = "precision", .digits = 4},
    [RECALL] = {.key = "recall", .name = "recall", .digits = 4},
    [ACCURACY] = {.key = "accuracy", .name = "accuracy", .title = "token accuracy", .digits = 4},
    {0}};

/* Data for prediction may have no tags. The first token of a word then has class 0, so that it has an answer. */
static void lay(const ld_laid *laid, ld_lanes *lanes) {
  ld_lay_text(laid, lanes);
  ld_lane *targets = ld_lane_of(lanes, LD_TARGETS);
  const ld_sample *sample = laid->sample;
  const char *tag = sample->tags.length ? sample->tags.bytes : NULL;
  const int at = ld_lane_add(targets, laid->count, 0);
  for (int i = 0; i < laid->count; i++) {
    targets->positions[at + i] = sample->parts.ids[i];
    targets->ids[at + i] = sample->target[i] ? 0 : -1;
    if (!sample->target[i] || !tag) continue;
    targets->ids[at + i] = ld_class_of(laid->labels, tag);
    tag += strlen(tag) + 1;
  }
}

/* ", tags B-PER I-PER O": the tags of the first words. */
static void put_target(const ld_field *targets, const ld_labels *labels, ld_text *out) {
  enum { MOST = 12 };
  int n = 0;
  for (int t = 0; t < targets->n_rows && n <= MOST; t++) {
    if (targets->ids[t] < 0) continue;
    ld_text_puts(out, n ? " " : ", tags ");
    ld_text_puts(out, n < MOST ? labels->names[targets->ids[t]] : "...");
    n++;
  }
}

/* A tag's letter and what follows it, as seqeval splits them: "B-PER" is B and "PER", "B" is B and "_". */
typedef struct tag {
  char letter;
  const char *kind;
} tag;

static tag split(const char *name) {
  const char *dash = *name ? strchr(name + 1, '-') : NULL, *kind = dash ? dash + 1 : *name ? name + 1 : name;
  return (tag){*name, *kind ? kind : "_"};
}

static bool is_one_of(char letter, const char *letters) {
  return letter && strchr(letters, letter);
}

static bool is_outside(tag t) {
  return t.letter == 'O' || t.letter == '.';
}

/* seqeval's end_of_chunk and start_of_chunk. */
static bool ends(tag before, tag at) {
  if (is_one_of(before.letter, "ES")) return true;
  if (is_one_of(before.letter, "BI") && is_one_of(at.letter, "BSO")) return true;
  return !is_outside(before) && strcmp(before.kind, at.kind) != 0;
}

static bool starts(tag before, tag at) {
  if (is_one_of(at.letter, "BS")) return true;
  if (is_one_of(before.letter, "ESO") && is_one_of(at.letter, "EI")) return true;
  return !is_outside(at) && strcmp(before.kind, at.kind) != 0;
}

typedef struct entity {
  const char *kind;
  int64_t begin, end;
} entity;

/* The entities in one record's tags; `given`: in the model's tags. */
static size_t find_entities(const ld_answers *a, int64_t record, bool given, entity *out) {
  const int64_t first = a->first[record], n = a->first[record + 1] - first;
  tag before = {'O', record ? "_" : ""}; /* seqeval puts an O between records */
  int64_t begin = 0;
  size_t found = 0;
  for (int64_t i = 0; i <= n; i++) {
    const ld_answer *answer_ = &a->list[first + i];
    const tag at = i < n ? split(a->labels->names[given ? answer_->given : answer_->truth]) : (tag){'O', "_"};
    if (ends(before, at)) out[found++] = (entity){before.kind, begin, i - 1};
    if (starts(before, at)) begin = i;
    before = at;
  }
  return found;
}

static bool same(const entity *a, const entity *b) {
  return a->begin == b->begin && a->end == b->end && !strcmp(a->kind, b->kind);
}

static double ratio(double part, double whole) {
  return whole > 0 ? part / whole : 0;
}

static void score(const ld_answers *a, ld_scores *out) {
  int64_t longest = 0, right = 0;
  double n_true = 0, n_given = 0, n_both = 0;
  for (int64_t r = 0; r < a->n_records; r++)
    if (a->first[r + 1] - a->first[r] > longest) longest = a->first[r + 1] - a->first[r];
  entity *truth = ld_alloc(2 * ((size_t)longest + 1), sizeof *truth), *given = truth + longest + 1;
  for (int64_t r = 0; r < a->n_records; r++) {
    const size_t t = find_entities(a, r, false, truth), g = find_entities(a, r, true, given);
    n_true += (double)t;
    n_given += (double)g;
    for (size_t i = 0, k = 0; i < t && k < g;) {
      n_both += same(&truth[i], &given[k]);
      if (truth[i].end < given[k].end) /* no two end together */
        i++;
      else
        k++;
    }
  }
  for (int64_t i = 0; i < a->n; i++) right += a->list[i].truth == a->list[i].given;
  free(truth);
  out->value[PRECISION] = ratio(n_both, n_given);
  out->value[RECALL] = ratio(n_both, n_true);
  out->value[F1] = ratio(2 * n_both, n_given + n_true);
  out->value[ACCURACY] = ratio((double)right, (double)a->n);
}

/* "tags": ["B-PER", "O", null], one for each word; null for one that has no token or was cut off */
static void put_prediction(const ld_labels *labels, const ld_outputs *outputs, ld_text *line) {
  ld_text_puts(line, outputs ? "\"tags\": [" : "\"tags\": null");
  for (int word = 0, t = 0; outputs && word < outputs->n_parts; word++) {
    ld_text_puts(line, word ? ", " : "");
    while (t < outputs->rows && outputs->parts[t] < word) t++;
    const float *row = outputs->data + (size_t)t * (size_t)outputs->stride;
    if (t < outputs->rows && outputs->parts[t] == word)
      ld_json_quote(line, labels->names[ld_row_argmax(row, outputs->cols)]);
    else
      ld_text_puts(line, "null");
  }
  if (outputs) ld_text_puts(line, "]");
}

const ld_objective ld_objective_tokens = {
    .name = "tokens",
    .model = "a classifier",
    .forms = forms,
    .head = LD_HEAD_TOKEN,
    .least_outputs = 2,
    .named = true,
    .loss_unit = "nats",
    .metrics = metrics,
    .lay = lay,
    .suit = ld_classes_suit,
    .suit_new = ld_classes_suit_new,
    .put_target = put_target,
    .loss = ld_classes_loss,
    .answer = ld_classes_answer,
    .score = score,
    .put_prediction = put_prediction,
};
