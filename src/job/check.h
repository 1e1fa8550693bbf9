/* What a command checks about the folders it is given, before it does any work. */
#ifndef LD_CHECK_H
#define LD_CHECK_H

#include "base/error.h"
#include "mpi/comm.h"
#include "options/options.h"

/* LD_EMISMATCH when the folder of --model holds an adapter that is not the one given (NULL: none given):
 * transformers would load it with the model. Rank 0 checks. Collective. */
int ld_check_model(const char *model, const char *adapter, ld_comm *comm, ld_error *err);

/* LD_EUSAGE when --out is the folder of --model or lies in it, under whatever name. */
int ld_check_not_model(const ld_options *options, ld_error *err);

/* For a command whose output must be new: checks this, and the rule of io/file.h for outputs, before any
 * work. */
int ld_check_new(const ld_options *options, ld_error *err);

/* LD_EUSAGE when a run's folder would lie in the folder that option `name` reads as data. */
int ld_check_outside(const char *name, const char *data, const char *out, ld_error *err);

#endif
