/* A limit for calls of MPI that wait for other ranks while nobody can be asked (MPI_Init, MPI_Finalize, new
 * communicators).
 */
#ifndef LD_LIMIT_H
#define LD_LIMIT_H

/* Unless ld_limit_end comes within `seconds`, a thread ends this process with an error that names the call and
 * goes on with `rest`. Both strings are borrowed. Not collective. */
typedef struct ld_limit ld_limit;
ld_limit *ld_limit_begin(double seconds, const char *call, const char *rest);
void ld_limit_end(ld_limit *limit);

#endif
