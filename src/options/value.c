#include "options/value.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/json.h"

static void *field_of(const ld_options *options, const ld_option *o) {
  return (char *)options + o->field;
}

static int bad_value(const ld_option *o, const char *text, ld_error *err) {
  if (o->kind == LD_OPTION_CHOICE)
    return ld_fail(err, LD_EUSAGE, "--%s: '%s' is not one of %s", o->name, text, o->argument);
  if (o->kind == LD_OPTION_FLAG)
    return ld_fail(err, LD_EUSAGE, "--%s: '%s' is neither yes nor no", o->name, text);
  if (o->kind == LD_OPTION_INTEGER)
    return ld_fail(err, LD_EUSAGE, "--%s: '%s' is not an integer between %.0f and %.0f", o->name, text,
                   o->low, o->high);
  if (o->kind == LD_OPTION_DURATION)
    return ld_fail(err, LD_EUSAGE, "--%s: '%s' is not a duration: give seconds, 90m, 12h or H:MM:SS", o->name,
                   text);
  return ld_fail(err, LD_EUSAGE, "--%s: '%s' is not a number between %g and %g", o->name, text, o->low,
                 o->high);
}

/* The index of `text` in "a|b|c"; -1 when it is not in it. */
static int choice_index(const char *choices, const char *text) {
  const size_t n = strlen(text);
  int index = 0;
  for (const char *at = choices; at; at = strchr(at, '|'), index++) {
    if (*at == '|') at++;
    if (strcspn(at, "|") == n && !strncmp(at, text, n) && n) return index;
  }
  return -1;
}

static void set_string(ld_options *options, const ld_option *o, const char *text) {
  char **field = field_of(options, o);
  free(*field);
  *field = ld_strdup(text);
}

/* strtod would also accept "0x1p3", "inf" and "nan". */
static bool is_decimal(const char *text) {
  return !text[strspn(text, "+-.0123456789eE")];
}

static int set_number(ld_options *options, const ld_option *o, const char *text, ld_error *err) {
  char *end;
  errno = 0;
  const double real = strtod(text, &end);
  if (!*text || *end || errno || !is_decimal(text) || !(real >= o->low && real <= o->high))
    return bad_value(o, text, err);
  if (o->kind == LD_OPTION_REAL) {
    *(double *)field_of(options, o) = real;
    return 0;
  }
  if (real != floor(real)) return bad_value(o, text, err);
  const long long whole = strtoll(text, &end, 10);
  *(int64_t *)field_of(options, o) = *end ? (int64_t)real : whole; /* "1e3" is a valid integer too */
  return 0;
}

/* Seconds, or a number followed by s, m or h, or H:MM:SS as Slurm writes it. */
static int set_duration(ld_options *options, const ld_option *o, const char *text, ld_error *err) {
  double seconds;
  int hours, minutes, rest, end = 0;
  char unit = 's';
  if (sscanf(text, "%9d:%2d:%2d%n", &hours, &minutes, &rest, &end) == 3)
    seconds = hours * 3600.0 + minutes * 60.0 + rest;
  else if (sscanf(text, "%lf%n%c%n", &seconds, &end, &unit, &end) < 1)
    return bad_value(o, text, err);
  if (text[end] || !strchr("smh", unit) || strchr(text, 'x')) return bad_value(o, text, err);
  seconds *= unit == 'h' ? 3600 : unit == 'm' ? 60 : 1;
  if (!(seconds >= o->low && seconds <= o->high)) return bad_value(o, text, err);
  *(double *)field_of(options, o) = seconds;
  return 0;
}

int ld_option_set(ld_options *options, const ld_option *o, const char *text, ld_error *err) {
  if (o->marks & LD_MARK_OF_ADAPTER) options->lora_given = o->name;
  switch (o->kind) {
  case LD_OPTION_PATH:
  case LD_OPTION_PATHS:
  case LD_OPTION_WORD:
    if ((o->kind == LD_OPTION_PATH || o->kind == LD_OPTION_PATHS) && !*text)
      return ld_fail(err, LD_EUSAGE, "--%s: the path is empty", o->name);
    set_string(options, o, text);
    return 0;
  case LD_OPTION_FLAG:
    if (strcmp(text, "yes") && strcmp(text, "no") && strcmp(text, "true") && strcmp(text, "false"))
      return bad_value(o, text, err);
    *(bool *)field_of(options, o) = !strcmp(text, "yes") || !strcmp(text, "true");
    return 0;
  case LD_OPTION_CHOICE:
    if (choice_index(o->argument, text) < 0) return bad_value(o, text, err);
    if (o->field == offsetof(ld_options, schedule))
      options->schedule = choice_index(o->argument, text);
    else
      set_string(options, o, text);
    return 0;
  case LD_OPTION_DURATION:
    return set_duration(options, o, text, err);
  default:
    return set_number(options, o, text, err);
  }
}

bool ld_option_is_list(const ld_option *o) {
  return o->kind == LD_OPTION_PATHS || (o->kind == LD_OPTION_WORD && !strcmp(o->argument, "LIST"));
}

char **ld_option_string(const ld_options *options, const ld_option *o) {
  const bool enumerated = o->field == offsetof(ld_options, schedule);
  const bool text = o->kind == LD_OPTION_PATH || o->kind == LD_OPTION_PATHS || o->kind == LD_OPTION_WORD ||
                    o->kind == LD_OPTION_CHOICE;
  return o->name && text && !enumerated ? field_of(options, o) : NULL;
}

void ld_option_put(const ld_options *options, const ld_option *o, ld_text *out) {
  static const char *const schedules[] = {"linear", "cosine", "constant"};
  const char *text = NULL;
  switch (o->kind) {
  case LD_OPTION_INTEGER:
    ld_text_printf(out, "%lld", (long long)*(int64_t *)field_of(options, o));
    return;
  case LD_OPTION_REAL:
  case LD_OPTION_DURATION:
    ld_json_number(out, *(double *)field_of(options, o));
    return;
  case LD_OPTION_FLAG:
    ld_text_puts(out, *(bool *)field_of(options, o) ? "true" : "false");
    return;
  default:
    text = o->field == offsetof(ld_options, schedule) ? schedules[options->schedule]
                                                      : *(char **)field_of(options, o);
  }
  if (text)
    ld_json_quote(out, text);
  else
    ld_text_puts(out, "null");
}
