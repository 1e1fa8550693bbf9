#include "io/kept_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/file.h"

/* Seconds after which a part without a lock was left: at once it may be that its writer has not locked it yet; where
 * the file system has no locks, it may be one that is being written. */
enum { YOUNG = 10, OLD = 24 * 3600 };

/* Whether nobody writes this part any more. */
static bool is_left(const char *part) {
  struct stat info;
  const int file = open(part, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (file < 0) return false;
  const bool regular = !fstat(file, &info) && S_ISREG(info.st_mode);
  const bool locked = regular && flock(file, LOCK_EX | LOCK_NB) == 0;
  const int why = errno;
  close(file);
  if (!regular || (!locked && why == EWOULDBLOCK)) return false;
  return info.st_mtime + (locked ? YOUNG : OLD) < time(NULL);
}

static void sweep(const char *folder, bool (*is_ours)(const char *name)) {
  size_t n;
  char **names = ld_folder_names(folder, &n, NULL);
  for (size_t i = 0; names && i < n; i++) {
    const size_t length = ld_file_leftover(names[i]);
    char *of = ld_strndup(names[i], length), *part = ld_path_join(folder, names[i]);
    if (length && is_ours(of) && is_left(part)) unlink(part);
    free(of);
    free(part);
  }
  if (names) ld_names_free(names, n);
}

static int begin(ld_kept_file *f, ld_error *err) {
  f->part = ld_file_begin(f->path, err);
  if (!f->part) return LD_EFILE;
  f->file = open(f->part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (f->file < 0) return ld_file_fail(f->part, "cannot create", err);
  (void)flock(f->file, LOCK_EX | LOCK_NB);
  return 0;
}

int ld_kept_file_begin(const char *path, bool (*is_ours)(const char *name), ld_kept_file *out,
                       ld_error *err) {
  char *folder = ld_path_parent(path);
  *out = (ld_kept_file){.path = ld_strdup(path), .file = -1};
  int rc = ld_make_folders(folder, err);
  if (!rc) sweep(folder, is_ours);
  if (!rc) rc = begin(out, err);
  free(folder);
  if (!rc) return 0;
  free(out->part);
  free(out->path);
  *out = (ld_kept_file){.file = -1};
  return rc;
}

int ld_kept_file_write(ld_kept_file *f, const void *bytes, size_t length, ld_error *err) {
  return ld_write_all(f->file, bytes, length, f->path, err);
}

int ld_kept_file_end(ld_kept_file *f, int rc, ld_error *err) {
  rc = ld_file_end(f->part, f->path, rc, err); /* which frees the part's name */
  close(f->file);                              /* with its lock; its bytes are on the disk by now */
  free(f->path);
  *f = (ld_kept_file){.file = -1};
  return rc;
}
