/* The record of the run that an adapter comes from, run.yaml. */
#ifndef LD_RUN_SETTING_H
#define LD_RUN_SETTING_H

#include "base/error.h"

/* The path of the record; NULL where there is none. `adapter` is the run's folder, or lies at most two folders
 * below it. The caller frees it. */
char *ld_run_record(const char *adapter);

/* A setting in the record. *value is NULL where there is none; the caller frees it. */
int ld_run_setting(const char *adapter, const char *key, char **value, ld_error *err);

#endif
