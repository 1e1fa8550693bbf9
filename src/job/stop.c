#include "job/stop.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "mpi/comm.h"

static volatile sig_atomic_t stop_asked;
static volatile time_t first_asked;
enum { SAME_SIGNAL = 2 }; /* seconds */

/* A step can take minutes, and the user at the terminal waits for an answer. */
static void answer_key(void) {
  static const char text[] = "\nlora_dist: stopping after this step and its checkpoint; Ctrl-C again ends "
                             "at once\n";
  (void)!write(STDERR_FILENO, text, sizeof text - 1);
}

static void ask_stop(int number, siginfo_t *from, void *context) {
  (void)context;
  const bool key = number == SIGINT && from->si_code == SI_KERNEL;
  struct timespec now;
  /* When mpirun is asked to end, it wakes its ranks first, and sends SIGTERM after a grace period. */
  if (number == SIGCONT && from->si_pid != getppid()) return;
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (stop_asked && (key || now.tv_sec - first_asked > SAME_SIGNAL)) _exit(128 + number);
  if (!stop_asked) first_asked = now.tv_sec;
  if (key) answer_key();
  stop_asked = number;
}

static void hear_unless_ignored(int number, const struct sigaction *action) {
  struct sigaction before;
  sigaction(number, NULL, &before);
  if (before.sa_handler != SIG_IGN) sigaction(number, action, NULL);
}

void ld_stop_hear(void) {
  const struct sigaction action = {.sa_sigaction = ask_stop, .sa_flags = SA_RESTART | SA_SIGINFO};
  hear_unless_ignored(SIGINT, &action); /* a shell's background job ignores it */
  hear_unless_ignored(SIGHUP, &action); /* nohup ignores it */
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGUSR1, &action, NULL);
  if (ld_comm_by_mpirun()) sigaction(SIGCONT, &action, NULL);
}

int ld_stop_asked(void) {
  return stop_asked;
}

const char *ld_stop_name(int number) {
  switch (number) {
  case SIGINT:
    return "Ctrl-C";
  case SIGTERM:
    return "SIGTERM";
  case SIGHUP:
    return "SIGHUP";
  case SIGUSR1:
    return "SIGUSR1";
  default:
    return "mpirun was asked to end"; /* SIGCONT */
  }
}
