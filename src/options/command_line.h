/* The command line: options as they were given, and the help that lists what can be given.
 */
#ifndef LD_COMMAND_LINE_H
#define LD_COMMAND_LINE_H

#include <stdio.h>

#include "base/error.h"
#include "options/table.h"

/* An option and its value; both strings are argv's or constants. */
typedef struct ld_given {
  const ld_option *option;
  const char *text;
} ld_given;

typedef struct ld_command_line {
  enum ld_command_bit command;
  bool help;        /* -h or --help stands somewhere in it: nothing else counts then */
  const char *path; /* the one bare argument of commands that take one; NULL: none was given */
  ld_given *given;
  size_t n, room;
} ld_command_line;

/* LD_EUSAGE, naming it, for what is no option of the command; NULL then. The caller frees. */
ld_command_line *ld_command_line_parse(enum ld_command_bit command, int argc, char **argv, bool takes_path,
                                       ld_error *err);
void ld_command_line_free(ld_command_line *line);

/* The seconds of --patience on the command line, or its default: what holds until the files that --config names
 * are read, since rank 0 reads them for all. */
double ld_command_line_patience(const ld_command_line *line);

/* The path that the i-th --config names, from 0; NULL after the last. */
const char *ld_command_line_config(const ld_command_line *line, size_t i);

/* Prints "Usage: lora_dist NAME [options]", the sentence `about`, and every option that the command takes, in
 * the table's order, with its default. */
void ld_command_line_help(enum ld_command_bit command, const char *name, const char *about, bool takes_path,
                          FILE *out);

/* LD_EUSAGE for a name that is no option of the command: it names the option that is meant, or the command
 * that has it. `dashes` is "--" on the command line and "" in a file. */
int ld_unknown_option(enum ld_command_bit command, const char *name, const char *dashes, ld_error *err);

/* The option of that name, with '_' taken for '-'; NULL when the command does not have it. */
const ld_option *ld_find_option(int commands, const char *name);

#endif
