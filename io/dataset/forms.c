#include "io/dataset/forms.h"

#include <string.h>

#include "io/dataset/column.h"
#include "io/dataset/conversation.h"
#include "io/dataset/form.h"
#include "io/dataset/format.h"
#include "io/dataset/tokens.h"
#include "io/image/fit.h"

static int make_text(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed,
                     ld_sample *sample, ld_error *err) {
  (void)record;
  const char *text;
  int rc = ld_data_string(parsed->values, dataset->keys.text, &text, err);
  if (!rc) rc = ld_data_encode(dataset, text, strlen(text), true, &sample->tokens, err);
  if (rc) return rc;
  ld_data_end(dataset, &sample->tokens);
  ld_data_targets(sample, 1);
  return 0;
}

/* The last record ends the text. */
static int make_raw(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed,
                    ld_sample *sample, ld_error *err) {
  const char *text;
  int rc = ld_data_string(parsed->values, "text", &text, err);
  if (!rc) rc = ld_data_encode(dataset, text, strlen(text), false, &sample->tokens, err);
  if (rc) return rc;
  if (record->offset + record->bytes == dataset->source->length) ld_data_end(dataset, &sample->tokens);
  ld_data_targets(sample, 0);
  return 0;
}

/* How many tokens of `whole` are the prompt's. The last tokens of the prompt alone may differ from the
 * whole's, where they merge with what follows. */
static int prompt_tokens(const ld_dataset *dataset, const char *prompt, const ld_ids *whole, size_t *n,
                         ld_error *err) {
  ld_ids alone = {0};
  int rc = ld_data_encode(dataset, prompt, strlen(prompt), true, &alone, err);
  if (!rc) {
    if (dataset->adds_eos && alone.n) alone.n--;
    *n = ld_data_common(&alone, whole->ids, whole->n);
  }
  ld_ids_free(&alone);
  return rc;
}

static int make_prompt(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed,
                       ld_sample *sample, ld_error *err) {
  (void)record;
  const char *prompt, *completion;
  int rc = ld_data_string(parsed->values, "prompt", &prompt, err);
  if (!rc) rc = ld_data_string(parsed->values, "completion", &completion, err);
  if (rc) return rc;
  ld_text whole = {0};
  size_t from = 1;
  ld_text_puts(&whole, prompt);
  ld_text_puts(&whole, completion);
  rc = ld_data_encode(dataset, whole.bytes, whole.length, true, &sample->tokens, err);
  if (!rc) ld_data_end(dataset, &sample->tokens);
  if (!rc && dataset->options.mask_prompt) rc = prompt_tokens(dataset, prompt, &sample->tokens, &from, err);
  if (!rc) ld_data_targets(sample, from ? from : 1);
  ld_text_free(&whole);
  return rc;
}

/* As far as the completion, if there is one, does not change the tokens: what the model saw in training. */
static int ask_prompt(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed,
                      ld_sample *sample, ld_error *err) {
  const char *prompt, *completion = NULL;
  const bool known = ld_value_get(parsed->values, "completion") != NULL;
  int rc = ld_data_string(parsed->values, "prompt", &prompt, err);
  if (!rc && known) rc = ld_data_string(parsed->values, "completion", &completion, err);
  if (!rc && known) rc = make_prompt(dataset, record, parsed, sample, err);
  if (!rc && !known) rc = ld_data_encode(dataset, prompt, strlen(prompt), true, &sample->tokens, err);
  if (rc) return rc;
  for (size_t i = 1; known && i < sample->tokens.n; i++)
    if (sample->target[i]) sample->tokens.n = i;
  return ld_data_ask(dataset, parsed->values, completion, sample, err);
}

static int make_chat(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed,
                     ld_sample *sample, ld_error *err) {
  (void)record;
  return ld_data_conversation(dataset, parsed, sample, err);
}

static int ask_chat(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed,
                    ld_sample *sample, ld_error *err) {
  (void)record;
  return ld_data_ask_conversation(dataset, parsed, sample, err);
}

/* The label, if there is one. */
static int take_label(const ld_value *values, const char *key, ld_sample *sample, ld_error *err) {
  const ld_value *label = key ? ld_value_get(values, key) : NULL;
  if (!label) return 0;
  if (label->type != LD_STRING && label->type != LD_INTEGER && label->type != LD_REAL)
    return ld_fail(err, LD_EFORMAT, "%s: expected a string or a number, found %s", key,
                   ld_value_type_name(label->type));
  if (label->type == LD_STRING && ld_columns_no_label(key, label->string, strlen(label->string))) return 0;
  if (label->type == LD_STRING) ld_text_puts(&sample->label_name, label->string);
  sample->label_kind = label->type == LD_STRING    ? LD_LABEL_NAME
                       : label->type == LD_INTEGER ? LD_LABEL_INTEGER
                                                   : LD_LABEL_REAL;
  sample->label_value = label->real;
  return 0;
}

static int make_labelled(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed,
                         ld_sample *sample, ld_error *err) {
  (void)record;
  const ld_data_keys *keys = &dataset->keys;
  const char *text, *pair = NULL;
  int rc = ld_data_string(parsed->values, keys->text, &text, err);
  if (!rc && keys->pair && ld_value_get(parsed->values, keys->pair))
    rc = ld_data_string(parsed->values, keys->pair, &pair, err);
  if (!rc) rc = take_label(parsed->values, keys->label, sample, err);
  if (!rc) rc = ld_data_encode_input(dataset, text, pair, sample, err);
  if (!rc) ld_data_targets(sample, SIZE_MAX);
  return rc;
}

static int make_image(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed,
                      ld_sample *sample, ld_error *err) {
  (void)record;
  const int rc = take_label(parsed->values, "label", sample, err);
  sample->turned = parsed->image.turned;
  sample->n_whole = 1;
  return rc ? rc
            : ld_image_fit(&parsed->image, dataset->options.image_rule, parsed->place, &sample->image, err);
}

static void fit_picture(const ld_dataset *dataset, const ld_image *image, ld_sample *sample) {
  const ld_dataset_options *options = &dataset->options;
  const ld_image_rule *rule = options->image_rule;
  ld_image_size size = {rule->height, rule->width};
  sample->size =
      (uint16_t)ld_image_size_nearest(options->sizes, options->n_sizes, image->height, image->width);
  if (options->n_sizes) size = options->sizes[sample->size];
  sample->origin = ld_image_cover(image, rule, size, sample->crop, &sample->image);
}

static int make_picture(const ld_dataset *dataset, const ld_record *record, const ld_parsed *parsed,
                        ld_sample *sample, ld_error *err) {
  (void)record;
  const ld_value *caption = ld_value_get(parsed->values, "caption");
  const int rc = caption ? ld_data_encode_input(dataset, caption->string, NULL, sample, err)
                         : take_label(parsed->values, "label", sample, err);
  if (rc) return ld_fail_prefix(err, rc, "%s", parsed->place);
  ld_data_targets(sample, SIZE_MAX);
  sample->turned = parsed->image.turned;
  sample->blended = parsed->image.blended;
  if (!sample->n_whole) sample->n_whole = 1;
  fit_picture(dataset, &parsed->image, sample);
  return 0;
}

#define LANGUAGE                                                                                             \
  .takes = "a language model takes files that end in", .input = "text", .record = "record", .row = "row",    \
  .target = "target token",                                                                                  \
  .without_any = "a target token within --seq-len (are the completions empty, or the prompts longer?)",      \
  .unused_label = " (a language model learns only the texts: for labels give a classifier's --model)"
#define LABEL "a label (by the key or column 'label', the HDF5 dataset 'labels', or class folders)"

const ld_data_form ld_form_chat = {LANGUAGE,
                                   .name = "chat",
                                   .keys = {"messages"},
                                   .more = {"references"},
                                   .open = ld_form_find_layout,
                                   .make = make_chat,
                                   .ask = ask_chat};
const ld_data_form ld_form_prompt = {LANGUAGE,
                                     .name = "prompt",
                                     .keys = {"prompt", "completion"},
                                     .more = {"references"},
                                     .ends = true,
                                     .make = make_prompt,
                                     .ask = ask_prompt,
                                     .n_answers = 1};
const ld_data_form ld_form_text = {
    LANGUAGE,      .name = "text", .keys = {"text"}, .columns = &ld_columns_labelled,
    .packs = true, .ends = true,   .make = make_text};
const ld_data_form ld_form_raw = {LANGUAGE,      .name = "raw", .continuous = true,
                                  .packs = true, .ends = true,  .make = make_raw};
const ld_data_form ld_form_labelled = {
    .name = "labelled",
    .takes = "a classifier of texts takes labelled records in files that end in",
    .columns = &ld_columns_labelled,
    .pairs = true,
    .input = "text",
    .record = "text",
    .row = "text",
    .without_any = LABEL,
    .make = make_labelled};
const ld_data_form ld_form_image = {
    .name = "image",
    .takes = "a classifier of images takes a folder of class folders, or files that end in",
    .input = "image",
    .record = "image",
    .row = "image",
    .without_any = LABEL,
    .make = make_image};
const ld_data_form ld_form_picture = {.name = "picture",
                                      .takes = "a model that makes images takes",
                                      .pictures = true,
                                      .input = "image",
                                      .record = "image",
                                      .row = "image",
                                      .without_any = "a use",
                                      .make = make_picture};
