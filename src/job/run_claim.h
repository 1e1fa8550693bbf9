/* Checks what a run's folder holds besides the run: nothing that opening the run would replace or remove. */
#ifndef LD_RUN_CLAIM_H
#define LD_RUN_CLAIM_H

#include <stdbool.h>

#include "base/error.h"
#include "options/options.h"

/* Whether it is a run's folder: it has an empty file `lock`, or a run.yaml that a run wrote. */
bool ld_run_is_folder(const char *folder);

/* LD_EFILE when a file in --out or in its folder of checkpoints is in the way; LD_EUSAGE when that file is an
 * input. */
int ld_run_claim(const ld_options *options, const char *checkpoints, ld_error *err);

/* Removes the folder of a run that never began, with what was kept in it for the next start. It stays if there is
 * anything else in it. */
void ld_run_forget(const char *folder);

/* Removes unfinished files that a killed run left. */
void ld_run_sweep(const ld_options *options, const char *checkpoints);

#endif
