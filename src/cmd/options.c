#include "cmd/options.h"

#include <argp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cmd/option_table.h"
#include "io/json.h"
#include "io/yaml.h"

/* Keys of argp: FIRST_KEY + an option's place in the table, with NEGATED for its --no- form; argp's own begin
 * at ARGP_KEYS. */
enum { FIRST_KEY = 256, NEGATED = 1 << 16, ARGP_KEYS = 1 << 24 };

/* Options given on the command line, applied after the configuration file. */
typedef struct given {
  int key;
  const char *text;
} given;

struct ld_command_line {
  enum ld_command_bit command;
  given *given;
  size_t n, room;
  char **positional;
};

static error_t parse_one(int key, char *text, struct argp_state *state) {
  ld_command_line *p = state->input;
  if (key == 'h' && !(state->flags & ARGP_NO_HELP)) argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
  if (key == ARGP_KEY_ARG) {
    if (!p->positional || *p->positional) return ARGP_ERR_UNKNOWN;
    *p->positional = text;
    return 0;
  }
  if (key < FIRST_KEY || key >= ARGP_KEYS) return ARGP_ERR_UNKNOWN;
  p->given = ld_grow(p->given, p->n, &p->room, sizeof *p->given);
  p->given[p->n++] = (given){key - FIRST_KEY, text};
  return 0;
}

/* The help text of an option with its default, in fresh memory. A plain flag's default goes without saying.
 */
static char *help_text(const ld_option *o) {
  const bool plain = o->kind == FLAG && !(o->marks & ON_OFF);
  return o->fallback && !plain ? ld_format("%s [%s]", o->help, o->fallback) : ld_strdup(o->help);
}

/* argp's table from ours; `texts` keeps what must be freed. */
static struct argp_option *argp_table(int command, char **texts) {
  struct argp_option *out = ld_alloc(2 * (size_t)ld_n_options + 2, sizeof *out);
  size_t n = 0, n_texts = 0;
  out[n++] = (struct argp_option){.key = 'h', .flags = OPTION_HIDDEN}; /* beside argp's own --help */
  int group = 0;
  for (int i = 0; i < ld_n_options; i++) {
    const ld_option *o = &ld_option_table[i];
    if (!(o->commands & command)) continue;
    if (!o->name) out[n++] = (struct argp_option){.doc = o->help, .group = ++group};
    if (!o->name) continue;
    const bool bare = o->kind == FLAG || (o->marks & ON_OFF);
    texts[n_texts] = help_text(o);
    out[n++] =
        (struct argp_option){o->name, FIRST_KEY + i, bare ? NULL : o->argument, 0, texts[n_texts++], group};
    if (!(o->marks & ON_OFF)) continue;
    texts[n_texts] = ld_format("no-%s", o->name);
    out[n++] =
        (struct argp_option){texts[n_texts++], FIRST_KEY + (i | NEGATED), NULL, 0, "the opposite", group};
  }
  return out;
}

static int apply_given(ld_options *options, const ld_command_line *p, ld_error *err) {
  for (size_t i = 0; i < p->n; i++) {
    const ld_option *o = &ld_option_table[p->given[i].key & ~NEGATED];
    const char *text = p->given[i].text;
    if (!text) text = p->given[i].key & NEGATED ? "no" : "yes";
    const int rc = ld_option_set(options, o, text, err);
    if (rc) return rc;
  }
  return 0;
}

static const ld_option *find_key(int command, const char *key) {
  for (int i = 0; i < ld_n_options; i++) {
    const char *a = ld_option_table[i].name ? ld_option_table[i].name : "", *b = key;
    while (*a && (*a == *b || (*a == '-' && *b == '_'))) a++, b++;
    if (!*a && !*b && ld_option_table[i].name && (ld_option_table[i].commands & command))
      return &ld_option_table[i];
  }
  return NULL;
}

/* A run's own record, run.yaml, says besides what it was made by. */
static bool is_record(const ld_value *root) {
  return ld_value_get(root, "version") && ld_value_get(root, "base-digest");
}

/* What a record holds that is no option, or none of this command, is for people. */
static bool is_for_people(const char *key) {
  static const char *const keys[] = {"version", "base-digest", "data-digest", "host", "ranks", "kernels"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (!strcmp(keys[i], key)) return true;
  return find_key(~0, key) != NULL;
}

static int apply_entry(int command, const char *path, const ld_value *entry, bool record, ld_options *options,
                       ld_error *err) {
  const ld_option *o = find_key(command, entry->key);
  if (!o && record && is_for_people(entry->key)) return 0;
  if (!o) return ld_fail(err, LD_EUSAGE, "%s: '%s' is no option of this command", path, entry->key);
  char *text;
  switch (entry->type) {
  case LD_NULL:
    return 0;
  case LD_BOOLEAN:
    text = ld_strdup(entry->boolean ? "yes" : "no");
    break;
  case LD_INTEGER:
    text = ld_format("%lld", (long long)entry->integer);
    break;
  case LD_REAL:
    text = ld_format("%.17g", entry->real);
    break;
  case LD_STRING:
    text = ld_strdup(entry->string);
    break;
  default:
    return ld_fail(err, LD_EUSAGE, "%s: '%s' must be a single value", path, entry->key);
  }
  int rc = ld_option_set(options, o, text, err);
  if (rc) rc = ld_fail_prefix(err, rc, "%s", path);
  free(text);
  return rc;
}

static int apply_config(int command, const char *path, const ld_text *text, ld_options *options,
                        ld_error *err) {
  ld_value *root = ld_yaml_parse(text->bytes, text->length, path, err);
  if (!root) return err->code;
  int rc = 0;
  if (root->type != LD_MAP) rc = ld_fail(err, LD_EUSAGE, "%s: must hold 'option: value' lines", path);
  for (size_t i = 0; !rc && i < root->n_items; i++)
    rc = apply_entry(command, path, &root->items[i], is_record(root), options, err);
  if (is_record(root)) options->lora_given = NULL; /* an adapter it began from decided those then as well */
  ld_value_free(root);
  return rc;
}

static int apply_defaults(ld_options *options, ld_error *err) {
  for (int i = 0; i < ld_n_options; i++) {
    const int rc = ld_option_table[i].fallback
                       ? ld_option_set(options, &ld_option_table[i], ld_option_table[i].fallback, err)
                       : 0;
    if (rc) return rc;
  }
  options->lora_given = NULL;
  return 0;
}

static int check_required(int command, const ld_options *options, ld_error *err) {
  for (int i = 0; i < ld_n_options; i++)
    if ((ld_option_table[i].required & command) && !*ld_option_string(options, &ld_option_table[i]))
      return ld_fail(err, LD_EUSAGE, "--%s %s is missing", ld_option_table[i].name,
                     ld_option_table[i].argument);
  return 0;
}

/* Each name is that of an option on which a run depends and that can change in its middle. */
static int check_override(const char *list, ld_error *err) {
  for (const char *at = list; at && *at; at += *at == ',') {
    const int length = (int)strcspn(at, ",");
    char *name = ld_format("%.*s", length, at);
    const ld_option *o = find_key(LD_CMD_TRAIN, name);
    const bool file = !strcmp(name, "data") || !strcmp(name, "base") || !strcmp(name, "kernels");
    int rc = 0;
    if (!file && (!o || !(o->marks & DEFINES)))
      rc = ld_fail(
          err, LD_EUSAGE,
          "--resume-override: '%s' is no option that a checkpoint is compared by: give names as lr, steps, "
          "batch-size, data, base or kernels",
          name);
    else if (o && (o->marks & OF_ADAPTER))
      rc = ld_fail(
          err, LD_EUSAGE,
          "--resume-override: %s is of the adapter's form and cannot change in the middle of a run: begin "
          "another in another --out",
          name);
    free(name);
    if (rc) return rc;
    at += length;
  }
  return 0;
}

static bool is_config(const given *g) {
  return ld_option_table[g->key & ~NEGATED].field == offsetof(ld_options, config);
}

const char *ld_command_line_config(const ld_command_line *line, size_t i) {
  for (size_t k = 0; k < line->n; k++)
    if (is_config(&line->given[k]) && !i--) return line->given[k].text;
  return NULL;
}

int ld_options_resolve(const ld_command_line *line, const ld_text *configs, ld_options *options,
                       ld_error *err) {
  *options = (ld_options){0};
  const int command = (int)line->command;
  int rc = apply_defaults(options, err);
  for (size_t i = 0; !rc && i < line->n; i++)
    if (is_config(&line->given[i])) rc = apply_config(command, line->given[i].text, configs++, options, err);
  if (!rc) rc = apply_given(options, line, err);
  if (!rc) rc = check_required(command, options, err);
  if (!rc && options->init_adapter && options->lora_given)
    rc = ld_fail(err, LD_EUSAGE, "--%s: is decided by the adapter that --init-adapter names; leave it out",
                 options->lora_given);
  return rc ? rc : check_override(options->resume_override, err);
}

ld_command_line *ld_command_line_parse(enum ld_command_bit command, const char *name, const char *about,
                                       int argc, char **argv, bool speak, char **positional) {
  char **texts = ld_alloc(2 * (size_t)ld_n_options, sizeof *texts);
  struct argp_option *rows = argp_table((int)command, texts);
  const struct argp argp = {rows, parse_one, positional ? "PATH" : NULL, about, NULL, NULL, NULL};
  ld_command_line *line = ld_alloc(1, sizeof *line);
  *line = (ld_command_line){.command = command, .positional = positional};
  argp_err_exit_status = 2;
  argv[0] = (char *)name;
  const error_t failed = argp_parse(&argp, argc, argv, speak ? 0 : ARGP_SILENT, NULL, line);
  free(rows);
  for (int i = 0; i < 2 * ld_n_options; i++) free(texts[i]);
  free(texts);
  if (!failed) return line;
  ld_command_line_free(line);
  return NULL;
}

void ld_command_line_free(ld_command_line *line) {
  if (line) free(line->given);
  free(line);
}

static void free_string(ld_options *options, const ld_option *o) {
  char **field = ld_option_string(options, o);
  if (field) free(*field);
}

void ld_options_free(ld_options *options) {
  for (int i = 0; i < ld_n_options; i++) free_string(options, &ld_option_table[i]);
  *options = (ld_options){0};
}

void ld_options_json(enum ld_command_bit command, const ld_options *options, bool defining, ld_text *out) {
  const char *comma = "";
  ld_text_puts(out, "{");
  for (int i = 0; i < ld_n_options; i++) {
    if (!ld_option_table[i].name || !(ld_option_table[i].commands & (int)command) ||
        (defining && !(ld_option_table[i].marks & DEFINES)))
      continue;
    ld_text_printf(out, "%s\"%s\": ", comma, ld_option_table[i].name);
    ld_option_put(options, &ld_option_table[i], out);
    comma = ", ";
  }
  ld_text_puts(out, "}");
}

void ld_options_yaml(enum ld_command_bit command, const ld_options *options, ld_text *out) {
  for (int i = 0; i < ld_n_options; i++) {
    if (!ld_option_table[i].name || !(ld_option_table[i].commands & (int)command) ||
        (ld_option_table[i].marks & ONCE))
      continue;
    ld_text_printf(out, "%s: ", ld_option_table[i].name);
    ld_option_put(options, &ld_option_table[i], out); /* JSON scalars are YAML scalars */
    ld_text_puts(out, "\n");
  }
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

int ld_options_suit(enum ld_command_bit command, const ld_options *options, ld_data_use use, ld_error *err) {
  static const struct {
    int mark;
    const char *name;
  } uses[] = {[LD_USE_LANGUAGE] = {LANGUAGE, "a language model"},
              [LD_USE_CLASSES] = {CLASSES, "a classifier of texts"},
              [LD_USE_IMAGES] = {IMAGES, "a classifier of images"}};
  for (int i = 0; i < ld_n_options; i++) {
    const ld_option *o = &ld_option_table[i];
    const int meant = o->marks & (LANGUAGE | CLASSES | IMAGES);
    if (!(o->commands & (int)command) || !meant || (meant & uses[use].mark) || is_default(options, o))
      continue;
    return ld_fail(err, LD_EUSAGE, "--%s: has no meaning for %s, which %s is: leave it out", o->name,
                   uses[use].name, options->model);
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
  ld_option_put(options, o, &now);
  if (entry && o->kind == REAL)
    ld_json_number(&was, entry->real);
  else
    put_recorded(entry, &was);
  const char *text = was.length ? was.bytes : "something else";
  if (strcmp(now.bytes, text))
    differs(&(ld_difference){o->name, o->marks & OF_ADAPTER, o->marks & ROWS, text, now.bytes}, user);
  ld_text_free(&now);
  ld_text_free(&was);
}

void ld_options_compare(const ld_options *options, const ld_value *recorded,
                        void (*differs)(const ld_difference *difference, void *user), void *user) {
  for (int i = 0; i < ld_n_options; i++) {
    const ld_option *o = &ld_option_table[i];
    if ((o->marks & DEFINES) && (o->commands & LD_CMD_TRAIN))
      compare(options, o, ld_value_get(recorded, o->name), differs, user);
  }
}

bool ld_options_named(const char *list, const char *name) {
  const size_t n = strlen(name);
  for (const char *at = list; at && *at; at += *at == ',') {
    const size_t length = strcspn(at, ",");
    size_t same = 0;
    while (same < n && (at[same] == name[same] || (at[same] == '_' && name[same] == '-'))) same++;
    if (length == n && same == n) return true;
    at += length;
  }
  return false;
}
