/* The options of a command: filled from defaults, files and the command line, then checked, recorded and
 * compared. */
#ifndef LD_RESOLVE_H
#define LD_RESOLVE_H

#include "base/error.h"
#include "base/text.h"
#include "base/value.h"
#include "io/dataset/dataset.h"
#include "objective/objective.h"
#include "options/command_line.h"
#include "options/options.h"

/* Fills `options` from defaults, then from `configs`, the contents of the files that --config names, then
 * from the command line. The caller frees with ld_options_free, also after an error. */
int ld_options_resolve(const ld_command_line *line, const ld_text *configs, ld_options *options,
                       ld_error *err);
void ld_options_free(ld_options *options);

/* Whether a command has options that decide how records become rows (LD_MARK_ROWS). */
bool ld_options_follow_runs(enum ld_command_bit command);

/* Takes the options that decide how records become rows, where they were not given, from the
 * record of the run that the adapter comes from, so that it reads what it has learned to read. Says which.
 * `record` is the file at `path`; the record of another program is left alone. */
int ld_options_follow(enum ld_command_bit command, const char *path, const ld_text *record,
                      ld_options *options, ld_error *err);

/* Whether the user gave the option with this field of ld_options, by its offset. */
bool ld_options_given(const ld_options *options, size_t field);

/* Appends the options of a command as a JSON object; with `defining` only those that the adapter's bits
 * depend on. */
void ld_options_json(enum ld_command_bit command, const ld_options *options, bool defining, ld_text *out);

/* The same as YAML, one "key: value" per line, without options that do not apply to this model or to data of
 * this form. */
void ld_options_yaml(enum ld_command_bit command, const ld_options *options, const ld_objective *objective,
                     const ld_model *model, const ld_data_form *form, ld_text *out);

/* Whether a YAML file is a run's own record, run.yaml, which also names the program's version. */
bool ld_options_are_record(const ld_value *root);

/* LD_EUSAGE, naming it, for an option with another value than its default that does not apply to this model,
 * and for a given --seq-len beyond the model's positions. */
int ld_options_suit(enum ld_command_bit command, const ld_options *options, const ld_objective *objective,
                    const ld_model *model, ld_error *err);

/* The same for data of one form or two (other may be NULL). Only options that the user gave are checked. */
int ld_options_suit_data(const ld_options *options, const ld_data_form *form, const ld_data_form *other,
                         ld_error *err);

/* A defining option whose value differs from the checkpoint's. */
typedef struct ld_difference {
  const char *name;
  bool fixed; /* it decides the adapter's shape */
  bool rows;  /* it changes which rows the data has, or their order */
  const char *was, *now;
} ld_difference;

/* Reports each option that differs from the recorded ones (JSON). */
void ld_options_compare(const ld_options *options, const ld_value *recorded,
                        void (*differs)(const ld_difference *difference, void *user), void *user);

/* Whether the list of names (base/names.h) has that option, with '_' read as '-'. */
bool ld_options_named(const char *list, const char *option);

#endif
