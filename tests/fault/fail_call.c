/* Preloaded into the program, makes calls fail that touch a file below a folder:
 *
 *   FAIL_UNDER=part of a path  FAIL_CALL=KIND:N[+]:ERRNO[,...]  FAIL_COUNT=FILE
 *
 * The N-th call of that KIND fails with that error number; with "+" all later ones fail too, as on a full
 * disk; the number 0 lets a write take half of its bytes. N = 0 fails none. Each call writes the number of
 * calls so far to FAIL_COUNT.
 *
 *   FAIL_UNDER=part of a path  SLOW_FSYNC=SECONDS     each fsync takes that long, as on a slow disk
 *   STOP_RANK=R  STOP_IN=CALL     rank R stops (SIGSTOP) where it enters MPI_Init or MPI_Finalize, or
 *                                "after MPI_Init" */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
enum { MOST_RULES = 4 };
static int calls[MOST_RULES]; /* of each rule's kind, by this process */

#define REAL(type, name, ...)                                                                                \
  static type (*real_##name)(__VA_ARGS__);                                                                   \
  if (!real_##name) *(void **)&real_##name = dlsym(RTLD_NEXT, #name)

static void stop_in(const char *call) {
  const char *wanted = getenv("STOP_IN"), *stopped = getenv("STOP_RANK"),
             *rank = getenv("OMPI_COMM_WORLD_RANK");
  if (wanted && stopped && rank && !strcmp(wanted, call) && !strcmp(stopped, rank)) raise(SIGSTOP);
}

/* As in <mpi.h>, which the tests do not include. */
int MPI_Init_thread(int *argc, char ***argv, int required, int *provided);
int MPI_Finalize(void);

int MPI_Init_thread(int *argc, char ***argv, int required, int *provided) {
  REAL(int, MPI_Init_thread, int *, char ***, int, int *);
  stop_in("MPI_Init");
  const int rc = real_MPI_Init_thread(argc, argv, required, provided);
  stop_in("after MPI_Init");
  return rc;
}

int MPI_Finalize(void) {
  REAL(int, MPI_Finalize, void);
  stop_in("MPI_Finalize");
  return real_MPI_Finalize();
}

/* Writes the count to the file that the test reads, by raw system calls, which are not counted. */
static void tell(int n) {
  const char *path = getenv("FAIL_COUNT");
  FILE *file = path ? fopen(path, "we") : NULL;
  if (!file) return;
  fprintf(file, "%d\n", n);
  fclose(file);
}

static bool is_under(const char *path) {
  const char *under = getenv("FAIL_UNDER");
  return under && path && strstr(path, under);
}

/* One of the calls to fail. */
typedef struct rule {
  char kind[16], plus[2];
  int n, error;
} rule;

static rule read_rule(const char *text) {
  rule r = {.n = 0};
  if (sscanf(text, "%15[^:]:%d:%d", r.kind, &r.n, &r.error) != 3 &&
      sscanf(text, "%15[^:]:%d%1[+]:%d", r.kind, &r.n, r.plus, &r.error) != 4)
    abort();
  return r;
}

static bool hits(rule *r, int *count) {
  pthread_mutex_lock(&mutex);
  const int now = ++*count;
  tell(now);
  pthread_mutex_unlock(&mutex);
  if (!r->error && now > r->n) r->error = ENOSPC;
  return r->n && (now == r->n || (r->plus[0] && now > r->n));
}

/* Whether this call must fail; *error receives the error number. */
static bool fails(const char *kind, const char *path, int *error) {
  const char *at = is_under(path) ? getenv("FAIL_CALL") : NULL;
  for (int i = 0; at && i < MOST_RULES; i++) {
    rule r = read_rule(at);
    const bool hit = !strcmp(kind, r.kind) && hits(&r, &calls[i]);
    *error = r.error;
    if (!strcmp(kind, r.kind)) return hit;
    at = strchr(at, ',');
    if (at) at++;
  }
  return false;
}

/* The path of an open file. */
static const char *path_of(int fd, char path[4096]) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, 4095);
  path[length > 0 ? length : 0] = 0;
  return path;
}

static bool is_open_under(int fd) {
  char path[4096];
  return is_under(path_of(fd, path));
}

static bool fails_on(const char *kind, int fd, int *error) {
  char path[4096];
  return fails(kind, path_of(fd, path), error);
}

ssize_t write(int fd, const void *bytes, size_t count) {
  REAL(ssize_t, write, int, const void *, size_t);
  int error = 0;
  if (!fails_on("write", fd, &error)) return real_write(fd, bytes, count);
  if (!error) return real_write(fd, bytes, count > 1 ? count / 2 : count);
  errno = error;
  return -1;
}

int fsync(int fd) {
  REAL(int, fsync, int);
  const char *seconds = getenv("SLOW_FSYNC");
  int error = 0;
  if (seconds && is_open_under(fd)) usleep((useconds_t)(1e6 * atof(seconds)));
  if (!fails_on("fsync", fd, &error)) return real_fsync(fd);
  errno = error;
  return -1;
}

int close(int fd) {
  REAL(int, close, int);
  int error = 0;
  if (!fails_on("close", fd, &error)) return real_close(fd);
  real_close(fd);
  errno = error;
  return -1;
}

int ftruncate(int fd, off_t length) {
  REAL(int, ftruncate, int, off_t);
  int error = 0;
  if (!fails_on("ftruncate", fd, &error)) return real_ftruncate(fd, length);
  errno = error;
  return -1;
}

int rename(const char *from, const char *to) {
  REAL(int, rename, const char *, const char *);
  int error = 0;
  if (!fails("rename", to, &error)) return real_rename(from, to);
  errno = error;
  return -1;
}

int renameat2(int at, const char *from, int to_at, const char *to, unsigned flags) {
  REAL(int, renameat2, int, const char *, int, const char *, unsigned);
  int error = 0;
  if (!fails("rename", to, &error)) return real_renameat2(at, from, to_at, to, flags);
  errno = error;
  return -1;
}

int mkdir(const char *path, mode_t mode) {
  REAL(int, mkdir, const char *, mode_t);
  int error = 0;
  if (!fails("mkdir", path, &error)) return real_mkdir(path, mode);
  errno = error;
  return -1;
}

/* Only for files that are to be written. */
int open(const char *path, int flags, ...) {
  REAL(int, open, const char *, int, ...);
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  int error = 0;
  if ((flags & O_ACCMODE) == O_RDONLY || !fails("open", path, &error)) return real_open(path, flags, mode);
  errno = error;
  return -1;
}
