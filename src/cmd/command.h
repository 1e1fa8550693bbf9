/* Commands, one file each; command_table.c has the table. */
#ifndef LD_COMMAND_H
#define LD_COMMAND_H

#include "job/steps.h" /* LD_STOPPED */
#include "mpi/comm.h"
#include "options/resolve.h"

typedef struct ld_command {
  const char *name;
  enum ld_command_bit bit;
  const char *summary; /* one line in the program's help */
  const char *about;   /* the command's own help */
  bool takes_path;     /* one bare argument */
  bool uses_ranks;     /* joins the job that mpirun or srun started */
  /* 0, LD_STOPPED or an error */
  int (*run)(const ld_options *options, const char *path, ld_comm *comm, ld_error *err);
} ld_command;

extern const ld_command ld_command_train, ld_command_eval, ld_command_predict, ld_command_generate,
    ld_command_merge, ld_command_export, ld_command_import, ld_command_convert, ld_command_inspect,
    ld_command_report;

/* All commands, in the order of the help and the manual. */
extern const ld_command *const ld_command_table[];
extern const int ld_n_commands;

#endif
