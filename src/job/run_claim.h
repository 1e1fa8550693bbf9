/* What a run's folder may hold besides the run: nothing that opening the run would replace or remove.
 */
#ifndef LD_RUN_CLAIM_H
#define LD_RUN_CLAIM_H

#include <stdbool.h>

#include "base/error.h"
#include "options/options.h"

/* Whether it is a run's folder: an empty file `lock`, or a run's record in run.yaml, is in it. */
bool ld_run_is_folder(const char *folder);

/* LD_EFILE when a file in --out or in its folder of checkpoints is in the way; LD_EUSAGE when an input is. */
int ld_run_claim(const ld_options *options, const char *checkpoints, ld_error *err);

/* Removes what a killed run left of files that it was writing. */
void ld_run_sweep(const ld_options *options, const char *checkpoints);

#endif
