/* JSONL: one JSON object a line; its keys tell what it is. Blank lines are no records.
 *
 * A new form of record is one line in the table `forms`, in front of the forms whose keys it contains.
 */
#include "io/dataset/format.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/json.h"

static int read_text(const ld_dataset *dataset, const ld_value *record, ld_sample *sample, ld_error *err) {
  const char *text;
  int rc = ld_data_string(record, "text", &text, err);
  return rc ? rc : ld_data_text(dataset, text, strlen(text), sample, err);
}

static int read_label(const ld_dataset *dataset, const ld_value *record, ld_sample *sample, ld_error *err) {
  const ld_value *label = dataset->options.unlabelled ? NULL : ld_value_get(record, "label");
  if (!label) return 0;
  if (label->type != LD_STRING && label->type != LD_INTEGER && label->type != LD_REAL)
    return ld_fail(err, LD_EFORMAT, "label: expected a string or a number, found %s",
                   ld_value_type_name(label->type));
  if (label->type == LD_STRING) ld_text_puts(&sample->label_name, label->string);
  sample->label_kind = label->type == LD_STRING    ? LD_LABEL_NAME
                       : label->type == LD_INTEGER ? LD_LABEL_INTEGER
                                                   : LD_LABEL_REAL;
  sample->label_value = label->real;
  return 0;
}

static int read_labelled(const ld_dataset *dataset, const ld_value *record, ld_sample *sample,
                         ld_error *err) {
  const char *text, *pair = NULL;
  int rc = ld_data_string(record, "text", &text, err);
  if (!rc && ld_value_get(record, "text_pair")) rc = ld_data_string(record, "text_pair", &pair, err);
  if (!rc) rc = read_label(dataset, record, sample, err);
  if (rc) return rc;
  return ld_data_labelled(dataset, text, strlen(text), pair, pair ? strlen(pair) : 0, sample, err);
}

/* How many tokens of `whole` are the prompt's. The last ones of the prompt alone may be others than in the
 * whole, where they can join with what follows. */
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

static int read_prompt(const ld_dataset *dataset, const ld_value *record, ld_sample *sample, ld_error *err) {
  const char *prompt, *completion;
  int rc = ld_data_string(record, "prompt", &prompt, err);
  if (!rc) rc = ld_data_string(record, "completion", &completion, err);
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

typedef struct record_form {
  ld_data_use use;
  ld_data_form form;
  const char *keys[3];
  int (*read)(const ld_dataset *dataset, const ld_value *record, ld_sample *sample, ld_error *err);
} record_form;

static const record_form forms[] = {
    {LD_USE_LANGUAGE, LD_DATA_CHAT, {"messages"}, ld_data_conversation},
    {LD_USE_LANGUAGE, LD_DATA_PROMPT, {"prompt", "completion"}, read_prompt},
    {LD_USE_LANGUAGE, LD_DATA_TEXT, {"text"}, read_text},
    {LD_USE_CLASSES, LD_DATA_LABELLED, {"text"}, read_labelled},
};

enum { n_forms = sizeof forms / sizeof *forms };

/* The first form for this use whose keys the record has; NULL when there is none. */
static const record_form *form_of(const ld_dataset *dataset, const ld_value *record) {
  for (size_t i = 0; i < n_forms; i++) {
    if (forms[i].use != dataset->options.use) continue;
    const char *const *key = forms[i].keys;
    while (*key && ld_value_get(record, *key)) key++;
    if (!*key) return &forms[i];
  }
  return NULL;
}

static void list_wanted(const record_form *form, ld_text *out) {
  for (size_t i = 0; form->keys[i]; i++) ld_text_printf(out, "%s\"%s\"", i ? " and " : "", form->keys[i]);
}

static void list_keys(const ld_value *record, ld_text *out) {
  const size_t most = 12;
  for (size_t i = 0; i < record->n_items && i < most; i++)
    ld_text_printf(out, "%s\"%.40s\"%s", i ? ", " : "", record->items[i].key,
                   record->items[i].type == LD_NULL ? " (null)" : "");
  if (record->n_items > most) ld_text_puts(out, ", ...");
  if (!record->n_items) ld_text_puts(out, "none");
}

/* `first` is NULL when the record itself is the first. */
static int fail_form(const ld_dataset *dataset, const ld_value *record, const record_form *first,
                     ld_error *err) {
  ld_text has = {0}, wanted = {0};
  list_keys(record, &has);
  if (first) {
    list_wanted(first, &wanted);
    ld_text_puts(&wanted, ", as in the first record: every record must have the form of the first");
  }
  for (size_t i = 0; !first && i < n_forms; i++) {
    if (forms[i].use != dataset->options.use) continue;
    if (wanted.length) ld_text_puts(&wanted, ", or ");
    list_wanted(&forms[i], &wanted);
  }
  if (!first && dataset->options.use == LD_USE_CLASSES)
    ld_text_puts(&wanted, ", with \"text_pair\" for pairs, and \"label\": the model classifies texts");
  int rc = ld_fail(err, LD_EFORMAT, "the record's keys are %s, expected %s", has.bytes, wanted.bytes);
  ld_text_free(&has);
  ld_text_free(&wanted);
  return rc;
}

/* The parser counts lines within the record: where it says line 1, the file's line belongs. */
static void fail_syntax(const ld_dataset *dataset, const ld_record *record, const ld_error *inner,
                        ld_error *err) {
  static const char own[] = ": line 1, ";
  const bool replace = !strncmp(inner->text, own, sizeof own - 1);
  ld_fail(err, LD_EFORMAT, "%s: line %zu%s%.1900s", dataset->path, ld_data_line(dataset, record->offset),
          replace ? ", " : "", inner->text + (replace ? sizeof own - 1 : 0));
}

static ld_value *parse(const ld_dataset *dataset, const ld_record *record, ld_error *err) {
  const char *line = dataset->map.bytes + record->offset;
  ld_error inner = {0};
  ld_value *value = ld_json_parse(line, record->bytes, "", &inner);
  if (!value) {
    fail_syntax(dataset, record, &inner, err);
  } else if (value->type != LD_MAP) {
    ld_fail(err, LD_EFORMAT, "%s: line %zu: expected an object {...}", dataset->path,
            ld_data_line(dataset, record->offset));
    ld_value_free(value);
    value = NULL;
  }
  return value;
}

static int fill(const ld_dataset *dataset, const ld_value *record, ld_sample *sample, ld_error *err) {
  const record_form *first = forms;
  while (first->form != dataset->form) first++;
  if (form_of(dataset, record) != first) return fail_form(dataset, record, first, err);
  return first->read(dataset, record, sample, err);
}

static int jsonl_read(const ld_dataset *dataset, const ld_record *record, ld_sample *sample, ld_error *err) {
  if (ld_data_is_blank(dataset->map.bytes + record->offset, record->bytes)) return 0;
  int rc = ld_data_check_text(dataset, record->offset, record->bytes, err);
  if (rc) return rc;
  ld_value *value = parse(dataset, record, err);
  if (!value) return LD_EFORMAT;
  rc = fill(dataset, value, sample, err);
  if (rc) rc = ld_fail_prefix(err, rc, "%s: line %zu", dataset->path, ld_data_line(dataset, record->offset));
  ld_value_free(value);
  return rc;
}

static uint64_t jsonl_next(const ld_dataset *dataset, uint64_t offset) {
  const char *text = dataset->map.bytes;
  const char *end = memchr(text + offset, '\n', dataset->length - offset);
  return end ? (uint64_t)(end - text) + 1 : dataset->length;
}

static int find_layout(ld_dataset *dataset, ld_error *err) {
  dataset->layout = ld_chat_find(dataset->options.chat_template, dataset->options.tokenizer, err);
  return dataset->layout ? 0 : ld_fail_prefix(err, LD_EUSAGE, "%s", dataset->path);
}

static int jsonl_open(ld_dataset *dataset, ld_error *err) {
  int rc = ld_data_map_text(dataset, err);
  if (rc) return rc;
  ld_record first = {.offset = dataset->first};
  for (;; first.offset += first.bytes) {
    first.bytes = jsonl_next(dataset, first.offset) - first.offset;
    if (!ld_data_is_blank(dataset->map.bytes + first.offset, first.bytes)) break;
  }
  rc = ld_data_check_text(dataset, first.offset, first.bytes, err);
  if (rc) return rc;
  ld_value *record = parse(dataset, &first, err);
  if (!record) return LD_EFORMAT;
  const record_form *form = form_of(dataset, record);
  dataset->unused_labels = form && form->form == LD_DATA_TEXT && ld_value_get(record, "label");
  if (form)
    dataset->form = form->form;
  else
    rc = ld_fail_prefix(err, fail_form(dataset, record, NULL, err), "%s: line %zu", dataset->path,
                        ld_data_line(dataset, first.offset));
  if (form && form->form == LD_DATA_CHAT) rc = find_layout(dataset, err);
  ld_value_free(record);
  return rc;
}

const ld_data_format ld_data_jsonl = {
    .endings = {".jsonl"}, .open = jsonl_open, .next = jsonl_next, .read = jsonl_read};
