/* A time limit for MPI calls that wait for other ranks while the watch cannot ask them (MPI_Init,
 * MPI_Finalize, new communicators). */
#ifndef LD_LIMIT_H
#define LD_LIMIT_H

/* Unless ld_limit_end comes within `seconds`, a thread ends this process with an error that names the call,
 * followed by `rest`. Both strings are borrowed. Not collective. */
typedef struct ld_limit ld_limit;
ld_limit *ld_limit_begin(double seconds, const char *call, const char *rest);
void ld_limit_end(ld_limit *limit);

#endif
