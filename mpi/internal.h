/* What the files of this folder share: here MPI shows.
 */
#ifndef LD_MPI_INTERNAL_H
#define LD_MPI_INTERNAL_H

#include <mpi.h>
#include <stdbool.h>
#include <stddef.h>

/* Looks after the other ranks while this one waits (watch.c). One a process, shared by all communicators. */
typedef struct ld_watch ld_watch;

/* `world` of all ranks; hosts[r] is the host of rank r, borrowed. Collective. */
ld_watch *ld_watch_start(MPI_Comm world, char *const *hosts);
void ld_watch_free(ld_watch *watch); /* after a barrier: no rank asks any more */

/* Answers who asks, and moves all that MPI has under way. Returns at once. */
void ld_watch_serve(ld_watch *watch);

/* Waits for the requests, and meanwhile answers and asks. Does not return when a rank stays silent: then the
 * error is printed and the process ends. */
void ld_watch_wait(ld_watch *watch, MPI_Request *requests, int n);

void ld_watch_at(ld_watch *watch, const char *text);
void ld_watch_set_patience(ld_watch *watch, double seconds);

/* A limit for calls of MPI that wait for other ranks while nobody can be asked (MPI_Init, MPI_Finalize, new
 * communicators): unless ld_limit_end comes within `seconds`, a thread ends this process with an error that
 * names the call and goes on with `rest`. Both strings are borrowed. Not collective. */
typedef struct ld_limit ld_limit;
ld_limit *ld_limit_begin(double seconds, const char *call, const char *rest);
void ld_limit_end(ld_limit *limit);

/* This process's rank by the launcher's environment, before MPI knows it; 0 when no launcher says. */
int ld_launcher_rank(void);

#endif
