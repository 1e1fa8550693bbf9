/* What a command checks of the folders that it is given, before it works.
 */
#ifndef LD_CHECK_H
#define LD_CHECK_H

#include "base/error.h"
#include "mpi/comm.h"
#include "options/options.h"

/* LD_EMISMATCH when the folder of --model holds an adapter that is not the one given (NULL: none): transformers
 * would load it with the model. Rank 0 looks. Collective. */
int ld_check_model(const char *model, const char *adapter, ld_comm *comm, ld_error *err);

/* LD_EUSAGE when --out is the folder of --model or lies in it, by whatever names. */
int ld_check_not_model(const ld_options *options, ld_error *err);

/* Of a command whose output must be new: before it works, that and the rule of io/file.h for outputs. */
int ld_check_new(const ld_options *options, ld_error *err);

/* LD_EUSAGE when a run's folder would lie in a folder that is read as data, by the option `name`. */
int ld_check_outside(const char *name, const char *data, const char *out, ld_error *err);

#endif
