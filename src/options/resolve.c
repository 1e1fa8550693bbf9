#include "options/resolve.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/names.h"
#include "io/json.h"
#include "io/yaml.h"
#include "objective/objectives.h"
#include "options/value.h"

/* The paths of an option that may be given several times. */
static char *join_paths(const ld_command_line *line, const ld_option *o) {
  ld_text paths = {0};
  for (size_t i = 0; i < line->n; i++)
    if (line->given[i].option == o)
      ld_text_printf(&paths, "%s%s", paths.length ? "\n" : "", line->given[i].text);
  return paths.bytes;
}

static int apply_given(ld_options *options, const ld_command_line *line, ld_error *err) {
  int rc = 0;
  for (size_t i = 0; i < line->n && !rc; i++) {
    const ld_option *o = line->given[i].option;
    char *paths = o->kind == LD_OPTION_PATHS ? join_paths(line, o) : NULL;
    options->given[o - ld_option_table] = true;
    rc = ld_option_set(options, o, paths ? paths : line->given[i].text, err);
    free(paths);
  }
  return rc;
}

static bool is_config(const ld_option *o) {
  return o->field == offsetof(ld_options, config);
}

bool ld_options_are_record(const ld_value *root) {
  return ld_value_get(root, "version") && ld_value_get(root, "base-digest");
}

/* Keys of a record that are not options of this command are for readers only. */
static bool is_for_people(const char *key) {
  static const char *const keys[] = {"version", "base-digest", "data-digest", "host",
                                     "ranks",   "kernels",     "trained"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (!strcmp(keys[i], key)) return true;
  return ld_find_option(~0, key) != NULL;
}

static int put_scalar(const ld_value *value, ld_text *out) {
  if (value->type == LD_BOOLEAN)
    ld_text_puts(out, value->boolean ? "yes" : "no");
  else if (value->type == LD_INTEGER)
    ld_text_printf(out, "%lld", (long long)value->integer);
  else if (value->type == LD_REAL)
    ld_text_printf(out, "%.17g", value->real);
  else if (value->type == LD_STRING)
    ld_text_puts(out, value->string);
  else
    return LD_EUSAGE;
  return 0;
}

/* A value as on the command line; a list of names with commas. */
static int put_entry(const ld_option *o, const ld_value *entry, ld_text *out, ld_error *err) {
  if (entry->type != LD_LIST) {
    if (!put_scalar(entry, out)) return 0;
    return ld_fail(err, LD_EUSAGE, "'%s' must be a single value", entry->key);
  }
  if (!ld_option_is_list(o))
    return ld_fail(err, LD_EUSAGE, "'%s' must be a single value, not a list", entry->key);
  if (!entry->n_items)
    return ld_fail(err, LD_EUSAGE, "'%s' is an empty list: leave the key out%s", entry->key,
                   o->marks & LD_MARK_OF_ADAPTER ? ", or write none" : "");
  int rc = 0;
  for (size_t i = 0; i < entry->n_items && !rc; i++) {
    if (i) ld_text_puts(out, o->kind == LD_OPTION_PATHS ? "\n" : ",");
    rc = put_scalar(&entry->items[i], out);
  }
  return rc ? ld_fail(err, rc, "'%s' must be a list of names", entry->key) : 0;
}

/* A file of options as it is read. */
typedef struct config {
  int command;
  const char *path;
  bool record; /* a run's own: its settings count as not given */
} config;

static int apply_entry(const config *c, const ld_value *entry, ld_options *options, ld_error *err) {
  const ld_option *o = ld_find_option(c->command, entry->key);
  if (!o && c->record && is_for_people(entry->key)) return 0;
  if (!o) return ld_unknown_option((enum ld_command_bit)c->command, entry->key, "", err);
  if (entry->type == LD_NULL) return 0;
  if (c->record && (o->marks & LD_MARK_ONCE)) return 0; /* older records still have them */
  if (is_config(o))
    return ld_fail(err, LD_EUSAGE,
                   "'config' names another file, which is not read: give each with a --config "
                   "of its own");
  ld_text text = {0};
  ld_text_puts(&text, "");
  int rc = put_entry(o, entry, &text, err);
  if (!rc) rc = ld_option_set(options, o, text.bytes, err);
  options->given[o - ld_option_table] = !c->record;
  ld_text_free(&text);
  return rc;
}

static int apply_config(int command, const char *path, const ld_text *text, ld_options *options,
                        ld_error *err) {
  ld_value *root = ld_yaml_parse(text->bytes, text->length, path, err);
  if (!root) return err->code;
  const config c = {command, path, ld_options_are_record(root)};
  int rc = 0;
  if (root->type != LD_MAP && root->type != LD_NULL)
    rc = ld_fail(err, LD_EUSAGE, "%s: must hold 'option: value' lines", path);
  for (size_t i = 0; !rc && i < root->n_items; i++) {
    rc = apply_entry(&c, &root->items[i], options, err);
    if (rc) rc = ld_fail_prefix(err, rc, "%s: line %d", path, root->items[i].line);
  }
  if (c.record) options->lora_given = NULL; /* an adapter that the run began from decided those already */
  ld_value_free(root);
  return rc;
}

/* Of options that are not the command's too, but where two have a name in common its own counts. */
static int apply_defaults(int command, ld_options *options, ld_error *err) {
  for (int own = 0; own < 2; own++)
    for (int i = 0; i < ld_n_options; i++) {
      const ld_option *o = &ld_option_table[i];
      if (!o->fallback || own != ((o->commands & command) != 0)) continue;
      const int rc = ld_option_set(options, o, o->fallback, err);
      if (rc) return rc;
    }
  options->lora_given = NULL;
  return 0;
}

static bool is_default(const ld_options *options, const ld_option *o) {
  ld_options defaults = {0};
  ld_text now = {0}, then = {0};
  if (o->fallback) ld_option_set(&defaults, o, o->fallback, NULL);
  ld_option_put(options, o, &now);
  ld_option_put(&defaults, o, &then);
  const bool same = !strcmp(now.bytes, then.bytes);
  ld_options_free(&defaults);
  ld_text_free(&now);
  ld_text_free(&then);
  return same;
}

/* A dry run writes nothing, so it needs no --out. */
static int check_required(int command, const ld_options *options, ld_error *err) {
  for (int i = 0; i < ld_n_options; i++)
    if ((ld_option_table[i].required & command) && !*ld_option_string(options, &ld_option_table[i]) &&
        !(options->dry_run && ld_option_table[i].field == offsetof(ld_options, out)))
      return ld_fail(err, LD_EUSAGE, "--%s %s is missing", ld_option_table[i].name,
                     ld_option_table[i].argument);
  return 0;
}

/* Each name must be an option that a run depends on and that can change between its steps. */
static int check_override(const char *list, ld_error *err) {
  for (ld_name at = {0}; ld_name_next(list, &at);) {
    char *name = ld_format("%.*s", (int)at.length, at.at);
    const ld_option *o = ld_find_option(LD_CMD_TRAIN, name);
    const bool file = !strcmp(name, "data") || !strcmp(name, "base") || !strcmp(name, "init-adapter") ||
                      !strcmp(name, "kernels") || !strcmp(name, "threads");
    int rc = 0;
    if (!file && (!o || !(o->marks & LD_MARK_DEFINES)))
      rc = ld_fail(
          err, LD_EUSAGE,
          "--resume-override: '%s' is not compared with the checkpoint; names are those of options (lr, "
          "steps, batch-size, init-adapter), data, base and kernels",
          name);
    else if (o && (o->marks & LD_MARK_OF_ADAPTER))
      rc = ld_fail(
          err, LD_EUSAGE,
          "--resume-override: %s decides the adapter's shape and cannot change within a run: start a new "
          "run in another --out",
          name);
    free(name);
    if (rc) return rc;
  }
  return 0;
}

/* The option that another needs in this command. */
static const ld_option *find_needed(int command, const char *needs) {
  for (const char *at = needs; *at; at += strspn(at, "|")) {
    const size_t length = strcspn(at, "|");
    char *name = ld_strndup(at, length);
    const ld_option *found = ld_find_option(command, name);
    free(name);
    if (found) return found;
    at += length;
  }
  return NULL;
}

/* An option that has no effect without another must not be mistaken for one that works. */
static int check_needs(int command, const ld_options *options, ld_error *err) {
  for (int i = 0; i < ld_n_options; i++) {
    const ld_option *o = &ld_option_table[i], *other;
    if (!options->given[i] || !(o->needs_of & command) || is_default(options, o)) continue;
    other = find_needed(command, o->needs);
    if (is_default(options, other))
      return ld_fail(err, LD_EUSAGE, "--%s has no effect without --%s: give both or neither", o->name,
                     other->name);
  }
  return 0;
}

/* Options of an adapter's matrices have no effect where there are none. */
static int check_lora(const ld_options *options, ld_error *err) {
  if (!options->target || strcmp(options->target, "none") != 0) return 0;
  for (int i = 0; i < ld_n_options; i++) {
    const ld_option *o = &ld_option_table[i];
    if (options->given[i] && (o->marks & LD_MARK_OF_MATRICES) && !is_default(options, o))
      return ld_fail(err, LD_EUSAGE, "--%s has no effect with --target none, which trains no LoRA matrices",
                     o->name);
  }
  return 0;
}

static int check_together(int command, const ld_options *options, ld_error *err) {
  int rc = check_required(command, options, err);
  if (!rc && options->init_adapter && options->lora_given)
    rc = ld_fail(err, LD_EUSAGE, "--%s is decided by the adapter that --init-adapter names: leave it out",
                 options->lora_given);
  if (!rc) rc = check_needs(command, options, err);
  if (!rc) rc = check_lora(options, err);
  return rc ? rc : check_override(options->resume_override, err);
}

int ld_options_resolve(const ld_command_line *line, const ld_text *configs, ld_options *options,
                       ld_error *err) {
  *options = (ld_options){0};
  const int command = (int)line->command;
  options->given = ld_alloc((size_t)ld_n_options, sizeof *options->given);
  int rc = apply_defaults(command, options, err);
  for (size_t i = 0; !rc && i < line->n; i++)
    if (is_config(line->given[i].option))
      rc = apply_config(command, line->given[i].text, configs++, options, err);
  if (!rc) rc = apply_given(options, line, err);
  return rc ? rc : check_together(command, options, err);
}

bool ld_options_follow_runs(enum ld_command_bit command) {
  for (int i = 0; i < ld_n_options; i++)
    if ((ld_option_table[i].commands & (int)command) && (ld_option_table[i].marks & LD_MARK_ROWS))
      return true;
  return false;
}

int ld_options_follow(enum ld_command_bit command, const char *path, const ld_text *record,
                      ld_options *options, ld_error *err) {
  const config c = {(int)command, path, true};
  ld_value *root = ld_yaml_parse(record->bytes, record->length, path, err);
  if (!root) return err->code;
  const size_t n = ld_options_are_record(root) ? root->n_items : 0;
  ld_text taken = {0};
  int rc = 0;
  for (size_t i = 0; i < n && !rc; i++) {
    const ld_option *o = ld_find_option((int)command, root->items[i].key);
    if (!o || !(o->marks & LD_MARK_ROWS) || options->given[o - ld_option_table]) continue;
    rc = apply_entry(&c, &root->items[i], options, err);
    if (rc) rc = ld_fail_prefix(err, rc, "%s: line %d", path, root->items[i].line);
    if (rc || is_default(options, o)) continue;
    ld_text_printf(&taken, "%s--%s ", taken.length ? ", " : "", o->name);
    ld_option_put(options, o, &taken);
  }
  if (!rc && taken.length) ld_info("options from %s: %s", path, taken.bytes);
  ld_text_free(&taken);
  ld_value_free(root);
  return rc;
}

static void free_string(ld_options *options, const ld_option *o) {
  char **field = ld_option_string(options, o);
  if (!field) return;
  free(*field);
  *field = NULL; /* several entries of the table may share it */
}

void ld_options_free(ld_options *options) {
  for (int i = 0; i < ld_n_options; i++) free_string(options, &ld_option_table[i]);
  free(options->given);
  *options = (ld_options){0};
}

bool ld_options_given(const ld_options *options, size_t field) {
  for (int i = 0; options->given && i < ld_n_options; i++)
    if (options->given[i] && ld_option_table[i].name && ld_option_table[i].field == field) return true;
  return false;
}

void ld_options_json(enum ld_command_bit command, const ld_options *options, bool defining, ld_text *out) {
  const char *comma = "";
  ld_text_puts(out, "{");
  for (int i = 0; i < ld_n_options; i++) {
    if (!ld_option_table[i].name || !(ld_option_table[i].commands & (int)command) ||
        (defining && !(ld_option_table[i].marks & LD_MARK_DEFINES)))
      continue;
    ld_text_printf(out, "%s\"%s\": ", comma, ld_option_table[i].name);
    ld_option_put(options, &ld_option_table[i], out);
    comma = ", ";
  }
  ld_text_puts(out, "}");
}

static bool has_name(const char *list, const char *word) {
  for (ld_name name = {0}; ld_name_next(list, &name);)
    if (ld_name_is(&name, word)) return true;
  return false;
}

static bool has_meaning(const ld_option *o, const ld_objective *objective, const ld_model *model) {
  return !o->meant || has_name(o->meant, objective->name) || has_name(o->meant, model->family->input);
}

void ld_options_yaml(enum ld_command_bit command, const ld_options *options, const ld_objective *objective,
                     const ld_model *model, const ld_data_form *form, ld_text *out) {
  for (int i = 0; i < ld_n_options; i++) {
    const ld_option *o = &ld_option_table[i];
    if (!o->name || !(o->commands & (int)command) || (o->marks & LD_MARK_ONCE) ||
        !has_meaning(o, objective, model))
      continue;
    if (o->forms && !has_name(o->forms, form->name) && is_default(options, o)) continue;
    ld_text_printf(out, "%s: ", o->name);
    ld_option_put(options, o, out); /* JSON scalars are YAML scalars */
    ld_text_puts(out, "\n");
  }
}

/* The default is cut to the model's positions; a value that the user gave is an error. */
static int check_positions(const ld_options *options, const char *name, int64_t length, int positions,
                           ld_error *err) {
  const ld_option *o = ld_find_option(~0, name);
  if (!positions || !options->given[o - ld_option_table] || length <= positions) return 0;
  return ld_fail(err, LD_EUSAGE, "--%s %lld: %s has only %d positions: give at most %d", name,
                 (long long)length, options->model, positions, positions);
}

int ld_options_suit(enum ld_command_bit command, const ld_options *options, const ld_objective *objective,
                    const ld_model *model, ld_error *err) {
  for (int i = 0; i < ld_n_options; i++) {
    const ld_option *o = &ld_option_table[i];
    if (!(o->commands & (int)command) || has_meaning(o, objective, model) || is_default(options, o)) continue;
    char *what = ld_objective_what(objective, model);
    ld_fail(err, LD_EUSAGE, "--%s does not apply to %s, which %s is: leave it out", o->name, what,
            options->model);
    free(what);
    return LD_EUSAGE;
  }
  const int most = model->max_positions,
            rc = check_positions(options, "seq-len", options->seq_len, most, err);
  return rc ? rc : check_positions(options, "target-len", options->target_len, most, err);
}

int ld_options_suit_data(const ld_options *options, const ld_data_form *form, const ld_data_form *other,
                         ld_error *err) {
  for (int i = 0; i < ld_n_options; i++) {
    const ld_option *o = &ld_option_table[i];
    if (!options->given[i] || !o->forms || has_name(o->forms, form->name) ||
        (other && has_name(o->forms, other->name)) || is_default(options, o))
      continue;
    return ld_fail(err, LD_EUSAGE, "--%s does not apply to %s, which %s: leave it out", o->name,
                   options->data, o->lacks);
  }
  return 0;
}

static void put_recorded(const ld_value *value, ld_text *out) {
  if (!value)
    ld_text_puts(out, "null");
  else if (value->type == LD_STRING)
    ld_json_quote(out, value->string);
  else if (value->type == LD_BOOLEAN)
    ld_text_puts(out, value->boolean ? "true" : "false");
  else if (value->type == LD_INTEGER)
    ld_text_printf(out, "%lld", (long long)value->integer);
  else if (value->type == LD_REAL)
    ld_json_number(out, value->real);
}

static void compare(const ld_options *options, const ld_option *o, const ld_value *entry,
                    void (*differs)(const ld_difference *difference, void *user), void *user) {
  ld_text now = {0}, was = {0};
  if (!entry && is_default(options, o)) return; /* older records lack options that were added later */
  ld_option_put(options, o, &now);
  if (entry && o->kind == LD_OPTION_REAL)
    ld_json_number(&was, entry->real);
  else
    put_recorded(entry, &was);
  const char *text = was.length ? was.bytes : "something else";
  if (strcmp(now.bytes, text))
    differs(
        &(ld_difference){o->name, o->marks & LD_MARK_OF_ADAPTER, o->marks & LD_MARK_ROWS, text, now.bytes},
        user);
  ld_text_free(&now);
  ld_text_free(&was);
}

void ld_options_compare(const ld_options *options, const ld_value *recorded,
                        void (*differs)(const ld_difference *difference, void *user), void *user) {
  for (int i = 0; i < ld_n_options; i++) {
    const ld_option *o = &ld_option_table[i];
    if ((o->marks & LD_MARK_DEFINES) && (o->commands & LD_CMD_TRAIN))
      compare(options, o, ld_value_get(recorded, o->name), differs, user);
  }
}

bool ld_options_named(const char *list, const char *option) {
  const size_t n = strlen(option);
  for (ld_name name = {0}; ld_name_next(list, &name);) {
    size_t same = 0;
    while (same < n && (name.at[same] == option[same] || (name.at[same] == '_' && option[same] == '-')))
      same++;
    if (name.length == n && same == n) return true;
  }
  return false;
}
