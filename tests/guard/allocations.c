/* Counts what a training step after the first allocates from the heap and from the system: bytes and calls of
 * the part that makes microbatches (reading, decoding), of the BLAS for itself, and of everything else, which
 * must be 0.
 *
 *   allocations [train's options]
 *
 * Prints one line: steps, then calls and bytes of the data and of the rest. With LD_GUARD_TRACE=data or =rest
 * in the environment, the places of the calls go to standard error, as addresses for addr2line. */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "job/job.h"
#include "job/open.h"
#include "options/command_line.h"
#include "options/resolve.h"

enum part { OFF = -1, DATA, BLAS, REST, PARTS };
static const char *const part_names[] = {"data", "blas", "rest"};

static struct {
  enum part part, traced;
  long long calls[PARTS], bytes[PARTS];
} counted = {OFF, OFF, {0}, {0}};

static bool is_blas(const void *caller) {
  Dl_info info;
  return dladdr(caller, &info) && info.dli_fname && strstr(info.dli_fname, "blas");
}

/* `caller`: the address to which the counted function returns. */
static void count(size_t bytes, const void *caller) {
  const enum part now = counted.part;
  if (now == OFF) return;
  counted.part = OFF; /* ignore allocations by the functions called here */
  const enum part part = is_blas(caller) ? BLAS : now;
  counted.calls[part]++;
  counted.bytes[part] += (long long)bytes;
  if (part == counted.traced) {
    void *frames[16];
    const int n = backtrace(frames, sizeof frames / sizeof *frames);
    fprintf(stderr, "%zu bytes:\n", bytes);
    backtrace_symbols_fd(frames + 2, n - 2, STDERR_FILENO);
  }
  counted.part = now;
}

#define COUNT(bytes) count(bytes, __builtin_return_address(0))

/* glibc's own names of the functions that are counted here. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size) {
  COUNT(size);
  return __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
  COUNT(n * size);
  return __libc_calloc(n, size);
}

void *realloc(void *old, size_t size) {
  COUNT(size);
  return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
  COUNT(size);
  return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
  COUNT(size);
  return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
  COUNT(size);
  *out = __libc_memalign(alignment, size);
  return *out ? 0 : ENOMEM;
}

void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
  COUNT(length);
  return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

/* The linker sends the trainer's calls here. */
int __real_ld_corpus_batch(const ld_corpus *corpus, const int64_t *rows, int n_rows, int64_t epoch,
                           ld_feed *feed, ld_batch *batch, ld_error *err);
int __wrap_ld_corpus_batch(const ld_corpus *corpus, const int64_t *rows, int n_rows, int64_t epoch,
                           ld_feed *feed, ld_batch *batch, ld_error *err);
int __wrap_ld_corpus_batch(const ld_corpus *corpus, const int64_t *rows, int n_rows, int64_t epoch,
                           ld_feed *feed, ld_batch *batch, ld_error *err) {
  const enum part part = counted.part;
  if (part != OFF) counted.part = DATA;
  const int rc = __real_ld_corpus_batch(corpus, rows, n_rows, epoch, feed, batch, err);
  counted.part = part;
  return rc;
}

static int run(ld_job *j, ld_error *err) {
  ld_step_report report;
  int rc = ld_job_open(j, err);
  if (!rc) rc = ld_trainer_step(&j->trainer, false, &report, err);
  counted.part = REST;
  while (!rc && j->trainer.progress.step < j->trainer.total_steps)
    rc = ld_trainer_step(&j->trainer, false, &report, err);
  counted.part = OFF;
  return rc;
}

int main(int argc, char **argv) {
  ld_error err = {0};
  ld_options options;
  const char *trace = getenv("LD_GUARD_TRACE");
  void *frame;
  backtrace(&frame, 1); /* its first call loads a library */
  for (int part = 0; trace && part < PARTS; part++)
    if (!strcmp(trace, part_names[part])) counted.traced = part;
  ld_command_line *line = ld_command_line_parse(LD_CMD_TRAIN, argc, argv, false, &err);
  if (!line || ld_options_resolve(line, NULL, &options, &err)) {
    fprintf(stderr, "allocations: %s\n", err.text);
    return 2;
  }
  ld_job j = {.options = options, .comm = ld_comm_alone()};
  const int rc = run(&j, &err);
  if (rc) {
    fprintf(stderr, "allocations: %s\n", err.text);
    return 1;
  }
  for (int part = 0; part < PARTS; part++)
    printf("%s: %lld calls, %lld bytes\n", part_names[part], counted.calls[part], counted.bytes[part]);
  ld_trainer_free(&j.trainer);
  ld_corpus_close(j.data);
  ld_base_close(&j.base);
  ld_options_free(&options);
  ld_command_line_free(line);
  ld_comm_finish(j.comm);
  return 0;
}
