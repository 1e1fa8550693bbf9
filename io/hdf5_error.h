/* Errors of the HDF5 library as ours: what it would print becomes part of the error's text. */
#ifndef LD_HDF5_ERROR_H
#define LD_HDF5_ERROR_H

#include "base/error.h"

/* Stops the library's own printing, which is set per thread. Call it before the first use of HDF5 in a
 * function. */
void ld_hdf5_silence(void);

/* Fails with "<name>: <what> (HDF5: <its innermost reason>)" and clears the library's errors. Returns the
 * code. */
int ld_hdf5_fail(ld_error *err, int code, const char *name, const char *what);
#ifdef __clang_analyzer__ /* as for ld_fail: base/error.h */
#define ld_hdf5_fail(err, code, name, what) ((void)ld_hdf5_fail(err, code, name, what), (code))
#endif

#endif
