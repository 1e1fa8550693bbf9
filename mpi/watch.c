#include "mpi/watch.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/machine.h"
#include "base/memory.h"
#include "base/text.h"

/* TCP reports a lost host only after a quarter of an hour, and MPI not at all. So a rank that has waited for
 * QUIET seconds asks: rank 0 asks all others, the others ask rank 0. A rank that waits or polls answers; one
 * that is silent for longer than the patience is given up. This takes a message to and from each rank,
 * whatever their number, and only while something takes long. */
enum { QUIET = 5, TAG = 1, TEXT = 120 };

enum { TO_PRINT = 3 }; /* seconds */

enum { ASK, ANSWER, LEAVE };

typedef struct message {
  int32_t kind, round; /* an answer repeats the question's round */
  char at[TEXT];       /* what the sender is doing */
} message;

/* A message in transit; MPI needs its memory until it has been sent. */
typedef struct letter {
  MPI_Request request;
  struct letter *next;
  message content;
} letter;

struct ld_watch {
  MPI_Comm channel;
  int rank, size;
  char *const *hosts;
  double patience;
  char at[TEXT];
  MPI_Request incoming;
  message received;
  letter *sent;
  int32_t round;
  double asked; /* when the current round began; 0 when there is none */
  double awake; /* when this rank last looked around */
  bool *heard;  /* (size) ranks that answered in the current round */
  int n_silent;
};

static void listen(ld_watch *w) {
  MPI_Irecv(&w->received, sizeof w->received, MPI_BYTE, MPI_ANY_SOURCE, TAG, w->channel, &w->incoming);
}

ld_watch *ld_watch_start(MPI_Comm world, char *const *hosts, double patience) {
  ld_watch *w = ld_alloc(1, sizeof *w);
  MPI_Comm_dup(world, &w->channel);
  MPI_Comm_rank(w->channel, &w->rank);
  MPI_Comm_size(w->channel, &w->size);
  w->hosts = hosts;
  w->patience = patience;
  w->heard = ld_alloc((size_t)w->size, sizeof *w->heard);
  ld_watch_at(w, "start");
  listen(w);
  return w;
}

static void reap(ld_watch *w) {
  for (letter **at = &w->sent; *at;) {
    letter *l = *at;
    int gone;
    MPI_Test(&l->request, &gone, MPI_STATUS_IGNORE);
    if (!gone) {
      at = &l->next;
      continue;
    }
    *at = l->next;
    free(l);
  }
}

void ld_watch_free(ld_watch *w) {
  if (!w) return;
  reap(w);
  MPI_Cancel(&w->incoming);
  MPI_Wait(&w->incoming, MPI_STATUS_IGNORE);
  MPI_Comm_free(&w->channel);
  free(w->heard);
  free(w);
}

void ld_watch_at(ld_watch *w, const char *text) {
  snprintf(w->at, sizeof w->at, "%s", text);
}

void ld_watch_set_patience(ld_watch *w, double seconds) {
  w->patience = seconds;
}

static void send(ld_watch *w, int32_t kind, int32_t round, int to) {
  letter *l = ld_alloc(1, sizeof *l);
  l->content = (message){.kind = kind, .round = round};
  memcpy(l->content.at, w->at, sizeof w->at);
  l->next = w->sent;
  w->sent = l;
  MPI_Isend(&l->content, sizeof l->content, MPI_BYTE, to, TAG, w->channel, &l->request);
}

static void take(ld_watch *w, int from) {
  const message *m = &w->received;
  if (m->kind == ASK) send(w, ANSWER, m->round, from);
  if (m->kind == LEAVE) _exit(1); /* rank 0 has printed the reason */
  if (m->kind != ANSWER || m->round != w->round || w->heard[from]) return;
  w->heard[from] = true;
  w->n_silent--;
}

void ld_watch_serve(ld_watch *w) {
  for (;;) {
    int arrived;
    MPI_Status status;
    MPI_Test(&w->incoming, &arrived, &status);
    if (!arrived) break;
    take(w, status.MPI_SOURCE);
    listen(w);
  }
  if (w->sent) reap(w);
}

/* Rank 0 asks all others; they ask rank 0. */
static void ask(ld_watch *w, double now) {
  const int first = w->rank ? 0 : 1, end = w->rank ? 1 : w->size;
  w->asked = now;
  w->round++;
  w->n_silent = end - first;
  for (int r = first; r < end; r++) {
    w->heard[r] = false;
    send(w, ASK, w->round, r);
  }
}

/* The ranks without an answer, by host: "h2 (ranks 2, 3), h3 (rank 4)". */
static void name_silent(const ld_watch *w, ld_text *out) {
  const int end = w->rank ? 1 : w->size;
  for (int r = w->rank ? 0 : 1; r < end; r++) {
    if (w->heard[r]) continue;
    const char *host = w->hosts[r];
    bool known = false;
    for (int k = 0; k < r; k++) known = known || (!w->heard[k] && k != w->rank && !strcmp(w->hosts[k], host));
    if (known) continue;
    int n = 0;
    ld_text ranks = {0};
    for (int k = r; k < end; k++)
      if (!w->heard[k] && !strcmp(w->hosts[k], host)) ld_text_printf(&ranks, n++ ? ", %d" : "%d", k);
    ld_text_printf(out, "%s%s (rank%s %s)", out->length ? ", " : "", host, n > 1 ? "s" : "", ranks.bytes);
    ld_text_free(&ranks);
  }
}

/* Whether this rank prints the error: rank 0 or, when that is silent, the first other rank of each host. */
static bool prints_error(const ld_watch *w) {
  for (int r = 1; r < w->rank; r++)
    if (!strcmp(w->hosts[r], w->hosts[w->rank])) return false;
  return true;
}

/* Ends this process and, on rank 0, the ranks that still answer. The launcher ends the rest. */
static void give_up(ld_watch *w) {
  ld_text silent = {0};
  name_silent(w, &silent);
  if (prints_error(w))
    ld_complain("%s: no answer for %.0f s from %s: down, cut off from the network, or hanging; all ranks "
                "end. The same command resumes from the latest checkpoint",
                w->at, ld_clock() - w->asked, silent.bytes);
  else /* otherwise the launcher could end the rank that prints before its message is out */
    nanosleep(&(struct timespec){.tv_sec = TO_PRINT}, NULL);
  for (int r = 1; !w->rank && r < w->size; r++)
    if (w->heard[r]) send(w, LEAVE, 0, r);
  const double until = ld_clock() + 1;
  while (w->sent && ld_clock() < until) reap(w);
  _exit(1);
}

enum { ASLEEP = 1 }; /* seconds; normally a few milliseconds pass between two looks */

static void look_around(ld_watch *w, double waited_since) {
  const double now = ld_clock(), asleep = now - w->awake;
  ld_watch_serve(w);
  /* While this rank was stopped, it could not receive an answer. */
  if (asleep > ASLEEP && w->asked > 0) w->asked += asleep;
  w->awake = now;
  if (w->asked > 0 && !w->n_silent) {
    /* All ranks are alive; one of them is just busy. */
    if (now - w->asked > QUIET) ask(w, now);
  } else if (w->asked > 0) {
    if (now - w->asked > w->patience) give_up(w);
  } else if (now - waited_since > QUIET) {
    ask(w, now);
  }
}

/* A short wait must end at once; a long one leaves the core to others. */
enum { SPIN_TESTS = 2000 };
#define NAP_AFTER 0.02
#define NAP_NANOSECONDS 50000

void ld_watch_wait(ld_watch *w, MPI_Request *requests, int n) {
  int done = 0;
  for (int i = 0; !done && i < SPIN_TESTS; i++) MPI_Testall(n, requests, &done, MPI_STATUSES_IGNORE);
  if (done) return;
  const double began = w->awake = ld_clock();
  for (;;) {
    MPI_Testall(n, requests, &done, MPI_STATUSES_IGNORE);
    if (done) break;
    look_around(w, began);
    if (ld_clock() - began < NAP_AFTER)
      sched_yield();
    else
      nanosleep(&(struct timespec){.tv_nsec = NAP_NANOSECONDS}, NULL);
  }
  w->asked = 0;
}
