/* What the records of a data set are, by the names of their values: the keys of the first JSON line, or a
 * table's columns.
 *
 * The data set has the first of the accepted forms (data_form.h) whose keys the record has. Labelled records
 * may use other names (column.c). */
#include "io/dataset/form.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/dataset/data_form.h"

/* How many keys records of the form must have: those that are only asked about need no answers. */
static size_t count_keys(const ld_data_form *form, bool asks) {
  size_t n = 0;
  while (form->keys[n]) n++;
  return n - (asks ? (size_t)form->n_answers : 0);
}

static bool has_keys(const ld_value *record, const ld_data_form *form, bool asks) {
  const size_t n = count_keys(form, asks);
  size_t has = 0;
  while (has < n && ld_value_get(record, form->keys[has])) has++;
  if (has < n || !n) return false;
  return !form->list || ld_value_get(record, form->list)->type == LD_LIST;
}

/* The first form whose keys the record has; NULL when there is none. */
static const ld_data_form *form_of(const ld_dataset_options *options, const ld_value *record) {
  const ld_data_form *const *forms = options->forms;
  while (*forms && !has_keys(record, *forms, options->unlabelled)) forms++;
  return *forms;
}

/* A form whose texts are found by column names; NULL for none. */
static const ld_data_form *form_by_columns(const ld_data_form *const *forms) {
  while (*forms && !(*forms)->columns) forms++;
  return *forms;
}

/* The one of them that knows most of the names, the first of several; of a model whose head is settled the first that
 * knows the text. */
static const ld_data_form *form_of_names(const ld_dataset_options *options, char *const *names, size_t n) {
  const ld_data_form *const *forms = options->forms;
  const ld_data_form *best = form_by_columns(forms);
  for (int most = 0; *forms; forms++) {
    ld_columns found;
    if (!(*forms)->columns || ld_columns_find((*forms)->columns, names, n, "", &found, NULL)) continue;
    const int known = options->settled ? 1 : 1 + (found.pair > 0) + (found.label > 0);
    if (known > most) best = *forms, most = known;
  }
  return best;
}

static void list_wanted(const char *const *keys, const char *list, ld_text *out) {
  for (size_t i = 0; keys[i]; i++)
    ld_text_printf(out, "%s\"%s\"%s", i ? " and " : "", keys[i],
                   list && !strcmp(keys[i], list) ? " (a list)" : "");
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

static int fail_unknown(const ld_data_form *const *forms, const ld_value *record, ld_error *err) {
  ld_text wanted = {0};
  for (; *forms; forms++) {
    if (!(*forms)->keys[0]) continue;
    ld_text_puts(&wanted, wanted.length ? ", or " : "");
    list_wanted((*forms)->keys, (*forms)->list, &wanted);
  }
  fail_form(record, &wanted, "", err);
  ld_text_free(&wanted);
  return LD_EFORMAT;
}

/* Fails for a record that differs from the first, whose keys are given. */
static int fail_other(const ld_value *record, const char *const *keys, const char *list, ld_error *err) {
  ld_text wanted = {0};
  list_wanted(keys, list, &wanted);
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
  dataset->form = form_of_names(&dataset->options, names, n);
  const ld_column_names *known = dataset->form->columns;
  const int rc = ld_columns_find(known, names, n, what, found, err);
  if (rc) return rc;
  const bool pairs = dataset->form->pairs, labels = pairs && known->labels && !dataset->options.unlabelled;
  const char *text = names[found->text - 1];
  if (!pairs) found->pair = 0;
  if (!labels) found->label = 0;
  ld_data_keys_free(&dataset->keys);
  dataset->keys.text = ld_strdup(text);
  if (pairs)
    dataset->keys.pair = copy(found->pair ? names[found->pair - 1] : ld_columns_partner(known, text));
  if (labels) dataset->keys.label = ld_strdup(found->label ? names[found->label - 1] : "label");
  return 0;
}

static int find_by_columns(ld_dataset *dataset, const ld_value *record, ld_error *err) {
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
  const ld_data_form *form = form_of(&dataset->options, record),
                     *other = form_by_columns(dataset->options.forms);
  if (!form && other && !other->keys[0]) return find_by_columns(dataset, record, err);
  if (!form) return fail_unknown(dataset->options.forms, record, err);
  dataset->form = form;
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
  const char *const *own = dataset->form->keys, *const text[] = {keys->text, NULL};
  const char *const by_columns[] = {keys->text, keys->pair, keys->label};
  const bool same =
      own[0] ? form_of(&dataset->options, record) == dataset->form : ld_value_get(record, *text) != NULL;
  if (!same) return fail_other(record, own[0] ? own : text, dataset->form->list, err);
  const char *used[8];
  size_t n = 0;
  for (int i = 0; i < 3 && !own[0]; i++)
    if (by_columns[i]) used[n++] = by_columns[i];
  for (int i = 0; i < 4 && own[i]; i++) used[n++] = own[i];
  for (int i = 0; i < 4 && dataset->form->more[i]; i++) used[n++] = dataset->form->more[i];
  count_unused(record, used, n, unused);
  return 0;
}
