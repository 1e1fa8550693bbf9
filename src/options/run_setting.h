/* What the run that an adapter comes from was given.
 */
#ifndef LD_RUN_SETTING_H
#define LD_RUN_SETTING_H

#include "base/error.h"

/* A setting of the run that an adapter comes from, as its run.yaml has it: `adapter` is the run's folder, or lies
 * at most two folders below it. NULL in *value where there is none; the caller frees. */
int ld_run_setting(const char *adapter, const char *key, char **value, ld_error *err);

#endif
