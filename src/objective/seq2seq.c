/* From one text to another: an encoder-decoder reads the source and learns to write the target.
 *
 * A record is {"document": "It rained for a week. ...", "summary": "A wet week."}, or the same under another of
 * the names below. Both texts are encoded with the tokenizer's special tokens, and truncated separately. The
 * decoder reads the target moved by one, after the token that begins it:
 *
 *   source    It  rained  ...  </s>
 *   text      <pad>  A    wet   week  .
 *   targets   A      wet  week  .     </s> */
#include <string.h>

#include "base/memory.h"
#include "io/dataset/dataset.h"
#include "io/dataset/tokens.h"
#include "objective/next_token.h"

static const char *const pairs[][2] = {
    {"source", "target"},      /* ours */
    {"document", "summary"},   /* XSum, SciTLDR */
    {"article", "highlights"}, /* CNN / Daily Mail */
    {"article", "summary"},    /* Gigaword */
    {"dialogue", "summary"},   /* SAMSum, DialogSum */
    {"text", "summary"},       /* BillSum */
    {"text", "highlights"},    /* others on the hub */
    {"document", "highlights"},
    {"prompt", "completion"}, /* as for a language model */
    {NULL, NULL},
};

static const ld_column_names names = {
    .pairs = pairs,
    .advice = "name the text that is read \"source\" (or \"document\", \"article\", \"dialogue\", \"text\", "
              "\"prompt\"), and the one that is written \"target\" (or \"summary\", \"highlights\", "
              "\"completion\")"};

static int encode_source(const ld_dataset *dataset, const char *text, ld_sample *sample, ld_error *err) {
  const char *prefix = ld_dataset_asked(dataset)->source_prefix;
  ld_text whole = {0};
  ld_text_puts(&whole, prefix ? prefix : "");
  ld_text_puts(&whole, text);
  const int rc = ld_data_encode_input(dataset, whole.bytes, NULL, sample, err);
  ld_text_free(&whole);
  sample->n_source = sample->tokens.n;
  sample->types.n = 0;
  return rc;
}

static int encode_target(const ld_dataset *dataset, const char *text, ld_sample *sample, ld_error *err) {
  const ld_dataset_options *asked = ld_dataset_asked(dataset);
  const ld_input input = {.text = text, .length = strlen(text), .language = asked->target_lang};
  ld_ids ids = {0}, types = {0};
  size_t n_whole;
  const int rc = ld_data_encode_most(dataset, input, asked->target_len, &ids, &types, &n_whole, err);
  if (n_whole > ids.n) sample->cut |= LD_CUT_TARGET;
  for (size_t i = 0; i < ids.n && !rc; i++) ld_ids_push(&sample->tokens, ids.ids[i]);
  ld_ids_free(&ids);
  ld_ids_free(&types);
  return rc;
}

static int make(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed,
                ld_sample *sample, ld_error *err) {
  (void)record;
  const char *source, *target;
  int rc = ld_data_string(parsed->values, ld_dataset_text_key(dataset), &source, err);
  if (!rc) rc = ld_data_string(parsed->values, ld_dataset_pair_key(dataset), &target, err);
  if (rc || !*source) return rc;
  rc = encode_source(dataset, source, sample, err);
  if (!rc) rc = encode_target(dataset, target, sample, err);
  if (!rc) rc = ld_data_references(parsed->values, target, sample, err);
  if (!rc) ld_data_targets(sample, sample->n_source);
  return rc;
}

/* The references may be missing. */
static int ask(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed, ld_sample *sample,
               ld_error *err) {
  (void)record;
  const char *key = ld_dataset_pair_key(dataset), *source, *target = NULL;
  int rc = ld_data_string(parsed->values, ld_dataset_text_key(dataset), &source, err);
  if (!rc && key && ld_value_get(parsed->values, key)) rc = ld_data_string(parsed->values, key, &target, err);
  if (!rc) rc = ld_data_references(parsed->values, target, sample, err);
  if (!rc) rc = encode_source(dataset, source, sample, err);
  if (!rc && !sample->tokens.n) rc = ld_fail(err, LD_EFORMAT, "the source is empty");
  if (!rc) ld_data_targets(sample, SIZE_MAX);
  return rc;
}

static const ld_data_form source_target = {
    .name = "seq2seq",
    .takes = "an encoder-decoder takes files that end in",
    .more = {"references"},
    .columns = &names,
    .pairs = true,
    .apart = true,
    .input = "text",
    .record = "record",
    .row = "pair",
    .target = "target token",
    .without_any = "a target (by the keys 'target', 'summary', 'highlights' or 'completion')",
    .make = make,
    .ask = ask};
static const ld_data_form *const forms[] = {&source_target, NULL};

/* The token that begins what the decoder reads. */
static int32_t start_of(const ld_model *model, const int32_t *target, size_t n) {
  if (model->decoder_start != LD_START_LAST) return model->decoder_start;
  size_t last = 0;
  for (size_t i = 0; i < n; i++) last += target[i] != model->padding;
  return n ? target[last ? last - 1 : n - 1] : model->padding;
}

static void lay(const ld_laid *laid, ld_lanes *lanes) {
  const ld_sample *sample = laid->sample;
  const int32_t *ids = sample->tokens.ids;
  const size_t first = sample->n_source, n = sample->tokens.n;
  ld_lane *source = ld_lane_of(lanes, LD_SOURCE), *text = ld_lane_of(lanes, LD_TEXT),
          *targets = ld_lane_of(lanes, LD_TARGETS);
  ld_lane_begin_segment(source);
  for (size_t i = 0; i < first; i++) ld_lane_add_token(source, ids[i], 0);
  ld_lane_begin_segment(text);
  ld_lane_add_token(text, start_of(laid->model, ids + first, n - first), 0);
  for (size_t i = first; i + 1 < n; i++) ld_lane_add_token(text, ids[i], 0);
  /* A target without a token leaves the row without one. */
  const int at = ld_lane_add(targets, n > first ? (int)(n - first) : 1, 0);
  targets->ids[at] = -1;
  if (n > first) memcpy(targets->ids + at, ids + first, (n - first) * sizeof *ids);
}

static void prompt(const ld_sample *sample, ld_ids *source, ld_ids *text) {
  (void)text;
  for (size_t i = 0; i < sample->tokens.n; i++) ld_ids_push(source, sample->tokens.ids[i]);
}

const ld_objective ld_objective_seq2seq = {
    .name = "seq2seq",
    .model = "an encoder-decoder",
    .forms = forms,
    .loss_unit = "nats",
    .metrics = ld_next_token_metrics,
    .head = LD_HEAD_SEQ2SEQ,
    .lay = lay,
    .loss = ld_next_token_loss,
    .score = ld_next_token_score,
    .prompt = prompt,
};
