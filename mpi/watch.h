/* Watches the other ranks while this one waits. Only for use in mpi/, since MPI's types appear here. */
#ifndef LD_WATCH_H
#define LD_WATCH_H

#include <mpi.h>

/* One per process, for all its communicators. */
typedef struct ld_watch ld_watch;

/* `world` of all ranks; hosts[r] is the host of rank r, borrowed; `patience` in seconds. Collective. */
ld_watch *ld_watch_start(MPI_Comm world, char *const *hosts, double patience);
void ld_watch_free(ld_watch *watch); /* after a barrier: no rank asks any more */

/* Answers questions, and advances all pending MPI transfers. Returns at once. */
void ld_watch_serve(ld_watch *watch);

/* Waits for the requests, answering and asking meanwhile. When a rank stays silent it does not return: the
 * error is printed and the process ends. */
void ld_watch_wait(ld_watch *watch, MPI_Request *requests, int n);

void ld_watch_at(ld_watch *watch, const char *text);
void ld_watch_set_patience(ld_watch *watch, double seconds);

#endif
