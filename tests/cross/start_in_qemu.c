/* Preloaded into an ARM program that qemu runs: the ARM programs that it starts run in qemu too. Criterion
 * starts each test as a program of its own, and only a kernel that was told of qemu could do so by itself. */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t count(char *const list[]) {
  size_t n = 0;
  while (list[n]) n++;
  return n;
}

/* qemu itself must not be given this library: it is no ARM program. */
static void copy_environment(char **to, char *const from[]) {
  for (; *from; from++)
    if (strncmp(*from, "LD_PRELOAD=", 11) != 0) *to++ = *from;
  *to = NULL;
}

int execve(const char *path, char *const argv[], char *const envp[]) {
  int (*real)(const char *, char *const[], char *const[]);
  *(void **)&real = dlsym(RTLD_NEXT, "execve");
  const char *qemu = getenv("QEMU");
  char **command = malloc((count(argv) + 2) * sizeof *command);
  char **environment = malloc((count(envp) + 1) * sizeof *environment);
  if (!qemu || !command || !environment) {
    errno = ENOENT;
    return -1;
  }
  command[0] = (char *)qemu;
  command[1] = (char *)path;
  memcpy(command + 2, argv + 1, count(argv) * sizeof *command);
  copy_environment(environment, envp);
  return real(qemu, command, environment);
}
