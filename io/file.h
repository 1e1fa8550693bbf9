/* Files: reading whole ones through a map, and writing so that a file (or a flat folder) is whole or not
 * there.
 */
#ifndef LD_FILE_H
#define LD_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* A file mapped for reading. `bytes` is not NUL-terminated; NULL when the file is empty. */
typedef struct ld_map {
  const char *bytes;
  size_t length;
} ld_map;

/* Maps a regular file, shared and read-only, so that all ranks of a node use one copy in the page cache. */
int ld_map_open(const char *path, ld_map *map, ld_error *err);
void ld_map_close(ld_map *map);

bool ld_file_exists(const char *path); /* a regular file, or a link to one */
bool ld_is_folder(const char *path);

/* "folder/name" in fresh memory; the caller frees. */
char *ld_path_join(const char *folder, const char *name);

/* Makes a folder and those above it (fine when it is there). */
int ld_make_folders(const char *path, ld_error *err);

/* Bytes that an ordinary user can still write to the file system of a folder; -1 when that is not known. */
int64_t ld_folder_room(const char *path);

/* Whether ld_make_folders could make the folder and files could be written into it, as far as that can be
 * seen without making anything. */
int ld_folder_check(const char *path, ld_error *err);

/* The names in a folder but "." and "..", sorted; NULL and an error when it cannot be read. The caller frees
 * with ld_names_free. */
char **ld_folder_names(const char *path, size_t *n, ld_error *err);
void ld_names_free(char **names, size_t n);

/* Fails with LD_EFILE and "<path>: <what>: <what errno says>; <what to do about it>". */
int ld_file_fail(const char *path, const char *what, ld_error *err);

/* Removes a folder of files and links; one that holds a folder stays, as does that. Returns 0, or -1 when it
 * is still there. */
int ld_remove_folder(const char *path);

/* Writing `path` atomically (beside, synced, renamed):
 *   char *part = ld_file_begin(path, err);           a name beside it to write to, "path.tmp.<pid>"
 *   code = ... write and close part ...
 *   return ld_file_end(part, path, code, err);       fsync, rename, fsync of the folder
 *
 * ld_file_end frees `part`. When `code` says that writing failed, or when its own work fails, it removes the
 * part and returns the code. */
char *ld_file_begin(const char *path, ld_error *err);
int ld_file_end(char *part, const char *path, int code, ld_error *err);

/* Takes the lock file `path` (made when there is none) for this process until it ends or ld_file_unlock;
 * waits up to `seconds` for another holder. LD_EFILE when it is still held then. A file system without locks
 * counts as free. */
int ld_file_lock(const char *path, int seconds, int *lock, ld_error *err);
void ld_file_unlock(int lock); /* -1 is fine */

/* Writes all of `length` bytes to an open file; `path` is for the error text. */
int ld_write_all(int fd, const void *bytes, size_t length, const char *path, ld_error *err);

/* Closes it: some file systems tell only now that there was no room. Returns `code`, or when that is 0 how
 * the closing went. */
int ld_close_written(int fd, const char *path, int code, ld_error *err);

/* Writes `length` bytes to `path` atomically. */
int ld_file_write(const char *path, const void *bytes, size_t length, ld_error *err);

/* Writing a folder of plain files atomically, as a whole:
 *   char *part = ld_folder_begin(path, err);         makes the folder "path.tmp.<pid>"
 *   code = ... write files into part ...
 *   return ld_folder_end(part, path, code, err);     fsync of files and folder, then takes the place of
 * `path`
 *
 * An old folder is swapped out in one step where the file system can (renameat2), and removed. Where it
 * cannot, it stands for a moment as "path.being-replaced" before the new one takes its name: a reader that
 * misses `path` looks there (ld_folder_present), and the next ld_folder_begin puts it back; that also removes
 * what killed writers of the same `path` left. Only a folder whose files all have successors of the same name
 * in `part` is replaced, so that no file of the user's is lost by it. */
char *ld_folder_begin(const char *path, ld_error *err);
int ld_folder_end(char *part, const char *path, int code, ld_error *err);

/* The folder to read for `path`: itself, or "path.being-replaced" after a kill in the middle of a swap. The
 * caller frees. */
char *ld_folder_present(const char *path);

/* Removes the "*.tmp.<pid>" files and flat folders that a killed run left behind in `folder`. */
void ld_file_sweep(const char *folder);

#endif
