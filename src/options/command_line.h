/* The command line: the options given, and the help that lists all options. */
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
  bool help;        /* -h or --help is among the arguments: nothing else counts then */
  const char *path; /* the bare argument of commands that take one; NULL: none was given */
  ld_given *given;
  size_t n, room;
} ld_command_line;

/* LD_EUSAGE, naming it, for an unknown option of the command; NULL is returned then. The caller frees. */
ld_command_line *ld_command_line_parse(enum ld_command_bit command, int argc, char **argv, bool takes_path,
                                       ld_error *err);
void ld_command_line_free(ld_command_line *line);

/* The seconds of --patience on the command line, or its default. This holds until the files of --config are
 * read, since rank 0 reads them for all ranks. */
double ld_command_line_patience(const ld_command_line *line);

/* The path in the i-th --config, from 0; NULL after the last. */
const char *ld_command_line_config(const ld_command_line *line, size_t i);

/* Prints "Usage: lora_dist NAME [options]", the sentence `about`, and every option of the command with its
 * default, in the order of the table. */
void ld_command_line_help(enum ld_command_bit command, const char *name, const char *about, bool takes_path,
                          FILE *out);

/* LD_EUSAGE for a name that is not an option of the command. The message names the option that was probably
 * meant, or says that other commands have it. `dashes` is "--" on the command line and "" in a file. */
int ld_unknown_option(enum ld_command_bit command, const char *name, const char *dashes, ld_error *err);

/* The option of that name, with '_' read as '-'; NULL when the command does not have it. */
const ld_option *ld_find_option(int commands, const char *name);

#endif
