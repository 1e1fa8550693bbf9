/* The table of options, and reading and showing the value of one.
 */
#ifndef LD_OPTION_TABLE_H
#define LD_OPTION_TABLE_H

#include "cmd/options.h"

enum ld_option_kind { PATH, WORD, INTEGER, REAL, DURATION, FLAG, CHOICE };

/* Marks: the adapter's bits depend on it; it is of the LoRA matrices alone; an --init-adapter decides it; it
 * has a meaning for language models, for classifiers of texts, for those of images only (several: for each of
 * them); it is of one start, so that a run's record does not have it; which rows there are, or their order,
 * depends on it; it has a meaning only for data with messages, with prompts of any kind, in records. */
enum {
  DEFINES = 1,
  OF_MATRICES = 2,
  OF_ADAPTER = 4,
  LANGUAGE = 8,
  CLASSES = 16,
  IMAGES = 32,
  ONCE = 64,
  ROWS = 128,
  FOR_CHAT = 256,
  FOR_PROMPTS = 512,
  FOR_RECORDS = 1024
};

typedef struct ld_option {
  const char *name; /* also the YAML key; once per command, so that each may have words of its own; NULL: a heading
                       of the help, whose text is `help` */
  enum ld_option_kind kind;
  size_t field;           /* offset in ld_options; a duration is a number of seconds */
  int commands, required; /* enum ld_command_bit: who takes it, who must be given it */
  int marks;
  const char *fallback; /* the default, as text; NULL: none */
  double low, high;     /* numbers: the range allowed */
  const char *argument; /* placeholder in the help; of a choice, what there is: "a|b|c" */
  const char *help;
  const char *off;   /* the help of its --no- form; NULL: it has none */
  const char *needs; /* it has no effect unless this other option is given, */
  int needs_of;      /* in these commands */
  const char *elsewhere; /* what PEFT and transformers call it: "a|b"; NULL: the same, or nothing */
} ld_option;

extern const ld_option ld_option_table[];
extern const int ld_n_options;

/* Sets the option's field from text. LD_EUSAGE, naming option and value, when the table does not allow it. */
int ld_option_set(ld_options *options, const ld_option *option, const char *text, ld_error *err);

/* Whether the option takes several names, with commas between them. */
bool ld_option_is_list(const ld_option *option);

/* Appends the option's value as JSON. */
void ld_option_put(const ld_options *options, const ld_option *option, ld_text *out);

/* The option's field when it is a string, which ld_options owns; NULL otherwise. */
char **ld_option_string(const ld_options *options, const ld_option *option);

#endif
