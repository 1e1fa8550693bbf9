/* Signals that ask a job to stop: SIGINT, SIGTERM, SIGHUP, SIGUSR1, and SIGCONT from mpirun.
 *
 * The current step is finished and saved, then the program ends with status 75. A second signal ends it at
 * once. Launchers and queues send some ranks the same signal twice at the same time: that counts once. A
 * user's second Ctrl-C always counts. */
#ifndef LD_JOB_STOP_H
#define LD_JOB_STOP_H

/* From here on signals are kept for ld_stop_asked. Called before files are read, so that a signal during that
 * does not kill the job. */
void ld_stop_hear(void);

/* The number of the signal that this rank received; 0 for none. */
int ld_stop_asked(void);

/* The name that users know: "Ctrl-C", "SIGTERM". */
const char *ld_stop_name(int number);

#endif
