/* The subcommands, and what they have in common.
 */
#ifndef LD_COMMAND_H
#define LD_COMMAND_H

#include "cmd/options.h"
#include "mpi/comm.h"

typedef struct ld_command {
  const char *name;
  enum ld_command_bit bit;
  const char *summary; /* one line for the program's help */
  const char *about;   /* the command's own help */
  bool takes_path;     /* one bare argument */
  bool uses_ranks;     /* joins the job that mpirun or srun started */
  int (*run)(const ld_options *options, const char *path, ld_comm *comm, ld_error *err);
} ld_command;

/* All commands, in the order in which help and manual list them. */
extern const ld_command ld_command_table[];
extern const int ld_n_commands;

/* What run returns beside 0 and error codes: stopped by a signal after a checkpoint; the program exits
 * with 75. */
enum { LD_STOPPED = 75 };

/* Writes to standard output, with `flush` through to who reads it. LD_ECLOSED when the reader has gone (as
 * head does): then the program dies by SIGPIPE, or says so where that is ignored. */
int ld_cmd_print(const ld_text *text, bool flush, ld_error *err);

/* LD_EMISMATCH when the folder of --model holds an adapter that is not the one given (NULL: none): transformers
 * would load it with the model. Rank 0 looks. Collective. */
int ld_cmd_check_model(const char *model, const char *adapter, ld_comm *comm, ld_error *err);

/* LD_EUSAGE when --out is the folder of --model or lies in it, by whatever names. */
int ld_cmd_check_not_model(const ld_options *options, ld_error *err);

/* Of a command whose output must be new: before it works, that and the rule of io/file.h for outputs. */
int ld_cmd_check_new(const ld_options *options, ld_error *err);

/* LD_EUSAGE when a run's folder would lie in a folder that is read as data, by the option `name`. */
int ld_cmd_check_outside(const char *name, const char *data, const char *out, ld_error *err);

/* A setting of the run that an adapter comes from, as its run.yaml has it: `adapter` is the run's folder, or lies
 * at most two folders below it. NULL in *value where there is none; the caller frees. */
int ld_cmd_run_setting(const char *adapter, const char *key, char **value, ld_error *err);

/* Prints text from a file to standard output, so that nothing in it steers a terminal: its first `most` characters
 * (0: all), and spaces up to `least`. */
void ld_cmd_put(const char *string, int least, int most);

int ld_cmd_train(const ld_options *options, const char *path, ld_comm *comm, ld_error *err);
int ld_cmd_eval(const ld_options *options, const char *path, ld_comm *comm, ld_error *err);
int ld_cmd_generate(const ld_options *options, const char *path, ld_comm *comm, ld_error *err);
int ld_cmd_merge(const ld_options *options, const char *path, ld_comm *comm, ld_error *err);
int ld_cmd_export(const ld_options *options, const char *path, ld_comm *comm, ld_error *err);
int ld_cmd_import(const ld_options *options, const char *path, ld_comm *comm, ld_error *err);
int ld_cmd_predict(const ld_options *options, const char *path, ld_comm *comm, ld_error *err);
int ld_cmd_convert(const ld_options *options, const char *path, ld_comm *comm, ld_error *err);
int ld_cmd_report(const ld_options *options, const char *path, ld_comm *comm, ld_error *err);
int ld_cmd_inspect(const ld_options *options, const char *path, ld_comm *comm, ld_error *err);

#endif
