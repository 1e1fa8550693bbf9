#include "cmd/command.h"

const ld_command *const ld_command_table[] = {
    &ld_command_train,  &ld_command_eval,   &ld_command_predict, &ld_command_generate, &ld_command_merge,
    &ld_command_export, &ld_command_import, &ld_command_convert, &ld_command_inspect,  &ld_command_report,
};

const int ld_n_commands = sizeof ld_command_table / sizeof *ld_command_table;
