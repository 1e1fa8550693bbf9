#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"

/* The old folder's name while the new one takes its place, on file systems that cannot exchange two names. */
#define ASIDE ".being-replaced"

/* What git leaves in place of a large file that was not fetched. */
static bool is_pointer(const ld_map *map) {
  static const char start[] = "version https://git-lfs.github.com/spec/";
  return map->length >= sizeof start && map->length < 1024 && !memcmp(map->bytes, start, sizeof start - 1);
}

static int fail_open(const char *path, int error, ld_error *err) {
  if (error == ENOENT && ld_file_is_named(path))
    return ld_fail(err, LD_EFILE,
                   "%s: is a link to a file that does not exist: put the file itself in its place", path);
  return ld_fail(err, LD_EFILE, "%s: cannot open: %s", path, strerror(error));
}

static int fail_map(const char *path, double bytes, int error, ld_error *err) {
  if (error != ENOMEM) return ld_fail(err, LD_EFILE, "%s: cannot map: %s", path, strerror(error));
  return ld_fail(err, LD_EMEMORY, "out of memory: %s: the system refused to map %.1f MiB: " LD_MEMORY_REMEDY,
                 path, bytes / 1048576);
}

static int open_map(const char *path, int access, int flags, ld_map *map, ld_error *err) {
  map->bytes = NULL;
  map->length = 0;
  /* Without O_NONBLOCK a pipe in place of a file would wait for its other end. */
  const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail_open(path, errno, err);
  struct stat info;
  int code = 0;
  if (fstat(fd, &info) != 0)
    code = ld_fail(err, LD_EFILE, "%s: %s", path, strerror(errno));
  else if (!S_ISREG(info.st_mode))
    code = ld_fail(err, LD_EFILE, "%s: not a regular file", path);
  if (!code && info.st_size > 0) {
    void *bytes = mmap(NULL, (size_t)info.st_size, access, flags, fd, 0);
    if (bytes == MAP_FAILED)
      code = fail_map(path, (double)info.st_size, errno, err);
    else {
      map->bytes = bytes;
      map->length = (size_t)info.st_size;
    }
  }
  close(fd);
  if (!code && is_pointer(map)) {
    ld_map_close(map);
    code = ld_fail(err, LD_EFORMAT,
                   "%s: is a git-lfs pointer and not the file itself: run 'git lfs pull' in its repository",
                   path);
  }
  return code;
}

int ld_map_open(const char *path, ld_map *map, ld_error *err) {
  return open_map(path, PROT_READ, MAP_SHARED, map, err);
}

int ld_map_open_own(const char *path, ld_map *map, ld_error *err) {
  return open_map(path, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, map, err);
}

void ld_map_close(ld_map *map) {
  if (map->bytes) munmap((void *)(uintptr_t)map->bytes, map->length);
  map->bytes = NULL;
  map->length = 0;
}

static const char *remedy(int error) {
  switch (error) {
  case ENOSPC:
  case EDQUOT:
    return "; make room, then run the same command again";
  case EFBIG:
    return "; raise the limit on the size of files, then run the same command again";
  case EROFS:
  case EACCES:
  case EPERM:
    return "; make it writable, or choose another place";
  case ENOMEM:
    return "; out of memory: " LD_MEMORY_REMEDY;
  case EIO:
    return "; the disk failed to store it: check the disk, then run the same command again";
  default:
    return "";
  }
}

int ld_file_fail(const char *path, const char *what, ld_error *err) {
  const int error = errno;
  return ld_fail(err, LD_EFILE, "%s: %s: %s%s", path, what, strerror(error), remedy(error));
}

bool ld_file_is_named(const char *path) {
  struct stat info;
  return lstat(path, &info) == 0;
}

bool ld_file_exists(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

bool ld_is_folder(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

char *ld_path_join(const char *folder, const char *name) {
  const size_t length = strlen(folder);
  const bool slash = length > 0 && folder[length - 1] == '/';
  return ld_format("%s%s%s", folder, slash || length == 0 ? "" : "/", name);
}

/* The path without trailing slashes ("/" stays). */
static char *without_slashes(const char *path) {
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') length--;
  return ld_strndup(path, length);
}

const char *ld_path_base(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash && slash[1] ? slash + 1 : path;
}

const char *ld_temporary_folder(void) {
  const char *folder = getenv("TMPDIR");
  return folder && *folder ? folder : "/tmp";
}

char *ld_path_parent(const char *path) {
  char *copy = without_slashes(path);
  char *slash = strrchr(copy, '/');
  if (!slash)
    strcpy(copy, copy[0] ? "." : "");
  else
    slash[slash == copy] = 0;
  return copy;
}

int ld_make_folders(const char *path, ld_error *err) {
  char *copy = ld_strdup(path);
  int code = 0;
  for (char *at = copy; !code && *at; at++) {
    const char next = at[1];
    if (next != '/' && next != 0) continue;
    at[1] = 0;
    if (mkdir(copy, 0777) != 0) {
      const int why = errno;
      if (!ld_is_folder(copy)) {
        errno = why;
        code = ld_file_fail(copy, "cannot make this folder", err);
      }
    }
    at[1] = next;
  }
  free(copy);
  return code;
}

/* The path, or the nearest folder above it that exists. The caller frees. */
static char *nearest_place(const char *path) {
  char *place = without_slashes(path);
  while (access(place, F_OK) != 0 && strcmp(place, ".") != 0 && strcmp(place, "/") != 0) {
    char *parent = ld_path_parent(place);
    free(place);
    place = parent;
  }
  return place;
}

int64_t ld_folder_room(const char *path) {
  struct statvfs info;
  char *place = nearest_place(path);
  const int failed = statvfs(place, &info);
  free(place);
  return failed ? -1 : (int64_t)info.f_bavail * (int64_t)info.f_frsize;
}

/* The system's own folders refuse what root's permissions allow, so the only way to know is to try. */
static bool takes_entries(const char *folder) {
  char *probe = ld_format("%s/lora_dist.tmp.%ld", folder, (long)getpid());
  const bool made = mkdir(probe, 0700) == 0;
  const int error = errno;
  if (made) rmdir(probe);
  free(probe);
  errno = error;
  return made || error == EEXIST;
}

int ld_folder_check(const char *path, ld_error *err) {
  char *place = nearest_place(path);
  int code = 0;
  if (!ld_is_folder(place))
    code = ld_fail(err, LD_EFILE, "%s: cannot be a folder: '%s' is a file", path, place);
  else if (access(place, W_OK | X_OK) != 0 || !takes_entries(place))
    code = ld_fail(err, LD_EFILE, "%s: cannot write into the folder '%s': %s%s", path, place, strerror(errno),
                   remedy(errno));
  free(place);
  return code;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

char **ld_folder_names(const char *path, size_t *n, ld_error *err) {
  *n = 0;
  DIR *folder = opendir(path);
  if (!folder) {
    ld_fail(err, LD_EFILE, "%s: cannot read this folder: %s", path, strerror(errno));
    return NULL;
  }
  size_t room = 0;
  char **names = ld_grow(NULL, 0, &room, sizeof *names);
  for (struct dirent *entry; (entry = readdir(folder));) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    names = ld_grow(names, *n, &room, sizeof *names);
    names[(*n)++] = ld_strdup(entry->d_name);
  }
  closedir(folder);
  qsort(names, *n, sizeof *names, by_name);
  return names;
}

void ld_names_free(char **names, size_t n) {
  for (size_t i = 0; i < n; i++) free(names[i]);
  free(names);
}

/* Some file systems cannot sync a folder (EINVAL), which is not an error. */
static int sync_path(const char *path, bool folder, ld_error *err) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC | (folder ? O_DIRECTORY : 0));
  if (fd < 0) return ld_fail(err, LD_EFILE, "%s: cannot open: %s", path, strerror(errno));
  int code = 0;
  if (fsync(fd) != 0 && !(folder && errno == EINVAL))
    code = ld_file_fail(path, "cannot write to the disk", err);
  close(fd);
  return code;
}

static int sync_parent(const char *path, ld_error *err) {
  char *parent = ld_path_parent(path);
  const int code = sync_path(parent, true, err);
  free(parent);
  return code;
}

/* Nothing, or a file that may be replaced. What a link, a device or a pipe stands for is not ours. */
static int check_replaceable(const char *path, ld_error *err) {
  struct stat info;
  if (lstat(path, &info) != 0 || S_ISREG(info.st_mode)) return 0;
  const char *kind = S_ISDIR(info.st_mode) ? "folder" : S_ISLNK(info.st_mode) ? "link" : "device or pipe";
  return ld_fail(err, LD_EFILE,
                 "%s: is a %s, expected the name of a file: remove it, or choose another "
                 "place",
                 path, kind);
}

/* An unused name beside `path`. */
static char *part_of(const char *path) {
  struct stat info;
  char *part = NULL;
  for (long number = getpid(); !part || lstat(part, &info) == 0; number++) {
    free(part);
    part = ld_format("%s.tmp.%ld", path, number);
  }
  return part;
}

char *ld_file_begin(const char *path, ld_error *err) {
  char *parent = ld_path_parent(path), *part = NULL;
  if (!ld_is_folder(parent))
    ld_fail(err, LD_EFILE, "%s: the folder %s does not exist", path, parent);
  else if (check_replaceable(path, err) == 0)
    part = part_of(path);
  free(parent);
  return part;
}

int ld_file_end(char *part, const char *path, int code, ld_error *err) {
  if (!code) code = sync_path(part, false, err);
  if (!code && rename(part, path) != 0) code = ld_file_fail(path, "cannot take its name", err);
  if (code)
    unlink(part);
  else
    code = sync_parent(path, err);
  free(part);
  return code;
}

static int open_lock(const char *path, int *lock, ld_error *err) {
  struct stat info;
  *lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  if (*lock < 0 && errno == ELOOP)
    return ld_fail(err, LD_EFILE, "%s: is a link, expected a file of this program: remove the link", path);
  if (*lock < 0) return ld_file_fail(path, "cannot make the lock file", err);
  if (fstat(*lock, &info) == 0 && S_ISREG(info.st_mode)) return 0;
  ld_file_unlock(*lock);
  *lock = -1;
  return ld_fail(err, LD_EFILE, "%s: is not a regular file: remove it, or choose another place", path);
}

int ld_file_lock(const char *path, int seconds, int *lock, ld_error *err) {
  const int rc = open_lock(path, lock, err);
  if (rc) return rc;
  for (int tries = 0; flock(*lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK; tries++) {
    if (tries == 0)
      ld_info("%s: in use by another process; waiting up to %d s for it to finish", path, seconds);
    if (tries == seconds * 10) {
      ld_file_unlock(*lock);
      *lock = -1;
      return ld_fail(err, LD_EFILE,
                     "%s: in use by another process (is the same job still running?): wait for it to "
                     "finish, or choose another --out",
                     path);
    }
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
  }
  return 0;
}

void ld_file_unlock(int lock) {
  if (lock >= 0) close(lock);
}

int ld_close_written(int fd, const char *path, int code, ld_error *err) {
  if (close(fd) != 0 && !code) code = ld_file_fail(path, "cannot write", err);
  return code;
}

int ld_write_all(int fd, const void *bytes, size_t length, const char *path, ld_error *err) {
  const char *at = bytes;
  while (length) {
    const ssize_t written = write(fd, at, length < 1u << 30 ? length : 1u << 30);
    if (written < 0 && errno == EINTR) continue;
    if (written == 0) errno = ENOSPC;
    if (written <= 0) return ld_file_fail(path, "cannot write", err);
    at += written;
    length -= (size_t)written;
  }
  return 0;
}

int ld_file_write(const char *path, const void *bytes, size_t length, ld_error *err) {
  char *part = ld_file_begin(path, err);
  if (!part) return LD_EFILE;
  int code = 0;
  const int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0)
    code = ld_file_fail(part, "cannot create", err);
  else {
    code = ld_close_written(fd, path, ld_write_all(fd, bytes, length, path, err), err);
  }
  return ld_file_end(part, path, code, err);
}

static int remove_folder(const char *path, bool subfolders) {
  size_t n;
  char **names = ld_folder_names(path, &n, NULL);
  if (!names) return -1;
  for (size_t i = 0; i < n; i++) {
    char *file = ld_path_join(path, names[i]);
    if (unlink(file) && subfolders) remove_folder(file, true);
    free(file);
  }
  ld_names_free(names, n);
  return rmdir(path);
}

int ld_remove_folder(const char *path) {
  return remove_folder(path, false);
}

int ld_remove_tree(const char *path) {
  return remove_folder(path, true);
}

/* Whether it is a real folder (not a link) that holds nothing but files. */
static bool is_flat_folder(const char *path) {
  struct stat info;
  size_t n;
  char **names = lstat(path, &info) == 0 && S_ISDIR(info.st_mode) ? ld_folder_names(path, &n, NULL) : NULL;
  if (!names) return false;
  bool flat = true;
  for (size_t i = 0; i < n && flat; i++) {
    char *file = ld_path_join(path, names[i]);
    flat = lstat(file, &info) == 0 && S_ISREG(info.st_mode);
    free(file);
  }
  ld_names_free(names, n);
  return flat;
}

void ld_folder_settle(const char *path) {
  char *aside = ld_format("%s" ASIDE, path);
  struct stat info;
  if (!is_flat_folder(aside)) {
    free(aside);
    return;
  }
  if (lstat(path, &info) != 0)
    rename(aside, path);
  else
    ld_remove_folder(aside);
  free(aside);
}

size_t ld_file_leftover(const char *name) {
  const size_t length = strlen(name);
  size_t at = length;
  while (at > 0 && name[at - 1] >= '0' && name[at - 1] <= '9') at--;
  return at < length && at > 5 && strncmp(name + at - 5, ".tmp.", 5) == 0 ? at - 5 : 0;
}

static void remove_leftover(const char *path) {
  struct stat info;
  if (lstat(path, &info) == 0 && S_ISREG(info.st_mode))
    unlink(path);
  else if (is_flat_folder(path))
    ld_remove_folder(path);
}

void ld_file_sweep(const char *folder, bool (*is_ours)(const char *name)) {
  size_t n;
  char **names = ld_folder_names(folder, &n, NULL);
  if (!names) return;
  for (size_t i = 0; i < n; i++) {
    const size_t length = ld_file_leftover(names[i]);
    char *of = ld_strndup(names[i], length), *path = ld_path_join(folder, names[i]);
    if (length && is_ours(of)) remove_leftover(path);
    free(of);
    free(path);
  }
  ld_names_free(names, n);
}

bool ld_file_same(const char *one, const char *other) {
  struct stat a, b;
  return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Replaces `path` with the folder above it. */
static char *step_up(char *path) {
  char *parent = ld_path_parent(path);
  free(path);
  return parent;
}

bool ld_file_inside(const char *path, const char *folder) {
  char *at = without_slashes(path), *real;
  while (!(real = realpath(at, NULL)) && strcmp(at, ".") != 0 && strcmp(at, "/") != 0) at = step_up(at);
  free(at);
  if (!real) return false;
  while (!ld_file_same(real, folder) && strcmp(real, "/") != 0) real = step_up(real);
  const bool inside = ld_is_folder(folder) && ld_file_same(real, folder);
  free(real);
  return inside;
}

int ld_output_check(const char *path, ld_error *err) {
  struct stat info;
  size_t n = 0;
  char *place = without_slashes(path);
  const bool there = lstat(place, &info) == 0;
  char **names = there && ld_is_folder(place) ? ld_folder_names(place, &n, NULL) : NULL;
  const bool empty = names && n == 0;
  ld_names_free(names, n);
  free(place);
  if (!there || empty) return 0;
  return ld_fail(err, LD_EFILE,
                 "%s: already exists, and is not overwritten: choose another --out, or "
                 "remove it",
                 path);
}

/* Warns of what a killed writer of `place` left, or another one is writing. */
static void warn_of_leftovers(const char *place, const char *parent) {
  size_t n;
  char **names = ld_folder_names(parent, &n, NULL);
  const char *name = ld_path_base(place);
  for (size_t i = 0; names && i < n; i++)
    if (ld_file_leftover(names[i]) == strlen(name) && strncmp(names[i], name, strlen(name)) == 0)
      ld_warn("%s/%s: may be left from a command that was killed while it wrote %s: remove it if none is "
              "running",
              parent, names[i], place);
  ld_names_free(names, n);
}

/* The folder itself if it exists, through any link. */
static char *real_place(const char *path) {
  char *real = ld_is_folder(path) ? realpath(path, NULL) : NULL;
  return real ? real : without_slashes(path);
}

char *ld_folder_begin(const char *path, ld_error *err) {
  char *place = real_place(path), *parent = ld_path_parent(place), *part = NULL;
  if (!place[0] || strcmp(place, "/") == 0 || strcmp(place, ".") == 0 || strcmp(place, "..") == 0)
    ld_fail(err, LD_EUSAGE, "'%s': expected the name of a new folder", path);
  else if (access(place, F_OK) == 0 && !ld_is_folder(place))
    ld_fail(err, LD_EFILE, "%s: is a file, expected the name of a folder", place);
  else if (ld_make_folders(parent, err) == 0) {
    warn_of_leftovers(place, parent);
    part = part_of(place);
    if (mkdir(part, 0777) != 0) {
      ld_file_fail(part, "cannot make this folder", err);
      free(part);
      part = NULL;
    }
  }
  free(parent);
  free(place);
  return part;
}

static int sync_files(const char *folder, ld_error *err) {
  size_t n;
  char **names = ld_folder_names(folder, &n, err);
  if (!names) return LD_EFILE;
  int code = 0;
  for (size_t i = 0; i < n && !code; i++) {
    char *file = ld_path_join(folder, names[i]);
    code = sync_path(file, false, err);
    free(file);
  }
  ld_names_free(names, n);
  return code ? code : sync_path(folder, true, err);
}

static int check_successors(const char *part, const char *old, ld_error *err) {
  size_t n;
  char **names = ld_folder_names(old, &n, err);
  if (!names) return LD_EFILE;
  int code = 0;
  for (size_t i = 0; i < n && !code; i++) {
    char *file = ld_path_join(part, names[i]);
    if (!ld_file_exists(file))
      code = ld_fail(err, LD_EFILE, "%s: holds '%s', which would be lost: move it, or name another folder",
                     old, names[i]);
    free(file);
  }
  ld_names_free(names, n);
  return code;
}

static int swap_by_steps(const char *part, const char *place, ld_error *err) {
  char *aside = ld_format("%s" ASIDE, place);
  int code = 0;
  if (rename(place, aside) != 0 || rename(part, place) != 0)
    code = ld_file_fail(place, "cannot be replaced", err);
  ld_folder_settle(place);
  free(aside);
  return code;
}

static int replace_folder(const char *part, const char *place, ld_error *err) {
  int code = check_successors(part, place, err);
  if (code) return code;
  if (renameat2(AT_FDCWD, part, AT_FDCWD, place, RENAME_EXCHANGE) == 0) {
    code = sync_parent(place, err);
    ld_remove_folder(part);
    return code;
  }
  if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP)
    return ld_file_fail(place, "cannot be replaced", err);
  return swap_by_steps(part, place, err);
}

static int take_place(const char *part, const char *path, ld_error *err) {
  char *place = real_place(path);
  int code = sync_files(part, err);
  if (!code && ld_is_folder(place))
    code = replace_folder(part, place, err);
  else if (!code && rename(part, place) != 0)
    code = ld_file_fail(place, "cannot take its name", err);
  if (!code) code = sync_parent(place, err);
  free(place);
  return code;
}

int ld_folder_end(char *part, const char *path, int code, ld_error *err) {
  if (!code) code = take_place(part, path, err);
  if (code) ld_remove_tree(part);
  free(part);
  return code;
}

char *ld_folder_present(const char *path) {
  char *place = without_slashes(path), *aside = ld_format("%s" ASIDE, place);
  const bool swapped = !ld_is_folder(place) && ld_is_folder(aside);
  free(swapped ? place : aside);
  return swapped ? aside : place;
}
