#include "options/command_line.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/suggest.h"
#include "mpi/comm.h"
#include "options/value.h"

static bool same_letter(char a, char b) {
  return a == b || (a == '-' && b == '_');
}

/* Whether the option's name begins with the first `length` bytes of `name`. */
static bool begins_so(const char *option, const char *name, size_t length) {
  size_t i = 0;
  while (i < length && option[i] && same_letter(option[i], name[i])) i++;
  return i == length;
}

static bool is_named(const ld_option *o, const char *name, size_t length) {
  return o->name && strlen(o->name) == length && begins_so(o->name, name, length);
}

static bool is_of(const ld_option *o, int commands) {
  return o->name && (o->commands & commands);
}

const ld_option *ld_find_option(int commands, const char *name) {
  for (int i = 0; i < ld_n_options; i++)
    if (is_of(&ld_option_table[i], commands) && is_named(&ld_option_table[i], name, strlen(name)))
      return &ld_option_table[i];
  return NULL;
}

/* The command's option that other programs call by this name; NULL for none. */
static const ld_option *find_elsewhere(int commands, const char *name, size_t length) {
  for (int i = 0; i < ld_n_options; i++) {
    const ld_option *o = &ld_option_table[i];
    if (!is_of(o, commands)) continue;
    for (const char *at = o->elsewhere; at; at = strchr(at, '|')) {
      if (*at == '|') at++;
      if (strcspn(at, "|") == length && begins_so(at, name, length)) return o;
    }
  }
  return NULL;
}

int ld_unknown_option(enum ld_command_bit command, const char *name, const char *dashes, ld_error *err) {
  const ld_option *meant = find_elsewhere((int)command, name, strlen(name));
  if (meant)
    return ld_fail(err, LD_EUSAGE, "unknown option '%s%s': here it is called '%s%s'", dashes, name, dashes,
                   meant->name);
  const char **names = ld_alloc((size_t)ld_n_options, sizeof *names);
  size_t n = 0;
  for (int i = 0; i < ld_n_options; i++)
    if (is_of(&ld_option_table[i], (int)command)) names[n++] = ld_option_table[i].name;
  const ld_hint hint = ld_suggest(name, names, n, dashes);
  free(names);
  if (!*hint.text && ld_find_option(~0, name))
    return ld_fail(err, LD_EUSAGE, "this command does not take '%s%s', other commands do", dashes, name);
  return ld_fail(err, LD_EUSAGE, "unknown option '%s%s'%s", dashes, name, hint.text);
}

/* The one option of the command that begins with `name`. A full name wins; a prefix is enough when only one
 * option has it. */
static int find_given(const ld_command_line *line, const char *name, size_t length, const ld_option **found,
                      ld_error *err) {
  *found = NULL;
  if (find_elsewhere((int)line->command, name, length)) return 0; /* "--r" is not a prefix of --rank here */
  for (int i = 0; i < ld_n_options; i++) {
    const ld_option *o = &ld_option_table[i];
    if (!is_of(o, (int)line->command) || !begins_so(o->name, name, length)) continue;
    if (is_named(o, name, length)) {
      *found = o;
      return 0;
    }
    if (*found)
      return ld_fail(err, LD_EUSAGE, "'--%.*s' could be --%s or --%s: write the whole name", (int)length,
                     name, (*found)->name, o->name);
    *found = o;
  }
  return 0;
}

/* Files of options accumulate. Of everything else the last one counts, as scripts that append to a command
 * expect. */
static void warn_of_repeated(const ld_command_line *line, const ld_option *o, const char *text) {
  for (size_t i = 0; i < line->n; i++)
    if (line->given[i].option == o && o->kind != LD_OPTION_PATHS &&
        o->field != offsetof(ld_options, config) && strcmp(line->given[i].text, text) != 0)
      ld_warn("--%s is given more than once: '%s' counts, not '%s'", o->name, text, line->given[i].text);
}

static void add(ld_command_line *line, const ld_option *o, const char *text) {
  warn_of_repeated(line, o, text);
  line->given = ld_grow(line->given, line->n, &line->room, sizeof *line->given);
  line->given[line->n++] = (ld_given){o, text};
}

static int unknown(const ld_command_line *line, const char *name, size_t length, ld_error *err) {
  char *word = ld_format("%.*s", (int)length, name);
  const int rc = ld_unknown_option(line->command, word, "--", err);
  free(word);
  return rc;
}

/* Whether an argument in the position of a value is really the next option. */
static bool is_option(const ld_command_line *line, const char *text) {
  return !strncmp(text, "--", 2) && ld_find_option((int)line->command, text + 2);
}

/* "--name value", "--name=value", "--flag" or "--no-flag". *at is the option's index in argv, and becomes its
 * value's. */
static int take_option(ld_command_line *line, int argc, char **argv, int *at, ld_error *err) {
  const char *name = argv[*at] + 2, *equals = strchr(name, '=');
  const size_t length = equals ? (size_t)(equals - name) : strlen(name);
  const ld_option *o;
  int rc = find_given(line, name, length, &o, err);
  if (rc) return rc;
  if (!o && !equals && !strncmp(name, "no-", 3)) {
    rc = find_given(line, name + 3, length - 3, &o, err);
    if (o && o->off) add(line, o, "no");
    if (rc || (o && o->off)) return rc;
    o = NULL;
  }
  if (!o) return unknown(line, name, length, err);
  const char *text = equals ? equals + 1 : o->kind == LD_OPTION_FLAG || o->off ? "yes" : NULL;
  if (!text && *at + 1 < argc && !is_option(line, argv[*at + 1])) text = argv[++*at];
  if (!text) return ld_fail(err, LD_EUSAGE, "--%s needs a value: --%s %s", o->name, o->name, o->argument);
  add(line, o, text);
  return 0;
}

static int take_bare(ld_command_line *line, const char *text, bool takes_path, ld_error *err) {
  if (text[0] == '-' && text[1]) return ld_fail(err, LD_EUSAGE, "unknown option '%s'", text);
  if (!takes_path || line->path)
    return ld_fail(err, LD_EUSAGE, "unexpected argument '%s': %s", text,
                   takes_path ? "one path is enough" : "options are given as --name value");
  line->path = text;
  return 0;
}

static int take_argument(ld_command_line *line, int argc, char **argv, int *at, bool takes_path,
                         ld_error *err) {
  const char *text = argv[*at];
  line->help = !strcmp(text, "-h") || !strcmp(text, "--help");
  if (line->help) return 0;
  return strncmp(text, "--", 2) ? take_bare(line, text, takes_path, err)
                                : take_option(line, argc, argv, at, err);
}

ld_command_line *ld_command_line_parse(enum ld_command_bit command, int argc, char **argv, bool takes_path,
                                       ld_error *err) {
  ld_command_line *line = ld_alloc(1, sizeof *line);
  *line = (ld_command_line){.command = command};
  int rc = 0;
  for (int i = 1; i < argc && !line->help; i++) { /* to the end, also after an error: --help may follow */
    const int failed = take_argument(line, argc, argv, &i, takes_path, rc ? NULL : err);
    if (!rc) rc = failed;
  }
  if (!rc || line->help) return line;
  ld_command_line_free(line);
  return NULL;
}

void ld_command_line_free(ld_command_line *line) {
  if (line) free(line->given);
  free(line);
}

enum { NAMES = 26, WIDTH = 80 }; /* columns: of the options' names, and of a line */

/* Prints text from column `at` on; further lines begin in column NAMES. */
static void put_wrapped(FILE *out, const char *text, size_t at) {
  while (*text) {
    const size_t word = strcspn(text, " ");
    if (at + 1 + word > WIDTH && at > NAMES) {
      fprintf(out, "\n%*s", NAMES, "");
      at = NAMES;
    }
    at += (size_t)fprintf(out, "%s%.*s", at > NAMES ? " " : "", (int)word, text);
    text += word + (text[word] == ' ');
  }
  fputs("\n", out);
}

static void put_option(FILE *out, const char *name, const char *argument, const char *text) {
  const int length = fprintf(out, "  %s%s%s", name, argument ? " " : "", argument ? argument : "");
  if (length > NAMES - 2)
    fprintf(out, "\n%*s", NAMES, "");
  else
    fprintf(out, "%*s", NAMES - length, "");
  put_wrapped(out, text, NAMES);
}

static void put_help(FILE *out, const ld_option *o) {
  char *name = ld_format("--%s", o->name);
  const bool plain = o->kind == LD_OPTION_FLAG && !o->off; /* flags are off by default; that is not printed */
  char *text = o->fallback && !plain ? ld_format("%s [%s]", o->help, o->fallback) : ld_strdup(o->help);
  put_option(out, name, o->kind == LD_OPTION_FLAG || o->off ? NULL : o->argument, text);
  free(name);
  free(text);
  if (!o->off) return;
  name = ld_format("--no-%s", o->name);
  put_option(out, name, NULL, o->off);
  free(name);
}

void ld_command_line_help(enum ld_command_bit command, const char *name, const char *about, bool takes_path,
                          FILE *out) {
  fprintf(out, "Usage: lora_dist %s [options]%s\n\n%s\n", name, takes_path ? " PATH" : "", about);
  for (int i = 0; i < ld_n_options; i++) {
    const ld_option *o = &ld_option_table[i];
    if (!(o->commands & (int)command)) continue;
    if (o->name)
      put_help(out, o);
    else
      fprintf(out, "\n%s\n", o->help);
  }
  fputs("\n", out);
  put_option(out, "-h, --help", NULL, "print this help");
}

const char *ld_command_line_config(const ld_command_line *line, size_t i) {
  for (size_t k = 0; k < line->n; k++)
    if (line->given[k].option->field == offsetof(ld_options, config) && !i--) return line->given[k].text;
  return NULL;
}

double ld_command_line_patience(const ld_command_line *line) {
  ld_options options = {.patience = LD_PATIENCE};
  for (size_t i = 0; i < line->n; i++)
    if (line->given[i].option->field == offsetof(ld_options, patience))
      ld_option_set(&options, line->given[i].option, line->given[i].text, NULL);
  return options.patience;
}
