/* Settings of the run that an adapter comes from. */
#ifndef LD_RUN_SETTING_H
#define LD_RUN_SETTING_H

#include "base/error.h"

/* A setting of the run that an adapter comes from, read from its run.yaml: `adapter` is the run's folder, or
 * lies at most two folders below it. *value is NULL where there is none; the caller frees it. */
int ld_run_setting(const char *adapter, const char *key, char **value, ld_error *err);

#endif
