/* JSONL: one JSON object a line; its keys tell what it is. Blank lines are no records.
 *
 * A new form of record for language models is one line in the table `forms`, before the forms whose keys it
 * contains. Labelled records have keys as tables have columns (column.c); those of the first record hold.
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

/* The keys of labelled records; NULL where there is none. */
typedef struct record_keys {
  char *text, *pair, *label;
} record_keys;

static int read_label(const ld_value *record, const char *key, ld_sample *sample, ld_error *err) {
  const ld_value *label = key ? ld_value_get(record, key) : NULL;
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

static int read_labelled(const ld_dataset *dataset, const ld_value *record, ld_sample *sample,
                         ld_error *err) {
  const record_keys *keys = dataset->own;
  const char *text, *pair = NULL;
  int rc = ld_data_string(record, keys->text, &text, err);
  if (!rc && keys->pair && ld_value_get(record, keys->pair))
    rc = ld_data_string(record, keys->pair, &pair, err);
  if (!rc) rc = read_label(record, keys->label, sample, err);
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
  ld_data_form form;
  const char *keys[3];
  int (*read)(const ld_dataset *dataset, const ld_value *record, ld_sample *sample, ld_error *err);
} record_form;

/* For language models. */
static const record_form forms[] = {
    {LD_DATA_CHAT, {"messages"}, ld_data_conversation},
    {LD_DATA_PROMPT, {"prompt", "completion"}, read_prompt},
    {LD_DATA_TEXT, {"text"}, read_text},
};

enum { n_forms = sizeof forms / sizeof *forms };

/* The first form whose keys the record has; NULL when there is none. */
static const record_form *form_of(const ld_value *record) {
  for (size_t i = 0; i < n_forms; i++) {
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

static int fail_form(const ld_value *record, const ld_text *wanted, const char *why, ld_error *err) {
  ld_text has = {0};
  list_keys(record, &has);
  ld_fail(err, LD_EFORMAT, "the record's keys are %s, expected %s%s", has.bytes, wanted->bytes, why);
  ld_text_free(&has);
  return LD_EFORMAT;
}

/* Of a record that is not as the first. */
static int fail_other(const ld_dataset *dataset, const ld_value *record, const record_form *first,
                      ld_error *err) {
  ld_text wanted = {0};
  if (first)
    list_wanted(first, &wanted);
  else
    ld_text_printf(&wanted, "\"%s\"", ((const record_keys *)dataset->own)->text);
  fail_form(record, &wanted, ", as in the first record: every record must have the form of the first", err);
  ld_text_free(&wanted);
  return LD_EFORMAT;
}

static int fail_unknown(const ld_value *record, ld_error *err) {
  ld_text wanted = {0};
  for (size_t i = 0; i < n_forms; i++) {
    ld_text_puts(&wanted, i ? ", or " : "");
    list_wanted(&forms[i], &wanted);
  }
  fail_form(record, &wanted, "", err);
  ld_text_free(&wanted);
  return LD_EFORMAT;
}

/* To the parser the record is a file: where it says line 1, the file's line belongs. */
static void fail_syntax(const ld_dataset *dataset, uint64_t offset, const ld_error *inner, ld_error *err) {
  static const char own[] = ": line 1, ", end[] = "end of file";
  const bool replace = !strncmp(inner->text, own, sizeof own - 1);
  const char *why = inner->text + (replace ? sizeof own - 1 : 0), *at = strstr(why, end);
  const int before = at ? (int)(at - why) : (int)strlen(why);
  ld_fail(err, LD_EFORMAT, "%s: line %zu%s%.*s%s%.1000s", dataset->source->path, ld_data_line(dataset, offset),
          replace ? ", " : "", before, why, at ? "the end of the line" : "", at ? at + sizeof end - 1 : "");
}

/* The object that a line is. */
static ld_value *parse(const ld_dataset *dataset, uint64_t offset, const char *line, size_t length,
                       ld_error *err) {
  ld_error inner = {0};
  if (ld_data_check_text(dataset, offset, line, length, err)) return NULL;
  while (length && (line[length - 1] == '\n' || line[length - 1] == '\r')) length--;
  ld_value *value = ld_json_parse(line, length, "", &inner);
  if (!value) fail_syntax(dataset, offset, &inner, err);
  if (!value || value->type == LD_MAP) return value;
  ld_data_fail_at(dataset, offset, ld_fail(err, LD_EFORMAT, "expected an object {...}"), err);
  ld_value_free(value);
  return NULL;
}

static bool is_one_of(const char *key, const char *const *keys, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (keys[i] && !strcmp(key, keys[i])) return true;
  return false;
}

/* Counts the keys of the record that are not among the n used ones. */
static void count_unused(const ld_value *record, const char *const *used, size_t n, ld_tally *unused) {
  for (size_t i = 0; unused && i < record->n_items; i++)
    if (record->items[i].type != LD_NULL && !is_one_of(record->items[i].key, used, n))
      ld_tally_add(unused, record->items[i].key, 1);
}

static int fill_labelled(const ld_dataset *dataset, const ld_value *record, ld_sample *sample,
                         ld_error *err) {
  const record_keys *keys = dataset->own;
  if (!ld_value_get(record, keys->text)) return fail_other(dataset, record, NULL, err);
  const int rc = read_labelled(dataset, record, sample, err);
  const char *const used[] = {keys->text, keys->pair, keys->label};
  if (!rc) count_unused(record, used, 3, sample->unused);
  return rc;
}

static int fill(const ld_dataset *dataset, const ld_value *record, ld_sample *sample, ld_error *err) {
  const record_form *first = forms;
  if (dataset->form == LD_DATA_LABELLED) return fill_labelled(dataset, record, sample, err);
  while (first->form != dataset->form) first++;
  if (form_of(record) != first) return fail_other(dataset, record, first, err);
  const int rc = first->read(dataset, record, sample, err);
  if (!rc) count_unused(record, first->keys, 3, sample->unused);
  return rc;
}

static int jsonl_read(const ld_dataset *dataset, const ld_record *record, const ld_bytes *bytes,
                      ld_sample *sample, ld_error *err) {
  if (ld_data_is_blank(bytes->at, bytes->length)) return 0;
  ld_value *value = parse(dataset, record->offset, bytes->at, bytes->length, err);
  if (!value) return LD_EFORMAT;
  int rc = fill(dataset, value, sample, err);
  if (rc) rc = ld_data_fail_at(dataset, record->offset, rc, err);
  ld_value_free(value);
  return rc;
}

static uint64_t jsonl_next(const ld_dataset *dataset, uint64_t offset) {
  const char *text = dataset->source->map.bytes;
  const char *end = memchr(text + offset, '\n', dataset->source->length - offset);
  return end ? (uint64_t)(end - text) + 1 : dataset->source->length;
}

static int find_layout(ld_dataset *dataset, ld_error *err) {
  const ld_dataset_options *options = &dataset->options;
  dataset->layout = ld_chat_find(options->chat_template, options->own_template, options->tokenizer, err);
  return dataset->layout ? 0 : ld_fail_prefix(err, LD_EUSAGE, "%s", dataset->source->path);
}

static char *copy(const char *key) {
  return key ? ld_strdup(key) : NULL;
}

/* The keys by the first record. Later ones may have a pair or a label where the first has none. */
static int find_keys(ld_dataset *dataset, const ld_value *record, ld_error *err) {
  char **names = ld_alloc(record->n_items, sizeof *names);
  size_t n = 0;
  for (size_t i = 0; i < record->n_items; i++)
    if (record->items[i].type != LD_NULL) names[n++] = record->items[i].key;
  ld_columns found;
  const int rc = ld_columns_find(names, n, "keys", &found, err);
  if (!rc) {
    record_keys *keys = dataset->own = ld_alloc(1, sizeof *keys);
    const char *text = names[found.text - 1];
    keys->text = copy(text);
    keys->pair = copy(found.pair ? names[found.pair - 1] : ld_columns_partner(text));
    if (!dataset->options.unlabelled) keys->label = copy(found.label ? names[found.label - 1] : "label");
  }
  free(names);
  return rc;
}

/* The form by the first record. */
static int find_form(ld_dataset *dataset, const ld_value *record, ld_error *err) {
  if (dataset->options.use == LD_USE_CLASSES) {
    dataset->form = LD_DATA_LABELLED;
    return find_keys(dataset, record, err);
  }
  const record_form *form = form_of(record);
  if (!form) return fail_unknown(record, err);
  dataset->form = form->form;
  return 0;
}

/* Finds the first line that is not blank, which is the opening; returns where it stands. */
static uint64_t keep_first_line(ld_source *source) {
  const ld_bytes start = ld_source_start(source);
  const char *line = start.at, *end = start.at, *stop = start.at + start.length;
  do {
    line = end;
    const char *newline = memchr(line, '\n', (size_t)(stop - line));
    end = newline ? newline + 1 : stop;
  } while (end < stop && ld_data_is_blank(line, (size_t)(end - line)));
  ld_source_keep(source, line, (size_t)(end - line));
  return source->begin + (uint64_t)(line - start.at);
}

static int jsonl_open(ld_dataset *dataset, ld_error *err) {
  const uint64_t offset = keep_first_line(dataset->source);
  const ld_bytes *line = &dataset->source->opening;
  ld_value *record = parse(dataset, offset, line->at, line->length, err);
  if (!record) return LD_EFORMAT;
  int rc = find_form(dataset, record, err);
  if (rc) ld_data_fail_at(dataset, offset, rc, err);
  if (!rc && dataset->form == LD_DATA_CHAT) rc = find_layout(dataset, err);
  ld_value_free(record);
  return rc;
}

static void jsonl_close(ld_dataset *dataset) {
  record_keys *keys = dataset->own;
  free(keys->text);
  free(keys->pair);
  free(keys->label);
  free(keys);
}

const ld_data_format ld_data_jsonl = {.endings = {".jsonl"},
                                      .source = ld_data_map_text,
                                      .open = jsonl_open,
                                      .close = jsonl_close,
                                      .next = jsonl_next,
                                      .read = jsonl_read};
