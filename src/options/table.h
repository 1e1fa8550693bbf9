/* The one table of options: names, help, defaults, ranges, YAML keys, and which commands take them. */
#ifndef LD_OPTION_TABLE_H
#define LD_OPTION_TABLE_H

#include <stddef.h>

#include "options/options.h"

/* Commands, as bits of the table's column. */
enum ld_command_bit {
  LD_CMD_TRAIN = 1,
  LD_CMD_EVAL = 2,
  LD_CMD_GENERATE = 4,
  LD_CMD_MERGE = 8,
  LD_CMD_EXPORT = 16,
  LD_CMD_IMPORT = 32,
  LD_CMD_INSPECT = 64,
  LD_CMD_PREDICT = 128,
  LD_CMD_CONVERT = 256,
  LD_CMD_REPORT = 512
};

enum ld_option_kind {
  LD_OPTION_PATH,
  LD_OPTION_PATHS, /* one or several, with line feeds between them: given several times, or a list in YAML */
  LD_OPTION_WORD,
  LD_OPTION_INTEGER,
  LD_OPTION_REAL,
  LD_OPTION_DURATION,
  LD_OPTION_FLAG,
  LD_OPTION_CHOICE
};

/* Marks: the adapter's bits depend on it; it only affects LoRA matrices; an --init-adapter decides it; it is
 * for one start only, so a run's record does not have it; it changes which rows there are, or their order. */
enum {
  LD_MARK_DEFINES = 1,
  LD_MARK_OF_MATRICES = 2,
  LD_MARK_OF_ADAPTER = 4,
  LD_MARK_ONCE = 8,
  LD_MARK_ROWS = 16
};

typedef struct ld_option {
  const char
      *name; /* also the YAML key; once per command, so that each may have words of its own; NULL: a heading
                       of the help, whose text is `help` */
  enum ld_option_kind kind;
  size_t field;           /* offset in ld_options; a duration is a number of seconds */
  int commands, required; /* enum ld_command_bit: commands that take it, and those that require it */
  int marks;
  const char *fallback; /* the default, as text; NULL: none */
  double low, high;     /* numbers: the allowed range */
  const char *argument; /* placeholder in the help; of a choice, all values: "a|b|c" */
  const char *help;
  const char *meant;     /* what it applies to: names of objectives, "text" or "images"; NULL: everything */
  const char *forms;     /* the forms of data that it applies to (io/dataset/forms.h); NULL: all */
  const char *lacks;     /* why it does not apply to other data: "holds no messages" */
  const char *off;       /* the help of its --no- form; NULL: it has none */
  const char *needs;     /* it has no effect unless this other option is given; "a|b": that of the command */
  int needs_of;          /* in these commands */
  const char *elsewhere; /* its names in PEFT and transformers: "a|b"; NULL: the same, or none */
} ld_option;

extern const ld_option ld_option_table[];
extern const int ld_n_options;

#endif
