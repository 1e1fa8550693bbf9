/* What the records of a data set are, by the names of their values: of the keys of the first JSON line, or of a
 * table's columns.
 *
 * A new form of record for language models is one line in the table `forms`, before the forms whose keys it
 * contains. Labelled records may have other names for the same (column.c).
 */
#include "io/dataset/form.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

typedef struct record_form {
  ld_data_form form;
  const char *keys[3];
} record_form;

/* For language models. */
static const record_form forms[] = {
    {LD_DATA_CHAT, {"messages"}},
    {LD_DATA_PROMPT, {"prompt", "completion"}},
    {LD_DATA_TEXT, {"text"}},
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

/* Of a record that is not as the first, of which these are the keys. */
static int fail_other(const ld_value *record, const record_form *first, ld_error *err) {
  ld_text wanted = {0};
  list_wanted(first, &wanted);
  fail_form(record, &wanted, ", as in the first record: every record must have the form of the first", err);
  ld_text_free(&wanted);
  return LD_EFORMAT;
}

void ld_data_keys_free(ld_data_keys *keys) {
  free(keys->text);
  free(keys->pair);
  free(keys->label);
  *keys = (ld_data_keys){0};
}

static char *copy(const char *key) {
  return key ? ld_strdup(key) : NULL;
}

int ld_form_find_keys(ld_dataset *dataset, char *const *names, size_t n, const char *what, ld_columns *found,
                      ld_error *err) {
  const int rc = ld_columns_find(names, n, what, found, err);
  if (rc) return rc;
  const bool classifies = dataset->options.use == LD_USE_CLASSES;
  const char *text = names[found->text - 1];
  if (!classifies) found->pair = 0;
  if (!classifies || dataset->options.unlabelled) found->label = 0;
  ld_data_keys_free(&dataset->keys);
  dataset->form = classifies ? LD_DATA_LABELLED : LD_DATA_TEXT;
  dataset->keys.text = ld_strdup(text);
  if (classifies) dataset->keys.pair = copy(found->pair ? names[found->pair - 1] : ld_columns_partner(text));
  if (classifies && !dataset->options.unlabelled)
    dataset->keys.label = ld_strdup(found->label ? names[found->label - 1] : "label");
  return 0;
}

static int find_labelled(ld_dataset *dataset, const ld_value *record, ld_error *err) {
  char **names = ld_alloc(record->n_items, sizeof *names);
  size_t n = 0;
  for (size_t i = 0; i < record->n_items; i++)
    if (record->items[i].type != LD_NULL) names[n++] = record->items[i].key;
  ld_columns found;
  const int rc = ld_form_find_keys(dataset, names, n, "keys", &found, err);
  free(names);
  return rc;
}

int ld_form_find_layout(ld_dataset *dataset, ld_error *err) {
  const ld_dataset_options *options = &dataset->options;
  dataset->layout = ld_chat_find(options->chat_template, options->own_template, options->tokenizer, err);
  return dataset->layout ? 0 : ld_fail_prefix(err, LD_EUSAGE, "%s", dataset->source->path);
}

int ld_form_find(ld_dataset *dataset, const ld_value *record, ld_error *err) {
  if (dataset->options.use == LD_USE_CLASSES) return find_labelled(dataset, record, err);
  const record_form *form = form_of(record);
  if (!form) return fail_unknown(record, err);
  dataset->form = form->form;
  dataset->keys.text = ld_strdup("text");
  return 0;
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

int ld_form_check(const ld_dataset *dataset, const ld_value *record, ld_tally *unused, ld_error *err) {
  const ld_data_keys *keys = &dataset->keys;
  const record_form labelled = {LD_DATA_LABELLED, {keys->text}}, *first = forms;
  const char *const used[] = {keys->text, keys->pair, keys->label};
  if (dataset->form == LD_DATA_LABELLED) {
    if (!ld_value_get(record, keys->text)) return fail_other(record, &labelled, err);
    count_unused(record, used, 3, unused);
    return 0;
  }
  while (first->form != dataset->form) first++;
  if (form_of(record) != first) return fail_other(record, first, err);
  count_unused(record, first->keys, 3, unused);
  return 0;
}
