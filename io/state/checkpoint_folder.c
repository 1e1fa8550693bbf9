#include "io/state/checkpoint_folder.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/file.h"
#include "io/state/seal.h"

/* The step in "step-<digits>.h5"; -1 for any other name. */
static int64_t step_of(const char *name) {
  if (strncmp(name, "step-", 5) != 0) return -1;
  const size_t digits = strspn(name + 5, "0123456789");
  if (digits < 1 || digits > 18 || strcmp(name + 5 + digits, ".h5") != 0) return -1;
  return strtoll(name + 5, NULL, 10);
}

static int newest_first(const void *a, const void *b) {
  const char *x = *(char *const *)a, *y = *(char *const *)b;
  const int64_t s = step_of(x), t = step_of(y);
  return s != t ? (s < t ? 1 : -1) : strcmp(x, y);
}

/* The checkpoints of a folder, newest first; NULL when it cannot be read. */
static char **list_checkpoints(const char *folder, size_t *n) {
  size_t kept = 0;
  char **names = ld_folder_names(folder, n, NULL);
  if (!names) return NULL;
  for (size_t i = 0; i < *n; i++) {
    if (step_of(names[i]) >= 0)
      names[kept++] = names[i];
    else
      free(names[i]);
  }
  *n = kept;
  qsort(names, kept, sizeof *names, newest_first);
  return names;
}

bool ld_checkpoint_any(const char *folder) {
  size_t n = 0;
  char **names = list_checkpoints(folder, &n);
  ld_names_free(names, n);
  return n > 0;
}

/* A finished adapter under a checkpoint's name is not a checkpoint. */
static int read_training(const char *file, ld_checkpoint **out, ld_error *err) {
  const int rc = ld_checkpoint_read(file, out, err);
  if (rc || (*out)->has_trainer) return rc;
  ld_checkpoint_free(*out);
  *out = NULL;
  return ld_fail(err, LD_EMISMATCH, "it holds a finished adapter without optimizer state");
}

ld_checkpoint *ld_checkpoint_newest(const char *folder, char **path,
                                    void (*warn)(const char *path, const ld_error *why, void *user),
                                    void *user) {
  size_t n;
  ld_checkpoint *found = NULL;
  *path = NULL;
  char **names = list_checkpoints(folder, &n);
  if (!names) return NULL;
  for (size_t i = 0; i < n && !found; i++) {
    ld_error why = {0};
    char *file = ld_path_join(folder, names[i]);
    if (read_training(file, &found, &why) == 0)
      *path = file;
    else {
      if (warn) warn(file, &why, user);
      free(file);
    }
  }
  ld_names_free(names, n);
  return found;
}

bool ld_checkpoint_is_name(const char *name) {
  return step_of(name) >= 0;
}

/* Whether a regular file begins as this program's do; *good says whether it is undamaged. */
static bool is_sealed(const char *path, bool *good) {
  struct stat info;
  ld_map map;
  *good = false;
  if (lstat(path, &info) != 0 || !S_ISREG(info.st_mode) || ld_map_open(path, &map, NULL)) return false;
  const bool sealed = ld_seal_begins(map.bytes, map.length);
  *good = sealed && ld_seal_check(map.bytes, map.length, path, NULL) == 0;
  ld_map_close(&map);
  return sealed;
}

void ld_checkpoint_prune(const char *folder, int keep, const char *spare) {
  size_t n;
  char **names = keep < 1 ? NULL : list_checkpoints(folder, &n);
  if (!names) return;
  const char *slash = spare ? strrchr(spare, '/') : NULL;
  const char *spared = slash ? slash + 1 : spare;
  int n_good = 0;
  for (size_t i = 0; i < n; i++) {
    char *file = ld_path_join(folder, names[i]);
    bool good = spared && strcmp(names[i], spared) == 0;
    if (!good && is_sealed(file, &good) && n_good >= keep) unlink(file);
    n_good += good;
    free(file);
  }
  ld_names_free(names, n);
}
